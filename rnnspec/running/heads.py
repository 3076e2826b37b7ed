"""The heads of a layer among the axes of its values.

Within the loop the axis of heads stands before that of the batch, `(time, heads, batch, width)`, so that one product
with maps `(heads, out, in)` serves all heads, and a layer without heads has the same axes but that one.
"""

from __future__ import annotations

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
        """Parts side by side, (..., batch, parts * width), as (..., parts, batch, width)."""
        if self.cell.heads is None:
            return a
        parts = self.cell.beside(name)
        split = self.arrays.reshape(a, (*a.shape[:-1], parts, a.shape[-1] // parts))
        return self.arrays.permute(split, _swapped(len(split.shape), -3, -2))

    def beside(self, a: Array, name: str) -> Array:
        """The inverse of `apart` for cotangents: those of what heads share are added up."""
        if self.cell.heads is None:
            return a
        if name in self.cell.shared:
            return self.arrays.sum(a, (-3,), False)
        moved = self.arrays.permute(a, _swapped(len(a.shape), -3, -2))
        return self.arrays.reshape(moved, (*moved.shape[:-2], moved.shape[-2] * moved.shape[-1]))

    def learned(self, a: Array, name: str) -> Array:
        """A vector or matrix of the parameters, with axes that fit values."""
        if self.cell.heads is None:
            return a
        if self.cell.ranks[name] == VECTOR:
            return self.arrays.reshape(a, (self.cell.beside(name), 1, a.shape[-1] // self.cell.beside(name)))
        return a if name in self.cell.shared else self.arrays.reshape(a, (a.shape[0], 1, *a.shape[1:]))

    def gradient(self, a: Array, name: str) -> Array:
        """The sum over time and rows of the cotangents (time, batch, ...) of a vector or matrix of the parameters."""
        if self.cell.heads is None:
            return self.arrays.sum(a, (0, 1), False)
        if name in self.cell.shared:
            return self.arrays.sum(a, (0, 1, 2), False)
        found = self.arrays.sum(a, (0, 2), False)
        return found if self.cell.ranks[name] > VECTOR else self.arrays.reshape(found, (-1,))

    def inner(self, a: Array) -> Array:
        """A state (batch, heads, ...) as (heads, batch, ...)."""
        return a if self.cell.heads is None else self.arrays.permute(a, _swapped(len(a.shape), 0, 1))

    outer = inner
    """The inverse, which exchanges the same two axes."""

    def rows(self, a: Array, name: str) -> Array:
        """Values of all steps as the rows of a product: (rows, width), or (heads, rows, width) of maps with heads."""
        width = a.shape[-1]
        if self.cell.heads is None or name in self.cell.shared:
            return self.arrays.reshape(a, (-1, width))
        return self.arrays.reshape(self.arrays.permute(a, (1, 0, 2, 3)), (self.cell.heads, -1, width))

    def flat(self, a: Array) -> Array:
        """A state of a step with all of a row's entries side by side, as policies see it: (batch, entries)."""
        moved = self.outer(a)
        return self.arrays.reshape(moved, (moved.shape[0], -1))

    def unflat(self, a: Array, like: Array) -> Array:
        """The inverse of `flat`, for a state like another."""
        moved = self.outer(like)
        return self.inner(self.arrays.reshape(a, tuple(moved.shape)))


def _swapped(rank: int, one: int, other: int) -> tuple[int, ...]:
    order = list(range(rank))
    order[one], order[other] = order[other], order[one]
    return tuple(order)
