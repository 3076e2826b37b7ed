"""Whole numbers as digits that float32 adds up exactly, so that they travel in one vector with the gradients.

>>> split(5000)
(904.0, 1.0, 0.0, 0.0)
>>> joined([2 * digit for digit in split(5000)])
10000
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BASE", "DIGITS", "joined", "split"]

BASE = 4096
"""The digits of 4,096 workers add up to less than 2^24, below which float32 holds every whole number."""
DIGITS = 4
"""Digits of one number, which is below 2^48."""


def split(number: int) -> tuple[float, ...]:
    """The digits of a whole number, the lowest first."""
    return tuple(float(number // BASE**place % BASE) for place in range(DIGITS))


def joined(digits: Sequence[float]) -> int:
    """The whole number of digits, which may be sums of digits."""
    return sum(round(digit) * BASE**place for place, digit in enumerate(digits))
