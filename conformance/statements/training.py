"""The loss, its gradients and the update rule in one call."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["TRAINING"]

TRAINING = Theme("Training steps", "The loss, its gradients and the update rule in one call.", (
    Statement(
        "P62", "training step adds up",
        says="A training step uses the loss and its mean gradient, applies the rule, and returns the loss, count and "
             "state of the loss call.",
        failure="Training in one call differs from training in separate calls.",
        first="Look at whether the rule receives the mean or the sum, and at whether the loss is computed before the "
              "parameters change.",
    ),
    Statement(
        "P62-update", "update from gradients",
        says="`update` with the result of a loss call equals the training step, also when the sums and counts of two "
             "batches are added.",
        failure="Gradient accumulation gives other parameters than one training step.",
        first="Look at whether the update divides by the count, and at whether it uses the rule state that it was "
              "given.",
    ),
    Statement(
        "P67", "ten training steps",
        says="Ten training steps equal the oracle's, under every policy and update rule.",
        failure="Training drifts away from the specification, although each part may look correct.",
        first="Look at what the rule carries from step to step: momentum, both moments of Adam and the step number of "
              "its correction.",
    ),
    Statement(
        "P112", "training with lengths",
        says="A training step with lengths equals loss, mean gradient and rule in separate calls, and does not affect "
             "the next step without lengths.",
        failure="Padded steps count in the mean, or one batch's lengths and states affect the next batch.",
        first="Look at the count that divides the gradient, and look for lengths or states that are kept between "
              "training steps.",
    ),
    Statement(
        "P116", "batch without steps",
        says="A batch without steps has a loss of 0 and a count of 0, and the rule takes a step with a gradient of "
             "zeros.",
        failure="An empty batch gives NaN through a division by 0, or resets the rule.",
        first="Look at the division by the count: the divisor is at least 1. Then look at whether the rule's state "
              "still changes.",
    ),
))  # fmt: skip
