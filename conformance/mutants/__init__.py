"""Mutants: backends with one known fault each, which the suite must tell from a right one.

equations, gradients, loop    generated from the graphs, adjoints and schedules of the cells
states, lengths, steps, cotangents, losses, numbers, memory,
sharing, paths, policies, rules, extents, blocks, arguments,
counters, readings, governed     faults of the protocol around it
few         such faults of backends that declare few cells
census      all of them, and those that installed plugins offer through the hook `rnnspec_mutants`
trial       whether one property tells one mutant on one network
matrix      which properties tell which, all of them
self_test   whether every mutant is told, and by what first
"""

from conformance.mutants.census import mutants
from conformance.mutants.self_test import self_test

__all__ = ["mutants", "self_test"]
