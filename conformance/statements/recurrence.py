"""Policies between two steps, windows, and recomputed segments."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["RECURRENCE"]

RECURRENCE = Theme("Gradients inside the recurrence", "Policies between two steps, windows, and recomputed segments.", (
    Statement(
        "P85", "policies match oracle",
        says="Under each gradient policy inside the recurrence, the vector-Jacobian product equals the oracle's.",
        failure="A policy such as clipping the carried gradient does something else on this backend.",
        first="Look at where the policy acts: on the carried cotangent or on the total one, on one state or on all, "
              "with one joint norm or with several.",
    ),
    Statement(
        "P86", "equivalent policies",
        says="`Cut()` gives the gradients of `Truncated(1)`, and limits that are never reached change no gradient.",
        failure="Policies that should do nothing change the gradient, or one policy acts at another step than it "
                "should.",
        first="Look for a comparison that clips at any norm, and for a step counter that starts at 1.",
    ),
    Statement(
        "P87", "gradients over windows",
        says="Gradients over windows equal the sum of the gradients of all windows, each run alone from the state at "
             "its first step.",
        failure="Training over windows learns from steps outside the window, or misses some of its steps.",
        first="Look at the state that starts each window, and at the losses of the steps that two windows share.",
    ),
    Statement(
        "P88", "recomputed segments",
        says="Recomputing segments gives the same gradients as keeping everything, also under policies and losses.",
        failure="Saving memory changes the gradient.",
        first="Look at the edge between two segments: the policy, the state and the cotangent must pass it as they "
              "pass any other step.",
    ),
    Statement(
        "P88-long", "long recomputed segments",
        says="Recomputed segments give the same gradients for sequences longer than one block of the backend.",
        failure="Saving memory changes the gradient of long sequences, where it is used most.",
        first="Look at step numbers inside a segment: they must count from the start of the sequence, in processing "
              "order.",
    ),
))  # fmt: skip
