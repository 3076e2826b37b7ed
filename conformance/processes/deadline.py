"""The moment at which a run must end, which all processes of a machine read from one clock.

>>> Deadline().over, Deadline.within(0.0).over
(False, True)
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

__all__ = ["OVER", "Deadline"]

OVER = "the time of the run was over"
"""The reason for what was not asked."""


@dataclass(frozen=True)
class Deadline:
    """`at` is a time of `time.monotonic`, or None where a run may take as long as it needs."""

    at: float | None = None

    @classmethod
    def within(cls, minutes: float | None) -> Deadline:
        """The deadline so many minutes from now."""
        return cls(None if minutes is None else time.monotonic() + 60 * minutes)

    @property
    def minutes(self) -> float:
        """What is left, at least 0."""
        return math.inf if self.at is None else max(0.0, self.at - time.monotonic()) / 60

    @property
    def over(self) -> bool:
        """Whether nothing is left."""
        return self.minutes == 0

    def part(self, turns: int) -> Deadline:
        """The deadline of the first of so many turns, one after the other, which share what is left."""
        return self if self.at is None else Deadline.within(self.minutes / max(1, turns))
