"""Each path of a backend is correct on its own."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["PATHS"]

PATHS = Theme("Execution paths", "Each path of a backend is correct on its own.", (
    Statement(
        "P61-generic", "generic path alone",
        says="If the backend runs no kernel, its generic path gives the oracle's values and gradients.",
        failure="The generic path is wrong, and the kernels hide it until a user declares a cell that has no kernel.",
        first="Look at `Result.path` first: the backend may have run a kernel. Then compare as for P01 and P02.",
    ),
    Statement(
        "P61-native", "kernel path alone",
        says="If the backend runs the framework's kernels alone, they give the oracle's values and gradients.",
        failure="A kernel computes another cell than that of the specification, or the backend runs the generic path "
                "without saying so.",
        first="Look at how parameters are packed for the kernel: the order of its gates, the number of its biases and "
              "the transposition of its maps.",
    ),
    Statement(
        "P61-framework", "framework differentiation",
        says="The framework's own differentiation of the generic path gives the oracle's gradients.",
        failure="The framework cannot differentiate the forward pass correctly, so users who ask the framework for "
                "gradients get other numbers.",
        first="Look for operations that break the framework's tape: a copy through NumPy, a detached array, or a write "
              "in place.",
    ),
    Statement(
        "P61-parallel", "parallel path alone",
        says="If the backend runs layers in parallel over time, those with such a form run so on request and give the "
             "oracle's values and gradients, and others are refused.",
        failure="The backend runs another path than the one that was asked for, or does not say which one.",
        first="Look at `Result.path` first, and at `parallel(cell)`, which has the reason why a cell has no form.",
    ),
))  # fmt: skip
