"""The backend computes what the equations of the cell say."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["VALUES"]

VALUES = Theme("Values and gradients", "The backend computes what the equations of the cell say.", (
    Statement(
        "P01", "values match the oracle",
        says="With lengths, the backend's outputs and final states equal the oracle's within the rounding of the "
             "precision.",
        failure="The backend computes other numbers than the cell's equations give. A trained model that moves to this "
                "backend predicts something else.",
        first="Compare one cell, one row and one step: the usual bugs are gates in another order, a transposed map and "
              "a bias that is added twice. If the error is small, look for an approximate activation, or for an "
              "intermediate result in a narrower type.",
    ),
    Statement(
        "P01-plain", "values without lengths",
        says="Without lengths, the backend's outputs and final states equal the oracle's within the rounding of the "
             "precision.",
        failure="The backend computes wrong numbers in the call that most people write.",
        first="If P01 passes, look at what the backend does when `lengths` is None: a shorter loop, another kernel, or "
              "lengths that an earlier call left behind.",
    ),
    Statement(
        "P02", "gradients match the oracle",
        says="The backend's vector-Jacobian product equals the oracle's, for cotangents on the outputs, on the final "
             "states, on both, and on one element.",
        failure="Training on this backend follows another gradient than that of the equations. It may still converge, "
                "but to another model.",
        first="Look at which gradient is wrong: parameters (a sum over steps or rows is missing), inputs (a map is not "
              "transposed) or initial states (the cotangent of the final state is dropped).",
    ),
    Statement(
        "P02-loss", "losses match the oracle",
        says="With lengths, the backend's loss, count, gradients and final state equal the oracle's.",
        failure="The reported loss or its gradient is wrong for padded batches.",
        first="Look at the mask of the loss: padded steps must add nothing to the sum and nothing to the count. Then "
              "look for a mean where the specification wants a sum.",
    ),
    Statement(
        "P02-plain", "losses without lengths",
        says="Without lengths, the backend's loss and its gradients equal the oracle's.",
        failure="Training on batches without padding follows a wrong loss or a wrong gradient.",
        first="If P02-loss passes, look at the default for missing lengths. If it fails too, look at the factor of the "
              "loss: a half, a mean over features or a mean over rows.",
    ),
    Statement(
        "P03", "pullback is linear",
        says="The pullback is linear in its cotangents: sums give sums, a power of two scales the result without "
             "rounding, and zeros give zeros.",
        failure="The gradient depends on the size of the loss, so scaling a loss changes the direction of training.",
        first="Look for a clip, a threshold or a floor that acts on cotangents, and for a cotangent that one branch of "
              "the code drops.",
    ),
    Statement(
        "P04", "gradients match differences",
        says="In drawn directions, the central difference of the backend's own values equals the product of its "
             "gradient with the direction.",
        failure="The backend differentiates another function than the one that it runs. Its values or its gradients "
                "are wrong, and this law does not show which.",
        first="Check P01 and P02 to see which of the two is wrong. The usual bug is a pullback that was not changed "
              "together with the forward pass.",
    ),
    Statement(
        "P10", "unreached gradients are zero",
        says="A gradient that no cotangent reaches is an array of zeros in the right shape, and is neither missing nor "
             "NaN.",
        failure="Code that adds gradients up breaks on a missing one, and one NaN spoils the parameters of the model.",
        first="Look at the case in which every row has length 0, and at a division by a number of steps or by a norm "
              "that is zero there.",
    ),
    Statement(
        "P20", "loss keeps the state",
        says="A loss call returns the same final state as a run with the same arguments.",
        failure="Training that carries the state from batch to batch continues from a wrong state.",
        first="Look at what the loss call returns as its state: often the initial one, or the state at the last step "
              "of time instead of the last step of each row.",
    ),
    Statement(
        "P110", "state cotangent alone",
        says="The cotangent of a final state counts even if the cotangent of the outputs is zero, at the last steps or "
             "in an entire row.",
        failure="Gradients through the final state vanish, for instance in an encoder whose last state alone is used.",
        first="Look for code that skips steps or rows whose output cotangent is zero, or that finds a row's end by "
              "looking for zeros.",
    ),
    Statement(
        "P120", "values of drawn cells",
        says="For randomly drawn cells, and for one with every function, the backend's outputs and final states equal "
             "the oracle's.",
        failure="The backend runs the shipped cells but not every cell that a user can declare.",
        first="Run the reproducer and look at the equations of its cell: the usual cause is a primitive, a width or a "
              "form of output that no shipped cell has.",
    ),
    Statement(
        "P121", "gradients of drawn cells",
        says="For randomly drawn cells, and for one with every function, the backend's gradients equal the oracle's.",
        failure="Users who declare their own cell train it with a wrong gradient.",
        first="Run the reproducer and look at the equations of its cell: if several equations read one value, its "
              "gradient is the sum of what each of them contributes.",
    ),
    Statement(
        "P122", "unselected branches add nothing",
        says="A branch that `where`, `relu`, `maximum` or `minimum` does not select adds exactly 0 to every gradient, "
             "even if its derivative is NaN or infinite.",
        failure="A guarded expression such as `where(x > 0, sqrt(x), 0)` makes the gradient NaN, although its value is "
                "finite.",
        first="Look for a selection that multiplies by 0 and 1. Select the cotangent first, then multiply by the "
              "derivative.",
    ),
    Statement(
        "P123", "values of published cells",
        says="For every cell of `rnnspec.cells`, the backend's outputs and final states equal the oracle's.",
        failure="The backend computes a published cell that few people use differently from its paper.",
        first="The name of the network lists its cells, the lowest first: run each of them alone, and look at the "
              "equations of the first that differs.",
    ),
    Statement(
        "P124", "gradients of published cells",
        says="For every cell of `rnnspec.cells`, the backend's gradients equal the oracle's.",
        failure="A model of a published cell that few people use is trained with a wrong gradient.",
        first="The name of the network lists its cells, the lowest first: run each of them alone, and look at the "
              "parameter that the message names.",
    ),
))  # fmt: skip
