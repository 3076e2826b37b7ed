"""Each way in which a backend can run is correct alone."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["PATHS"]

PATHS = Theme("Execution paths", "Each way in which a backend can run is correct alone.", (
    Statement(
        "P61-generic", "generic path alone",
        says="The generic path gives the oracle's values and gradients where the backend runs no kernel.",
        failure="The generic path is wrong, and the kernels hide it until a user declares a cell that has no kernel.",
        first="Look at the path in the answer first: the backend may have run a kernel. Then compare as for P01 and "
              "P02.",
    ),
    Statement(
        "P61-native", "kernel path alone",
        says="The framework's kernels give the oracle's values and gradients where the backend runs nothing else.",
        failure="A kernel computes another cell than the one of the specification, or the backend runs the generic "
                "path without saying so.",
        first="Look at how parameters are packed for the kernel: the order of its gates, the number of its biases and "
              "the transposition of its maps.",
    ),
    Statement(
        "P61-framework", "framework differentiation",
        says="The framework's own differentiation of the generic path gives the oracle's gradients.",
        failure="The forward pass cannot be differentiated correctly by the framework, so users who call the "
                "framework's own gradient get other numbers.",
        first="Look for operations that break the framework's tape: a copy through NumPy, a detached array, or a write "
              "in place.",
    ),
))  # fmt: skip
