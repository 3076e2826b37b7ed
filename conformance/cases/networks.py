"""The fixed networks and sizes: a backend that compiles needs few programs for them."""

from __future__ import annotations

from rnnspec import cells
from rnnspec.cell import Cell
from rnnspec.network import Network

__all__ = ["BATCH", "CELLS", "HIDDEN", "INPUTS", "STEPS", "load_cell", "network_for", "table"]

STEPS, BATCH, INPUTS, HIDDEN = 7, 5, 3, 4
"""The sizes of the default table, all different, so that no two axes can be taken for each other."""

CELLS: dict[str, Cell] = {name: value for name, value in vars(cells).items() if isinstance(value, Cell)}
"""The cells of the specification, by name."""


def load_cell(name: str) -> Cell:
    """A cell by name: one of the specification, or `module:name` for anybody's own.

    Raises LookupError where there is none.
    """
    raise NotImplementedError


def network_for(cell: Cell) -> Network:
    """One forward layer of a cell, its widths all different where the cell lets them differ."""
    raise NotImplementedError


def table(cell_list: tuple[Cell, ...]) -> dict[str, Network]:
    """The default networks by name: one for each cell, and two deep ones that are made of the cells in turn."""
    raise NotImplementedError
