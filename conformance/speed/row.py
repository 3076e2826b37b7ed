"""A row of the speed table: what it measures, and the numbers of all contestants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.cases import hidden_for, load_cell
from conformance.registry import Shape
from rnnspec import Cell, Layer, Network

__all__ = ["INPUTS", "Row"]

INPUTS = 3
"""The number of different inputs, taken in turn, so that no call can return the result of the call before."""


@dataclass(frozen=True)
class Row:
    """A cell, by name, at a shape, in one mode ("forward" or "train") and precision, on one device of a framework."""

    cell: str
    shape: Shape
    mode: str
    precision: str
    device: str = "cpu"

    @property
    def declared(self) -> Cell:
        """The cell."""
        return load_cell(self.cell)

    @property
    def network(self) -> Network:
        """One forward layer; another free width of the cell is three quarters of the hidden width."""
        hidden = self.shape.hidden
        widths = hidden_for(self.declared, (hidden, max(1, 3 * hidden // 4)))
        return Network(self.shape.inputs, [Layer(self.declared, widths)])

    def inputs(self) -> list[Any]:
        """Inputs (time, batch, inputs)."""
        size = (self.shape.time, self.shape.batch, self.shape.inputs)
        return [self._drawn(seed, size) for seed in range(INPUTS)]

    def cotangent(self, width: int) -> Any:
        """A cotangent of the outputs (time, batch, width)."""
        return self._drawn(INPUTS, (self.shape.time, self.shape.batch, width))

    def _drawn(self, seed: int, size: tuple[int, ...]) -> Any:
        dtype = np.float64 if self.precision == "f64" else np.float32
        return np.random.default_rng(seed).standard_normal(size).astype(dtype)
