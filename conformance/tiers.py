"""The tiers: the number of examples for each law and label, and the shapes at which speed is measured."""

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
    """The depth of a run: `examples` for each law and label, `wide` for long and large cases, `grids` for speed.

    `labels` is the number of cells or networks that a law without the oracle is tested on, drawn by the seed and shared
    among the precisions; None is all in each precision. `brief` leaves out cases that compile slowly, and also shares
    the labels of laws with the oracle. With `choices` what a backend chose is timed beside the rest. `minutes` is the
    time of a run that is not told how much it has; None is as much as it needs.
    """

    examples: int
    labels: int | None = None
    brief: bool = False
    wide: bool = False
    grids: tuple[Grid, ...] = ()
    choices: bool = False
    minutes: float | None = None


SMALL, MIDDLE = Shape(16, 64, 32, 64), Shape(32, 128, 128, 256)
ONE, LARGE = Shape(1, 128, 64, 128), Shape(64, 64, 512, 1024)

CELLS, BOTH = ("lstm", "gru", "elman"), ("forward", "train")

OWN_CELL = "conformance.own_cell:leaky_gate"
"""A cell that the specification does not have, as a user would write it."""

OWN = ("lstm_peephole", OWN_CELL)
"""Cells that no framework ships."""

TIERS = {
    "smoke": Tier(1, labels=2, brief=True),
    "default": Tier(2, labels=6, grids=(Grid(("lstm", "gru"), (SMALL, MIDDLE), ("train",)),), minutes=12),
    "deep": Tier(10, wide=True, grids=(Grid(CELLS, (ONE, SMALL, MIDDLE, LARGE), BOTH),
                                       Grid(OWN, (SMALL, MIDDLE), BOTH)), choices=True),
}  # fmt: skip
