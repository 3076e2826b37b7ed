"""Cases: what a backend is asked, drawn so that no fault can hide behind a zero, a default or a symmetry.

    case        one question, whole: a network, sizes, a seed; every number follows from it
    drawing     cells that nobody thought of
    equations   a cell as the source that a person would write
    networks    the short fixed tables that need few compiled programs
    strategies  what hypothesis draws: structure, seeds and scales, never single numbers of an array
"""

from conformance.cases.case import Arrays, Case, Planted, Pull, window
from conformance.cases.drawing import drawn_cells
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
from conformance.cases.strategies import cases, drawn_cases, drawn_cell_cases, drawn_cell_programs, wild_cases

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
    "drawn_cell_cases",
    "drawn_cell_programs",
    "drawn_cells",
    "hidden_for",
    "load_cell",
    "network_for",
    "table",
    "wild_cases",
    "window",
]
