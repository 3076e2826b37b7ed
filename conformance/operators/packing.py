"""Rows of different lengths packed into one, as cumulative lengths describe them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Packing"]

Array = Any


@dataclass(frozen=True)
class Packing:
    """The places of the real steps of rows: of all rows one after the other."""

    steps: int
    ends: Array

    @property
    def cumulative(self) -> Array:
        """The cumulative lengths: 0, and the end of each row among all."""
        return np.concatenate([[0], np.cumsum(self.ends)]).astype(np.int64)

    @property
    def _places(self) -> tuple[Array, Array]:
        rows = np.repeat(np.arange(len(self.ends)), self.ends)
        starts = np.repeat(np.cumsum(self.ends) - self.ends, self.ends)
        return np.arange(len(rows)) - starts, rows

    def packed(self, a: Array) -> Array:
        """An array (time, batch, ...) as (steps of all rows, 1, ...)."""
        return a[self._places][:, None]

    def apart(self, a: Array) -> Array:
        """The inverse of `packed`, with zeros after the end of each row."""
        found = np.zeros((self.steps, len(self.ends), *a.shape[2:]), a.dtype)
        found[self._places] = a[:, 0]
        return found
