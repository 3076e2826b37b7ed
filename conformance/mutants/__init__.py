"""Mutants: backends with one known fault each, which the suite must tell from a right one.

derived      faults generated from the graphs, adjoints and schedules of the cells
sequences    time and rows: steps, directions, lengths, states, cotangents
learning     losses and training steps
control      gradient policies and update rules
calls        arguments, memory, threads, paths
ranges       sizes and numbers
parts        heads, the rows and columns of matrices, arrays that are given by name, class numbers, learned states
parallel     time in parallel: scans, chunks, segments, and which path runs

faulty       the places at which a backend can be faulty
census       all mutants, and those that installed plugins offer through the hook `rnnspec_mutants`
trial        whether one law detects one mutant on one network
matrix       which laws detect which, all of them
self_test    whether every mutant is detected, and by what first
"""

from conformance.mutants.census import mutants
from conformance.mutants.self_test import self_test

__all__ = ["mutants", "self_test"]
