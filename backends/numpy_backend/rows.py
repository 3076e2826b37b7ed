"""The rows of a batch in the order of a program: longest first, so that those which have a step are the first ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]

Array = NDArray[Any]


class Rows:
    """The order of the rows, longest first, and how many of them have each step."""

    def __init__(self, steps: int, batch: int, lengths: Array | None) -> None:
        self.lengths = None if lengths is None or bool((lengths == steps).all()) else lengths
        self.counts: Sequence[int] = [batch] * steps
        if self.lengths is not None:
            self.order = np.argsort(-self.lengths, kind="stable")
            self.sorted_lengths = self.lengths[self.order]
            self.inverse = np.argsort(self.order, kind="stable")
            self.counts = [int(n) for n in (self.lengths[None, :] > np.arange(steps)[:, None]).sum(1)]

    def sort(self, a: Array, axis: int) -> Array:
        """Rows in the order of the program."""
        return a if self.lengths is None else a.take(self.order, axis)

    def unsort(self, a: Array, axis: int) -> Array:
        """Rows in the caller's order, in memory of their own."""
        return a.copy() if self.lengths is None else a.take(self.inverse, axis)

    def clear(self, a: Array) -> None:
        """Zeros where no row has a step; `a` is (time, batch, ...) in the program's order."""
        if self.lengths is not None:
            for t, n in enumerate(self.counts):
                a[t, n:] = 0
