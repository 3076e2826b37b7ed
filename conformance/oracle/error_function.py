"""The error function in the oracle's dtypes, since NumPy has none."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["SLOPE", "erf"]

Array = Any

SLOPE = np.longdouble("1.12837916709551257389615890312154517")
"""2 / sqrt(pi), its derivative at 0."""

END = 7
"""From here on it is 1, also in 64 bits."""

_of_double = np.frompyfunc(math.erf, 1, 1)


def erf(a: Array) -> Array:
    """The error function: in float64 that of the C library, in extended precision its series."""
    if np.finfo(a.dtype).nmant <= np.finfo(np.float64).nmant:
        return np.asarray(_of_double(a), a.dtype)
    return np.where(np.abs(a) < END, _series(np.clip(a, -END, END)), np.sign(a))


def _series(a: Array) -> Array:
    """2 / sqrt(pi) exp(-a^2) times the sum of a (2 a^2)^n / (1 3 5 ... (2n + 1)), whose terms have one sign."""
    square, unit = a * a, np.finfo(a.dtype).eps
    term = found = a
    odd = 1
    while np.any(np.abs(term) > unit * np.abs(found)):
        odd += 2
        term = term * (2 * square / odd)
        found = found + term
    return SLOPE * np.exp(-square) * found
