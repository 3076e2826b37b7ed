"""The steps after a row's end do not exist."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["PADDING"]

PADDING = Theme("Padding", "The steps after a row's end do not exist.", (
    Statement(
        "P30", "padding has no effect",
        says="The numbers that stand after a row's end change no value and no gradient.",
        failure="Results depend on how a batch was padded, and NaN in the padding spreads into the row.",
        first="Look for a mask that multiplies by 0: NaN times 0 is NaN. Select with `where` instead.",
    ),
    Statement(
        "P30-loss", "padded targets are ignored",
        says="Inputs and targets after a row's end change neither the loss nor its gradients, even if a target is NaN "
             "or no valid class.",
        failure="Losses depend on the value with which targets are padded, or padded targets raise an error.",
        first="Look at whether the loss is computed for all steps first and masked afterwards, and at how class "
              "numbers are used as an index.",
    ),
    Statement(
        "P31", "longer padding",
        says="Three more padded steps of NaN change no value and no gradient.",
        failure="Results depend on the longest row of the batch.",
        first="Look for code that reads the last step in time instead of each row's last step.",
    ),
    Statement(
        "P32", "padded outputs are zero",
        says="Outputs after a row's end are exactly 0, also after an output layer.",
        failure="Code that sums or averages outputs counts padding.",
        first="Look at whether the mask is applied after the output layer: its bias is not 0.",
    ),
    Statement(
        "P33", "state at the end",
        says="A row's final state is the state after the row's own last step.",
        failure="A model that continues from the final state continues from padding.",
        first="Look at how states are held after a row's end: the new state must be replaced by the old one at every "
              "padded step.",
    ),
    Statement(
        "P34", "no gradients for padding",
        says="Inputs after a row's end have a gradient of exactly 0.",
        failure="Layers below receive gradients from padding, and learn from it.",
        first="Look at whether the pullback uses the lengths too, and not only the forward pass.",
    ),
    Statement(
        "P34-loss", "padded inputs under loss",
        says="Under a loss, inputs after a row's end, and states of rows without a step, have a gradient of exactly 0.",
        failure="A loss sends gradients from padding into the layers below.",
        first="Look at whether the cotangent of the loss is masked before it enters the pullback.",
    ),
    Statement(
        "P35", "full lengths",
        says="Lengths that all equal the number of steps give the same values and gradients as no lengths.",
        failure="Passing lengths changes the result even though no row is padded.",
        first="Compare the code for both calls: different kernels, or a mask that is off by one at the last step.",
    ),
    Statement(
        "P36", "rows without steps",
        says="A row of length 0 returns its initial state, passes on its state's cotangent unchanged, and has outputs "
             "and input gradients of exactly 0.",
        failure="Empty rows, which appear as fillers in many batches, return zeros or crash the backend.",
        first="Look for a length that is raised to 1, and for a final state that is read at the index length minus "
              "one.",
    ),
))  # fmt: skip
