"""Cases: the calls that test a backend, drawn so that no zero, default or symmetry hides a fault.

    case        a case: a network, sizes and a seed, from which all numbers follow
    drawing     random cells
    affine      random cells that run in parallel over time
    equations   the source of a cell, as a person would write it
    networks    short fixed tables of networks, which need few compiled programs
    gains       factors and shifts of parameters, by which a network remembers
    gates       which gates stay open or closed in a case
    reach       how much the end of a case depends on its beginning, measured by the oracle's adjoint
    models      class numbers and learned states in drawn cases
    shelf       results that the processes of one run leave for each other
    search      the search for gains by which it remembers
    strategies  hypothesis strategies: of structure, seeds and scales, not of single numbers
"""

from conformance.cases.case import Arrays, Case, Planted, Pull, window
from conformance.cases.drawing import drawn_cells
from conformance.cases.gains import Gain
from conformance.cases.gates import still
from conformance.cases.models import modelled
from conformance.cases.networks import (
    BATCH,
    CELLS,
    HIDDEN,
    INPUTS,
    PUBLISHED,
    STEPS,
    WIDTHS,
    hidden_for,
    load_cell,
    network_for,
    table,
)
from conformance.cases.reach import memory
from conformance.cases.search import Remembering, remembering
from conformance.cases.strategies import (
    affine_cell_cases,
    cases,
    drawn_cases,
    drawn_cell_cases,
    drawn_cell_programs,
    wild_cases,
)

__all__ = [
    "BATCH",
    "CELLS",
    "HIDDEN",
    "INPUTS",
    "PUBLISHED",
    "STEPS",
    "WIDTHS",
    "Arrays",
    "Case",
    "Gain",
    "Planted",
    "Pull",
    "Remembering",
    "affine_cell_cases",
    "cases",
    "drawn_cases",
    "drawn_cell_cases",
    "drawn_cell_programs",
    "drawn_cells",
    "hidden_for",
    "load_cell",
    "memory",
    "modelled",
    "network_for",
    "remembering",
    "still",
    "table",
    "wild_cases",
    "window",
]
