"""The heads of a layer among the axes of its values: `(time, batch, heads, width)`, and no such axis without heads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.ranks import VECTOR

__all__ = ["Heads"]


@dataclass(frozen=True)
class Heads:
    """The heads of a cell, or none. `name` is that of a width class: what heads share has one part for all."""

    arrays: Arrays
    cell: Cell

    def apart(self, a: Array, name: str) -> Array:
        """Parts side by side, (..., parts * width), as (..., parts, width)."""
        if self.cell.heads is None:
            return a
        parts = self.cell.beside(name)
        return self.arrays.reshape(a, (*a.shape[:-1], parts, a.shape[-1] // parts))

    def beside(self, a: Array, name: str) -> Array:
        """The inverse of `apart` for cotangents: those of what heads share are added up."""
        if self.cell.heads is None:
            return a
        if name in self.cell.shared:
            return self.arrays.sum(a, (-2,), False)
        return self.arrays.reshape(a, (*a.shape[:-2], a.shape[-2] * a.shape[-1]))

    def learned(self, a: Array, name: str) -> Array:
        """A vector of the parameters as (parts, width); a matrix has its axis of heads already."""
        if self.cell.heads is None or self.cell.ranks[name] > VECTOR:
            return a
        return self.apart(a, name)

    def gradient(self, a: Array, name: str) -> Array:
        """The sum over time and rows of the cotangents (time, batch, ...) of a vector or matrix of the parameters."""
        if self.cell.heads is None:
            return self.arrays.sum(a, (0, 1), False)
        if name in self.cell.shared:
            return self.arrays.sum(a, (0, 1, 2), False)
        found = self.arrays.sum(a, (0, 1), False)
        return found if self.cell.ranks[name] > VECTOR else self.arrays.reshape(found, (-1,))

    def rows(self, a: Array, name: str) -> Array:
        """Values of all steps as the rows of a product: (rows, width), or (heads, rows, width) of maps with heads."""
        width = a.shape[-1]
        if self.cell.heads is None or name in self.cell.shared:
            return self.arrays.reshape(a, (-1, width))
        return self.arrays.reshape(self.arrays.permute(a, (2, 0, 1, 3)), (self.cell.heads, -1, width))

    def through(self, a: Array, product: Callable[[Array], Array]) -> Array:
        """A product of stacks of rows, (heads, batch, in), for values (..., batch, heads, in): one for all heads.

        What is made of parameters alone, (heads, in), is a stack of one row.
        """
        if len(a.shape) == 2:
            return product(a[:, None])[:, 0]
        return self._exchanged(product(self._exchanged(a)))

    def _exchanged(self, a: Array) -> Array:
        """The values with the axes of batch and heads exchanged."""
        rank = len(a.shape)
        return self.arrays.permute(a, (*range(rank - 3), rank - 2, rank - 3, rank - 1))
