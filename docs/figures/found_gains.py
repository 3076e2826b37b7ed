"""Searches the gains of the layers that every run of the suite makes remember: `conformance/cases/found_gains.json`.

    python docs/figures/found_gains.py
"""

from __future__ import annotations

from rich.progress import track

from conformance.cases import CELLS, STEPS, found_gains, hidden_for
from conformance.cases.search import alone, search
from conformance.own_cell import leaky_gate
from conformance.properties.sequences.remembering import EXTENTS, HEADED, WIDTHS
from rnnspec import Layer

LISTED = (*CELLS.values(), leaky_gate)


def asked() -> list[tuple[Layer, int]]:
    """The layers that the laws on long memory ask, by themselves, with their numbers of steps."""
    layers = [Layer(cell, hidden_for(cell, WIDTHS)) for cell in LISTED]
    found = [(layer, steps) for layer in layers for steps in EXTENTS]
    found += [(Layer(cell, hidden_for(cell)), STEPS) for cell in LISTED]
    return [(alone(layer), steps) for layer, steps in (*found, *((layer, EXTENTS[-1]) for layer in HEADED))]


def main() -> None:
    found_gains.keep({found_gains.key(layer, steps): search(layer, steps) for layer, steps in track(asked())})


if __name__ == "__main__":
    main()
