"""How deep the suite looks: examples per property and label, and the shapes at which speed is measured."""

from __future__ import annotations

from dataclasses import dataclass

from conformance.registry import Shape

__all__ = ["OWN_CELL", "TIERS", "Grid", "Tier"]


@dataclass(frozen=True)
class Grid:
    """Speed rows: every cell at every shape in every mode."""

    cells: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    modes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tier:
    """`examples` per property and label; `wide` for long and large cases; `grids` for speed.

    `labels` is how many cells or networks a property without the oracle is judged on, drawn by the seed and shared
    among the precisions; None for all of them in each. `brief` leaves out what takes long to compile, and shares those
    of the oracle's properties too.
    """

    examples: int
    labels: int | None = None
    brief: bool = False
    wide: bool = False
    grids: tuple[Grid, ...] = ()


SMALL, MIDDLE = Shape(16, 64, 32, 64), Shape(32, 128, 128, 256)
ONE, LARGE = Shape(1, 128, 64, 128), Shape(64, 64, 512, 1024)

CELLS, BOTH = ("lstm", "gru", "elman"), ("forward", "train")

OWN_CELL = "conformance.own_cell:leaky_gate"
"""A cell that the specification does not have, as a user would write it."""

OWN = ("lstm_peephole", OWN_CELL)
"""Cells that no framework ships."""

TIERS = {
    "smoke": Tier(1, labels=2, brief=True),
    "default": Tier(2, labels=6, grids=(Grid(("lstm", "gru"), (SMALL, MIDDLE), ("train",)),)),
    "deep": Tier(10, wide=True, grids=(Grid(CELLS, (ONE, SMALL, MIDDLE, LARGE), BOTH),
                                       Grid(OWN, (SMALL, MIDDLE), BOTH))),
}  # fmt: skip
