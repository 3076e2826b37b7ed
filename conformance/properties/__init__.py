"""The laws that every backend is judged by, a module for each concern; `python -m conformance --list` shows them all.

values, gradients    against the oracle, against differences, and against the backend itself
steps, directions    time: splits, causality, truncation, the reverse half, the stack
rows, padding        the batch, and what stands behind a row's end
algebra, spelling    what follows from the equations of any cell: signs, scales, orders, constants
alignment            the loss of sequences whose alignment is not known
extremes             large numbers and NaN
control              gradient policies and update rules

asking, training, networks, parity, parted, truncation    what they are written with
"""
