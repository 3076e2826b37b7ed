"""The rows of a batch: which of their steps are real, in the program's time, where every row runs to the last step.

What a row computes behind its end touches no other, and is cleared before anything is added up over rows.
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
        """(time, batch, 1), true behind the rows' ends."""
        assert self.lengths is not None
        return torch.arange(self.steps, device=self.lengths.device)[:, None, None] >= self.lengths[None, :, None]

    @cached_property
    def ends(self) -> frozenset[int]:
        """The steps before which some row ends."""
        return frozenset({self.steps} if self.lengths is None else self.lengths.tolist())

    def stretches(self, low: int, high: int) -> Iterator[tuple[int, int]]:
        """A range of steps, the last first, in parts within which no row ends."""
        if self.lengths is None:
            return iter([(low, high)])
        return ((t, t + 1) for t in reversed(range(low, high)))

    def clear(self, a: Array) -> Array:
        """The values over time, zeros behind the rows' ends, in the same memory where it holds every row's."""
        if self.lengths is None:
            return a
        return torch.where(self.padded, 0.0, a) if a.ndim < 3 else a.masked_fill_(self.padded, 0.0)

    def last(self, history: Array) -> Array:
        """A state (time + 1, batch, width) after each row's last step."""
        if self.lengths is None:
            return history[self.steps].clone()
        return history.gather(0, self.lengths.long()[None, :, None].expand(1, *history.shape[1:]))[0]

    def receive(self, end: int, given: Array, carried: Array) -> None:
        """Put the cotangents of the final states into the rows that end before step `end`, the first that they lack."""
        if self.lengths is None:
            carried.copy_(given)
        else:
            torch.where((self.lengths == end)[:, None], given, carried, out=carried)
