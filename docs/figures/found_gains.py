"""Searches the gains of what every run of the suite makes remember: `conformance/cases/found_gains.json`.

    python docs/figures/found_gains.py
"""

from __future__ import annotations

from rich.progress import track

from conformance.cases import CELLS, STEPS, Case, found_gains, hidden_for
from conformance.cases.search import alone, begun, drawn, search, sought
from conformance.own_cell import leaky_gate
from conformance.properties.sequences.remembering import COMPILED, EXTENTS, HEADED, INPUTS, ROWS, SEEDS, WIDTHS
from rnnspec import Cell, Layer, Network

LISTED = (*CELLS.values(), leaky_gate)
PATIENCE = 100
"""The most generations of a search for one case: nobody waits for it."""


def layers() -> list[tuple[Layer, int]]:
    """The layers that the laws on long memory ask, by themselves, with their numbers of steps."""
    plain = [of_width(cell) for cell in LISTED]
    found = [(layer, steps) for layer in plain for steps in EXTENTS]
    found += [(Layer(cell, hidden_for(cell)), STEPS) for cell in LISTED]
    return [(alone(layer), steps) for layer, steps in (*found, *((layer, EXTENTS[-1]) for layer in HEADED))]


def cases() -> list[Case]:
    """The cases of several layers or halves that these laws ask."""
    above = of_width(LISTED[COMPILED])
    stacks = [((of_width(cell), above), steps) for cell in LISTED for steps in EXTENTS[1:]]
    stacks += [((of_width(cell, "bidirectional"),), EXTENTS[-1]) for cell in LISTED]
    return [Case(Network(INPUTS, stack), steps, ROWS, seed=seed) for stack, steps in stacks for seed in SEEDS]


def of_width(cell: Cell, direction: str = "forward") -> Layer:
    """A layer of the width that these laws give it."""
    return Layer(cell, hidden_for(cell, WIDTHS), direction)


def main() -> None:
    found = {found_gains.layer_key(layer, steps): search(layer, steps) for layer, steps in track(layers())}
    for case in track(cases()):
        first = begun(case)
        if drawn(first) is None:
            found[found_gains.case_key(case)] = sought(first, PATIENCE).gains
    found_gains.keep(found)


if __name__ == "__main__":
    main()
