"""CTC, wrong in one way each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.losses import CTC, log_sum
from rnnspec.primitives import log, maximum, minimum, softplus, total, where

__all__ = ["BestOnly", "HalfSummed", "WithoutSkips", "WithoutSoftmax", "WithoutStays"]


@dataclass(frozen=True)
class WithoutSkips(CTC):
    """No place is reached from two places back."""

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        return log_sum(log_sum(stay, follow), skip - 1e20) - self.at(z, y)


@dataclass(frozen=True)
class WithoutStays(CTC):
    """No place is reached from itself."""

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        return log_sum(log_sum(stay - 1e20, follow), skip) - self.at(z, y)


@dataclass(frozen=True)
class BestOnly(CTC):
    """The largest, in the place of the logarithm of the sum."""

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        return maximum(maximum(stay, follow), skip) - self.at(z, y)


@dataclass(frozen=True)
class HalfSummed(CTC):
    """log(a + b / 2) for the larger a."""

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        one, other = maximum(stay, follow), minimum(stay, follow)
        return log_sum(one + softplus(other - one + log(0.0 * one + 0.5)), skip) - self.at(z, y)


@dataclass(frozen=True)
class WithoutSoftmax(CTC):
    """-z of the class."""

    def at(self, z: Any, y: Any) -> Any:
        return -total(where(y > 0.5, z, 0.0))
