"""Mutants: backends with one known fault each, which the suite must tell from a right one.

equations, gradients, loop    generated from the graphs, adjoints and schedules of the cells
states, lengths, steps, cotangents, losses, numbers, memory, paths, policies, rules    faults of the protocol around it
census      all of them, and those that installed plugins offer through the hook `rnnspec_mutants`
self_test   which properties kill which
"""

from conformance.mutants.census import mutants
from conformance.mutants.self_test import self_test

__all__ = ["mutants", "self_test"]
