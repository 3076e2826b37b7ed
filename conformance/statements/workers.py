"""Several workers with rows of their own compute what one process computes with all rows."""

from __future__ import annotations

from conformance.statements.statement import Statement, Theme

__all__ = ["WORKERS"]

WORKERS = Theme("Workers", "Several workers with rows of their own compute what one process computes with all rows.", (
    Statement(
        "P200", "sums of workers",
        says="However rows are shared among workers, each worker gets the loss, the count and the gradients of "
             "parameters of all rows, with the same bits.",
        failure="Several machines train another network than one machine does with the same data.",
        first="Look at whether loss, count and every parameter are added up once, and nothing is a mean of means.",
    ),
    Statement(
        "P201", "own rows",
        says="However rows are shared among workers, final states and the gradients of inputs and initial states are "
             "those of the worker's own rows.",
        failure="A stream goes on from the states of other rows, or what is trained below the network learns another "
                "loss.",
        first="Look at whether a number that belongs to a row is added up, scaled or taken from another worker.",
    ),
    Statement(
        "P202", "training by workers",
        says="Training steps of several workers give the parameters and the rule's state that one process gets with "
             "all rows, with the same bits on every worker.",
        failure="A policy sees another gradient on each worker, or the parameters of the workers drift apart.",
        first="Look at whether policies act on the sums, after the exchange, and on nothing that a worker has alone.",
    ),
    Statement(
        "P203", "non-finite numbers of workers",
        says="Where a gradient of one worker is not finite, all workers skip the step, halve the scale of the loss, "
             "or raise the error.",
        failure="One worker skips a step that the others take, and the parameters of the workers drift apart.",
        first="Look at whether the gradient is tested before the exchange, or replaced in it.",
    ),
    Statement(
        "P204", "noise of workers",
        says="With the key of all rows, a worker's rows have the noise that they have in one process, where they "
             "follow the rows of lower ranks.",
        failure="The workers repeat the masks of the first one, or a result depends on the number of workers.",
        first="Look at how many rows are counted before those of a worker, where workers have unequal numbers.",
    ),
    Statement(
        "P205", "failing worker",
        says="Where a worker's call fails, it raises its own error, all others raise a WorkerError that names its "
             "rank, and the next call is as before.",
        failure="One bad batch makes all other workers wait without end, or go on without its rows.",
        first="Look at whether the worker that fails takes part in the exchange, and says there that it failed.",
    ),
    Statement(
        "P206", "mean over workers",
        says="The average over workers of `mean_loss(loss_sum, count)` is the mean loss of all real steps, also where "
             "a worker has none.",
        failure="A framework that averages gradients over workers weighs rows of short batches by more.",
        first="Look at whether the sum is divided by the count of all workers, and multiplied by their number.",
    ),
    Statement(
        "P207", "counts of workers",
        says="Counts of workers are added up exactly, beyond 2^24 and whatever the precision of the backend.",
        failure="The mean gradient of many rows is off by the steps that a rounded count has lost.",
        first="Look at whether counts travel as float32 or bfloat16 numbers.",
    ),
    Statement(
        "P208", "windows of workers",
        says="The windows of a sequence, read by several workers with rows of their own, give the sums that one "
             "process gets.",
        failure="Truncated backpropagation on several machines sums some windows more than once.",
        first="Look at whether windows are added up on each worker first, and exchanged once.",
    ),
    Statement(
        "P209", "time on workers",
        says="However the steps of a sequence are shared among workers, `Chain`, `Wavefront` and `Summaries` give the "
             "loss, gradients and final states that one process gets.",
        failure="A sequence that is too long for one machine trains another network on several.",
        first="Look at whether `run` and `pullback` take the state and the cotangent that another worker hands on.",
    ),
))  # fmt: skip
