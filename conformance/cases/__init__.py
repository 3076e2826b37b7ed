"""Cases: what a backend is asked, drawn so that no fault can hide behind a zero, a default or a symmetry.

    case        one question, whole: a network, sizes, a seed; every number follows from it
    networks    the short fixed tables that need few compiled programs
    strategies  what hypothesis draws: structure, seeds and scales, never single numbers of an array
"""

from conformance.cases.case import Arrays, Case, Planted, Pull, window
from conformance.cases.networks import (
    BATCH,
    CELLS,
    HIDDEN,
    INPUTS,
    STEPS,
    WIDTHS,
    hidden_for,
    load_cell,
    network_for,
    table,
)
from conformance.cases.strategies import cases, drawn_cases, wild_cases

__all__ = [
    "BATCH",
    "CELLS",
    "HIDDEN",
    "INPUTS",
    "STEPS",
    "WIDTHS",
    "Arrays",
    "Case",
    "Planted",
    "Pull",
    "cases",
    "drawn_cases",
    "hidden_for",
    "load_cell",
    "network_for",
    "table",
    "wild_cases",
    "window",
]
