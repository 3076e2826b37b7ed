"""Losses: for each row, or each real step of a row, one number; a loss is their `(sum, count)`.

Gradients are those of the sum; the mean is taken explicitly. A loss is declared in the primitives, and its gradient is
derived.

>>> from rnnspec.losses import SquaredError
>>> SquaredError()
SquaredError()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from rnnspec.graph import Graph, GraphBuilder
from rnnspec.primitives import logsumexp, reading, softplus, total, where

__all__ = ["Loss", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"]


class Loss(ABC):
    """A number for the outputs `z` of one row at one step, and its target `y`.

    `integer_targets` says whether a target is a class number in `0..features-1`, given to `at` as a condition that
    holds at that class alone, or as many real numbers as there are features.
    """

    integer_targets: ClassVar[bool]

    @abstractmethod
    def at(self, z: Any, y: Any) -> Any:
        """The loss of one row at one step, a total over features."""


@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """-log softmax(z)[y] in nats; targets are class numbers: Bishop (2006), 4.108."""

    integer_targets: ClassVar[bool] = True

    def at(self, z: Any, y: Any) -> Any:
        return logsumexp(z) - total(where(y > 0.5, z, 0.0))


@dataclass(frozen=True)
class SigmoidCrossEntropy(Loss):
    """-y log s(z) - (1 - y) log(1 - s(z)) in nats, a sum over features; targets in 0..1: Bishop (2006), 4.90."""

    integer_targets: ClassVar[bool] = False

    def at(self, z: Any, y: Any) -> Any:
        return total(y * softplus(-z) + (1.0 - y) * softplus(z))


@dataclass(frozen=True)
class SquaredError(Loss):
    """1/2 (z - y)^2, summed over features: the half is part of it, so that its gradient is z - y."""

    integer_targets: ClassVar[bool] = False

    def at(self, z: Any, y: Any) -> Any:
        return 0.5 * total((z - y) * (z - y))


@lru_cache(maxsize=64)
def trace(loss: Loss) -> Graph:
    """The graph of a loss: arguments `z` and `y`, result `loss`."""
    builder = GraphBuilder()
    with reading(f"{type(loss).__name__}.at"):
        value = loss.at(builder.vector("argument", "z"), builder.vector("argument", "y"))
        return builder.graph({"loss": builder.index(value)})
