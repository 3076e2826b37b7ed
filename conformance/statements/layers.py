"""Bidirectional layers and stacks give what single layers give."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["LAYERS"]

LAYERS = Theme("Directions and layers", "Bidirectional layers and stacks give what single layers give.", (
    Statement(
        "P21", "reverse half reads backwards",
        says="The reverse half equals a forward layer that reads each row backwards, with the row's padding left at "
             "the end.",
        failure="Bidirectional models read padded rows wrongly: padding comes first, or the outputs stand at the wrong "
                "steps.",
        first="Look at how rows are reversed: each by its own length, not all by the number of steps. Then look at "
              "whether the outputs are reversed again.",
    ),
    Statement(
        "P22", "halves are independent",
        says="The forward half of a bidirectional layer equals a forward layer alone, and without a cut both halves "
             "have the gradients of two separate layers.",
        failure="The two halves share a parameter, a state or a gradient that should be separate.",
        first="Look at the names by which the halves' parameters and states are found: the reverse half often reads "
              "the forward half's.",
    ),
    Statement(
        "P23", "mirrored halves",
        says="If the halves exchange their parameters and states and every row is reversed, they exchange their "
             "outputs, states and gradients too.",
        failure="One of the two halves is handled differently from the other, also under a gradient policy.",
        first="Look for a step index that counts time where it should count processing order.",
    ),
    Statement(
        "P24", "stack equals its layers",
        says="A stack gives the values of its layers run one after the other, with the output layer applied to the "
             "last one.",
        failure="Deep networks give wrong values although each of their layers alone is correct.",
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
