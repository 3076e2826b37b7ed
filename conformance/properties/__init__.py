"""The checks of the laws, a module for each topic; `conformance.statements` has what each law says.

values, gradients    compared with the oracle, with differences, and with the backend itself
steps, directions    time: splits, causality, truncation, the reverse half, the stack
rows, padding        the batch, and the steps after a row's end
algebra, spelling    what follows from the equations of any cell: signs, scales, orders, constants
alignment            the loss of sequences whose alignment is unknown
extremes             large numbers and NaN
control              gradient policies and update rules

asking, training, networks, parity, parted, truncation    what the checks are written with
"""
