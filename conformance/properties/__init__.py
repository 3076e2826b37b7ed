"""The checks of the laws, a package for each topic; `conformance.statements` has what each law says.

equations    values and gradients, and what follows from the equations of any cell
sequences    time, directions, rows and padding
learning     losses and training steps
control      gradient policies and update rules
calls        arguments, memory, threads, paths
ranges       sizes and numbers
workers      losses and training steps of several workers

asking, networks, extents, truncation    what the checks are written with
"""
