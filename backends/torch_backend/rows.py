"""The rows of a batch and their real steps, in a program that runs every row to the last step.

The values of a row after its end affect no other row, and are cleared before sums over rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch

from rnnspec.contract.arrays import Array

__all__ = ["Rows"]


class Rows:
    """`lengths` (batch,), None where every row has all `steps`."""

    def __init__(self, steps: int, lengths: Array | None) -> None:
        self.steps, self.lengths = steps, lengths

    @cached_property
    def padded(self) -> Array:
        """The mask (time, batch, 1), true after the rows' ends."""
        assert self.lengths is not None
        return torch.arange(self.steps, device=self.lengths.device)[:, None, None] >= self.lengths[None, :, None]

    @cached_property
    def ends(self) -> frozenset[int]:
        """The steps before which a row ends."""
        return frozenset({self.steps} if self.lengths is None else self.lengths.tolist())

    def stretches(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """A range of steps, the last first, in parts within which no row ends."""
        if self.lengths is None:
            return iter([(low, high)])
        return ((t, t + 1) for t in reversed(range(low, high)))

    def clear(self, a: Array) -> Array:
        """The values over time with zeros after the rows' ends, in place where the array has all rows."""
        if self.lengths is None:
            return a
        return torch.where(self.padded, 0.0, a) if a.ndim < 3 else a.masked_fill_(self.padded, 0.0)

    def last(self, history: Array) -> Array:
        """A state (time + 1, batch, width) after each row's last step."""
        if self.lengths is None:
            return history[self.steps].clone()
        return history.gather(0, self.lengths.long()[None, :, None].expand(1, *history.shape[1:]))[0]

    def receive(self, end: int, given: Array, carried: Array) -> None:
        """Put the cotangents of the final states into the rows whose first missing step is `end`."""
        if self.lengths is None:
            carried.copy_(given)
        else:
            torch.where((self.lengths == end)[:, None], given, carried, out=carried)
