"""A precision, as what it may round: the unit roundoff of what is stored and of sums, and the error of functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """`unit` for stored numbers, `accumulator` for sums, `function` for an elementary function, in units.

    `tiny` is the smallest normal number and `largest` the largest: flushing below and overflow above are allowed.
    """

    name: str
    unit: float
    accumulator: float
    tiny: float
    largest: float
    function: float = 4.0

    def round(self, array: Any) -> Any:
        """Real numbers as the nearest ones of this precision, in NumPy's nearest dtype; whole numbers as they are."""
        raise NotImplementedError


def _profile(name: str, bits: int, accumulator: int, like: Any) -> Profile:
    info = np.finfo(like)
    return Profile(name, 2.0**-bits, 2.0**-accumulator, float(info.tiny), float(info.max))


PROFILES = {
    "f64": _profile("f64", 53, 53, np.float64),
    "f32": _profile("f32", 24, 24, np.float32),
    "bf16": _profile("bf16", 8, 24, np.float32),
    "f16": _profile("f16", 11, 24, np.float16),
}
"""By the name of the precision (`Backend.precision`)."""
