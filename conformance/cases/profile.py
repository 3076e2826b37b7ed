"""The profile of a precision: the unit roundoff of stored numbers and of sums, and the error of functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True)
class Profile:
    """`unit` for stored numbers, `accumulator` for sums, `function` for an elementary function, in units of sums.

    `tiny` is the smallest normal number and `largest` the largest number; flushing below `tiny` and overflow above
    `largest` are allowed. `lost` is the most that underflow may take from a number. `dtypes` are the NumPy dtypes that
    may hold such numbers.
    """

    name: str
    unit: float
    accumulator: float
    tiny: float
    largest: float
    dtypes: tuple[str, ...]
    lost: float
    function: float = 4.0

    def round(self, array: Any) -> Any:
        """Real numbers as the nearest ones of this precision, in NumPy's nearest dtype; whole numbers as they are."""
        given = np.asarray(array)
        if given.dtype.kind != "f":
            return given
        if self.name != "bf16":
            return given.astype(self.dtypes[-1])
        single = given.astype(np.float32)
        mantissa, exponent = np.frexp(single)
        rounded = np.ldexp(np.round(mantissa * 256.0) / 256.0, exponent)
        return np.where(np.isfinite(single), rounded, single).astype(np.float32)


PROFILES = {
    "f64": Profile("f64", 2.0**-53, 2.0**-53, 2.0**-1022, float(np.finfo(np.float64).max), ("float64",),
                   2.0**-1022),
    "f32": Profile("f32", 2.0**-24, 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max), ("float32",),
                   2.0**-126),
    "bf16": Profile("bf16", 2.0**-8, 2.0**-24, 2.0**-126, float(np.finfo(np.float32).max), ("bfloat16", "float32"),
                    2.0**-126),
    "f16": Profile("f16", 2.0**-11, 2.0**-24, 2.0**-14, float(np.finfo(np.float16).max), ("float16",),
                   2.0**-25),
}
"""By the name of the precision (`Backend.precision`)."""
