"""Policies on finished gradients."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["CLIPPING"]

CLIPPING = Theme("Gradient policies", "Policies on finished gradients.", (
    Statement(
        "P52", "one clipping factor",
        says="Clipping by the global norm multiplies every map by one factor, the limit over the norm, and changes "
             "nothing below the limit.",
        failure="Clipping changes the direction of training.",
        first="Look at which maps the norm includes: biases, the output layer and reverse halves are often forgotten.",
    ),
    Statement(
        "P53", "clipped norm equals limit",
        says="A clipped gradient has the limit as its norm, or its own norm if that is smaller.",
        failure="Gradients are clipped too much or too little, and clipping twice changes them again.",
        first="Look for a square root that is missing, and for an epsilon that is added to the norm.",
    ),
    Statement(
        "P55", "global and local norms",
        says="Clipping by the global norm gives all maps one factor, while clipping by each map's own norm gives each "
             "map its own.",
        failure="One of the two policies is computed as the other.",
        first="Look at whether the norm is taken before or after the loop over maps.",
    ),
    Statement(
        "P56", "clipping by value",
        says="Clipping by value sets entries beyond the limit to the limit with their sign, keeps the others, and "
             "keeps NaN.",
        failure="Clipped entries become zero, lose their sign, or are clipped in one direction only.",
        first="Look at how the clip is written: `minimum` without `maximum`, or a mask instead of a clip.",
    ),
    Statement(
        "P57", "zero gradients stay zero",
        says="Gradients that are zeros stay zeros under every limit, and a limit of 0 turns all gradients into zeros.",
        failure="One batch without steps turns all parameters into NaN.",
        first="Look at the division of the limit by the norm where both are 0.",
    ),
    Statement(
        "P58", "bad norm becomes NaN",
        says="A norm that is not finite turns every gradient that it scales into NaN.",
        failure="Training silently continues on a broken batch, with gradients of zeros.",
        first="Look at the division of the limit by infinity: it gives 0, and must give NaN here.",
    ),
    Statement(
        "P60", "exactly at the limit",
        says="A gradient whose norm is exactly the limit is not changed, and one just above it is clipped.",
        failure="The threshold has another value than the specification says.",
        first="Look at the comparison, and for an epsilon in the norm or in the limit.",
    ),
    Statement(
        "P80", "limits for each unit",
        says="`ClipByUnitNorm` limits the norm of each unit's gradient to a ratio of its weights' norm, or of epsilon "
             "if that norm is smaller.",
        failure="The policy clips units by the wrong limit.",
        first="Look at what a unit is: a row of a map and one element of a bias. Then look at epsilon: it is a lower "
              "bound and is not added.",
    ),
    Statement(
        "P81", "non-finite steps are skipped",
        says="`SkipNonFinite` skips a step whose gradient is not finite: parameters and the inner rule's state stay as "
             "they are, and it counts the step.",
        failure="One bad batch destroys the parameters or the momentum.",
        first="Look at whether the inner rule runs before the test: its state must stay the same too.",
    ),
    Statement(
        "P82", "non-finite entries become zero",
        says="`ZeroNonFinite` sets non-finite entries to 0 and keeps all other entries.",
        failure="Bad entries are kept, or good entries are lost with them.",
        first="Look at whether infinity is tested as well as NaN, and at whether one bad entry zeroes the complete "
              "map.",
    ),
    Statement(
        "P83", "scaled loss",
        says="Scaling the loss by a power of two changes no bit of a training step, because the gradient is unscaled "
             "before any policy.",
        failure="Training with a scaled loss, as in half precision, clips gradients at the wrong size or takes steps "
                "of another length.",
        first="Look at the order: unscale first, then clip. Then look at whether the scale is halved after an "
              "overflow.",
    ),
    Statement(
        "P89", "spectral norm limit",
        says="`HoldSpectralNorm` limits the spectral norm of every recurrent map, and leaves all other maps to its "
             "inner rule.",
        failure="Recurrent maps grow beyond the limit, or maps below the limit are changed.",
        first="Look at which norm is computed: the largest singular value, and not the root of the sum of all squares. "
              "Then look at whether the estimate is carried from step to step.",
    ),
    Statement(
        "P100", "each rule alone",
        says="Each policy and each update rule alone gives the oracle's training step on every map of every half and "
             "layer.",
        failure="Some parameters are trained by another rule than the user chose, or are not trained.",
        first="Look at which maps the rule visits: reverse halves, upper layers and vectors inside the equations are "
              "often forgotten.",
    ),
))  # fmt: skip
