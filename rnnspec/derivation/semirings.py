"""The two semirings in which a recurrence `h' = a * h + u` can be run by a scan."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LINEAR", "TROPICAL", "Semiring"]


@dataclass(frozen=True)
class Semiring:
    """The primitives that stand for `+` and `*` of a recurrence, and their neutral numbers."""

    plus: str
    times: str
    zero: float
    one: float


LINEAR = Semiring("add", "multiply", 0.0, 1.0)
"""Sums and products: `h' = a * h + u`."""
TROPICAL = Semiring("maximum", "add", float("-inf"), 0.0)
"""Maxima and sums: `m' = max(m + f, i)`, as of a stabiliser."""
