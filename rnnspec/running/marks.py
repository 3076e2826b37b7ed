"""Where the rows of a layer end and start afresh, and the numbers that stand there in a recurrence over all steps."""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.arrays import Array
from rnnspec.contract.resets import Resets
from rnnspec.running.axes import Axes

__all__ = ["Marks"]


@dataclass(frozen=True)
class Marks:
    """The mask (time, batch, 1) of real steps, and the steps that start from zeros; None where there are none."""

    axes: Axes
    mask: Array | None
    resets: Resets | None

    def real(self, rank: int, a: Array, elsewhere: float = 0.0) -> Array:
        """Values of this rank at real steps, and a number after a row's end."""
        return a if self.mask is None else self._where(self.mask, rank, a, self._number(elsewhere))

    def going_on(self, rank: int, a: Array, elsewhere: Array | None = None) -> Array:
        """Values at steps that go on from the step before, and others, or zeros, at resets."""
        if self.resets is None:
            return a
        return self._where(self._going_on(), rank, a, self._number(0.0) if elsewhere is None else elsewhere)

    def _going_on(self) -> Array:
        return ~self.resets.here  # type: ignore[union-attr]

    def _number(self, value: float) -> Array:
        return self.axes.arrays.scalar(value)

    def _where(self, here: Array, rank: int, a: Array, elsewhere: Array) -> Array:
        return self.axes.arrays.functions["where"](self.axes.fitting(here, rank), a, elsewhere)
