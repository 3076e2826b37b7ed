"""Limits of norms: their validation, and the factor that scales a vector to within one."""

from __future__ import annotations

from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.primitives import where
from rnnspec.showing import shown

__all__ = ["check_limit", "scale_within"]


def scale_within(norm: Any, limit: Any) -> Any:
    """`limit / norm` where the norm is greater than the limit, NaN where the norm is not finite, else 1.

    A limit of NaN gives NaN.
    """
    finite = float("inf") > norm
    return where(finite, where(norm <= limit, 1.0, limit / norm), float("nan"))


def check_limit(policy: str, **numbers: float) -> None:
    """Raise NetworkError unless each number is at least 0."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not number >= 0:
            raise NetworkError(f"{policy}({name})", f"the {name} must be a number of at least 0", shown(number),
                               "give a limit of 0 or more")  # fmt: skip
