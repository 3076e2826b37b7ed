"""Losses that are wrong, each in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.losses import SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.primitives import exp, log, logsumexp, maximum, minimum, sigmoid, total, where

LEAST = 1e-7
"""The probability below which some cross-entropies cut."""


@dataclass(frozen=True)
class SquaredWithoutHalf(SquaredError):
    """(z - y)^2."""

    def at(self, z: Any, y: Any) -> Any:
        return total((z - y) * (z - y))


@dataclass(frozen=True)
class SigmoidAveraged(SigmoidCrossEntropy):
    """The mean over features."""

    def at(self, z: Any, y: Any) -> Any:
        return SigmoidCrossEntropy.at(self, z, y) / total(0.0 * y + 1.0)


@dataclass(frozen=True)
class SigmoidOverflowing(SigmoidCrossEntropy):
    """log(1 + exp z) as it stands."""

    def at(self, z: Any, y: Any) -> Any:
        return total(y * log(1.0 + exp(-z)) + (1.0 - y) * log(1.0 + exp(z)))


@dataclass(frozen=True)
class SigmoidCut(SigmoidCrossEntropy):
    """Probabilities are held away from 0 and 1."""

    def at(self, z: Any, y: Any) -> Any:
        s = maximum(minimum(sigmoid(z), 1.0 - LEAST), LEAST)
        return -total(y * log(s) + (1.0 - y) * log(1.0 - s))


@dataclass(frozen=True)
class SoftmaxOverflowing(SoftmaxCrossEntropy):
    """log of the sum of exp, as it stands."""

    def at(self, z: Any, y: Any) -> Any:
        return log(total(exp(z))) - total(where(y > 0.5, z, 0.0))


@dataclass(frozen=True)
class SoftmaxCut(SoftmaxCrossEntropy):
    """The probability of the class is held away from 0."""

    def at(self, z: Any, y: Any) -> Any:
        return -log(maximum(exp(total(where(y > 0.5, z, 0.0)) - logsumexp(z)), LEAST))
