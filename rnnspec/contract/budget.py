"""Time budgets: a backend declares the most time that it takes, relative to a layer of another library.

>>> from rnnspec import cells
>>> budget = Budget(cells.lstm, "train", "torch.nn.LSTM", 1.2, Size.SMALL)
>>> budget.covers(cells.lstm, "train", batch=16, hidden=64), budget.covers(cells.lstm, "train", batch=16, hidden=256)
(True, False)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rnnspec.errors import NetworkError
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell

__all__ = ["MODES", "Budget", "Size"]

MODES = ("forward", "train")
"""The modes of a call: outputs and states only, or gradients too."""

LARGE_FROM = 128


class Size(Enum):
    """Sizes of a call, by what takes the time: calls, or matrix products."""

    ROW = "one row"
    """Batches of one row."""

    SMALL = "small"
    """Several rows, states of fewer than 128 numbers."""

    LARGE = "large"
    """Several rows, states of 128 numbers or more."""

    @staticmethod
    def of(batch: int, hidden: int) -> Size:
        """The size of a layer's call."""
        return Size.ROW if batch == 1 else Size.LARGE if hidden >= LARGE_FROM else Size.SMALL


@dataclass(frozen=True)
class Budget:
    """A promise to take at most `ratio` times the time of the layer `peer`, for one cell and mode, at one size or all.

    `peer` is the layer's name in the speed table, such as "torch.nn.LSTM". Raises NetworkError where an argument is not
    valid.
    """

    cell: Cell
    mode: str
    peer: str
    ratio: float
    size: Size | None = None

    def __post_init__(self) -> None:
        number = isinstance(self.ratio, int | float) and not isinstance(self.ratio, bool)
        for holds, must, got in (
            (isinstance(self.cell, Cell), "cell must be a cell", self.cell),
            (self.mode in MODES, f"mode must be one of {', '.join(MODES)}", self.mode),
            (isinstance(self.peer, str) and self.peer, "peer must be the name of a layer", self.peer),
            (number and 0 < self.ratio < float("inf"), "ratio must be a finite number above 0", self.ratio),
            (self.size is None or isinstance(self.size, Size), "size must be a Size, or None for all", self.size),
        ):
            if not holds:
                raise NetworkError("Budget(...)", must, shown(got), "declare a measured ratio to a layer")

    def covers(self, cell: Cell, mode: str, batch: int, hidden: int) -> bool:
        """Whether the budget applies to this call."""
        return (cell, mode) == (self.cell, self.mode) and self.size in (None, Size.of(batch, hidden))
