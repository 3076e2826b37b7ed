"""Several calls at the same time."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["CONCURRENCY"]

CONCURRENCY = Theme("Threads", "Several calls at the same time.", (
    Statement(
        "P98", "parallel calls",
        says="Calls from several threads at the same time give the answers that they give one after another.",
        failure="A server with several threads mixes the answers of different users.",
        first="Look for buffers and attributes that belong to the backend instead of the call.",
    ),
    Statement(
        "P98-loss", "parallel losses",
        says="Losses from several threads at the same time give the answers that they give one after another.",
        failure="Two models that are trained in one process disturb one another.",
        first="Look for a buffer of gradients that is kept for each shape.",
    ),
    Statement(
        "P111", "parallel training",
        says="Training steps and updates from several threads, next to losses and runs, give the answers that they "
             "give one after another.",
        failure="Two models that are trained in one process disturb one another, or a run reads parameters in the "
                "middle of a step.",
        first="Look for the state of a rule, or a training mode, that the backend keeps while the step is computed.",
    ),
))  # fmt: skip
