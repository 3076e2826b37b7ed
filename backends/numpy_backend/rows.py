"""The rows of a batch in the order of a program: longest first, so that the rows with a given step come first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows"]

Array = NDArray[Any]


class Rows:
    """The order of the rows, longest first, and the number of rows that have each step.

    In a segment of a longer run lengths may be below 0, or above its steps: the order is that of the complete run.
    """

    def __init__(self, steps: int, batch: int, lengths: Array | None) -> None:
        ordered = lengths is None or bool((lengths == lengths[0]).all() and lengths[0] >= steps)
        self.lengths = None if ordered else lengths
        self.counts: Sequence[int] = [batch] * steps
        if self.lengths is not None:
            self.order = np.argsort(-self.lengths, kind="stable")
            self.sorted_lengths = self.lengths[self.order].clip(0, steps)
            self.inverse = np.argsort(self.order, kind="stable")
            self.counts = [int(n) for n in (self.lengths[None, :] > np.arange(steps)[:, None]).sum(1)]

    def sort(self, a: Array, axis: int) -> Array:
        """Rows in the order of the program."""
        return a if self.lengths is None else a.take(self.order, axis)

    def unsort(self, a: Array, axis: int) -> Array:
        """Copies of the rows in the caller's order."""
        return a.copy() if self.lengths is None else a.take(self.inverse, axis)

    def clear(self, a: Array, when: slice) -> None:
        """Zeros where no row has a step; `a` is (time, batch, ...) of some steps in the program's order."""
        if self.lengths is not None:
            for t, n in enumerate(self.counts[when]):
                a[t, n:] = 0
