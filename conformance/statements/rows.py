"""Rows are independent of one another."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["ROWS"]

ROWS = Theme("The batch", "Rows are independent of one another.", (
    Statement(
        "P25", "order of rows",
        says="The order of a batch's rows, sorted by length or not, changes nothing but the order of the answer's "
             "rows.",
        failure="Results depend on how a batch was assembled.",
        first="If the backend sorts rows by length, look at whether outputs, states and gradients are all put back in "
              "order.",
    ),
    Statement(
        "P26", "batch in parts",
        says="Two parts of a batch give the same rows as the complete batch, and their parameter gradients add up to "
             "its gradients.",
        failure="Data-parallel training and gradient accumulation give other gradients than one large batch.",
        first="Look for a mean over rows where the pullback must give a sum.",
    ),
    Statement(
        "P26-loss", "losses add up",
        says="Losses, counts and gradients of two parts of a batch add up to those of the complete batch.",
        failure="A loss that is averaged over several batches is wrong, and so is its gradient.",
        first="Look for a mean inside the loss, and for a count that includes padded steps or rows of length 0.",
    ),
    Statement(
        "P27", "doubled rows count twice",
        says="A row that stands twice in a batch adds its parameter gradient twice.",
        failure="The parameter gradients are not sums over rows: rows are averaged, dropped or deduplicated.",
        first="Look at the sum over rows in the gradients of the parameters.",
    ),
    Statement(
        "P28", "bad rows stay alone",
        says="A row with NaN or infinity changes no other row's outputs, states or gradients.",
        failure="One bad sample spoils the results of every other sample in its batch.",
        first="Look for a mask that multiplies by zero, a mean over the batch, and a product in which rows are mixed.",
    ),
    Statement(
        "P29", "any batch size",
        says="A batch of any size gives the same rows as a smaller batch.",
        failure="Results change when a batch crosses the size of a block, so a bug appears only in production.",
        first="Look at sizes that are no multiple of the block of the kernel, and at a batch of one row whose axis is "
              "squeezed away.",
    ),
))  # fmt: skip
