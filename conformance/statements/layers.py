"""Both directions and stacks follow from single layers."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["LAYERS"]

LAYERS = Theme("Directions and layers", "Both directions and stacks follow from single layers.", (
    Statement(
        "P21", "reverse half turns rows",
        says="The reverse half equals a forward layer on each row turned around, with the row's padding left at the "
             "end.",
        failure="Bidirectional models read padded rows wrongly: padding comes first, or the outputs stand at the wrong "
                "steps.",
        first="Look at how rows are turned: each by its own length, not all by the number of steps. Then look at "
              "whether the outputs are turned back.",
    ),
    Statement(
        "P22", "halves are independent",
        says="The forward half of a bidirectional layer equals that layer alone, and before any cut the gradients of "
             "both halves are those of two separate layers.",
        failure="The two halves share a parameter, a state or a gradient that should be separate.",
        first="Look at the names by which the halves' parameters and states are found: the reverse half often reads "
              "the forward half's.",
    ),
    Statement(
        "P23", "mirrored halves",
        says="Exchanging both halves' parameters and states and reversing time exchanges the halves' outputs, states "
             "and gradients.",
        failure="One of the two halves is handled differently from the other, also under a gradient policy.",
        first="Look for a step index that counts time where it should count processing order.",
    ),
    Statement(
        "P24", "stack equals its layers",
        says="A stack gives the values of its layers run one after the other, with the output layer applied to the "
             "last one.",
        failure="Deep networks give other values than their layers, so a single layer that is correct is no help.",
        first="Look at which state and which parameters the second layer gets, and at whether the output layer's bias "
              "is added at padded steps.",
    ),
    Statement(
        "P24-last", "read the last step",
        says="`Last()` reads each row's own last step, and for the reverse half the first step in time.",
        failure="Classifiers that read the last step see padding in short rows, or the wrong end of the reverse half.",
        first="Look at the index that is read: it must be each row's length minus one, not the number of steps minus "
              "one.",
    ),
))  # fmt: skip
