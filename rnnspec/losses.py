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

from rnnspec.primitives import logsumexp, reading, softplus, total, where
from rnnspec.tracing.graph import Graph, GraphBuilder

__all__ = ["CTC", "Loss", "SigmoidCrossEntropy", "SoftmaxCrossEntropy", "SquaredError"]


class Loss(ABC):
    """A number for the outputs `z` of one row at one step, and its target `y`.

    `integer_targets` says whether a target is a class number in `0..features-1`, given to `at` as a condition that
    holds at that class alone, or as many real numbers as there are features.
    """

    integer_targets: ClassVar[bool]
    aligned: ClassVar[bool] = False
    """Whether a row has one number, and a target that does not say which step belongs to which of its classes."""

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


@dataclass(frozen=True)
class CTC(Loss):
    """-log p(labels) in nats, summed over all ways to spell them in a row's steps: Graves et al. (2006), 3 to 8.

    In each step the row says a class or `blank`, with the probability softmax(z); a spelling stands for what is left
    when repeats are one and blanks are gone. Targets are `(batch, most labels)` class numbers, never `blank`, with -1
    behind a row's last. A row without labels says blanks only; one without steps spells no labels with probability 1.
    Where no spelling is long enough the loss is infinite and the cotangents are 0. The count is that of the rows.
    """

    blank: int = 0
    integer_targets: ClassVar[bool] = True
    aligned: ClassVar[bool] = True

    def at(self, z: Any, y: Any) -> Any:
        """What it costs to say one class, or blank, at one step."""
        return SoftmaxCrossEntropy().at(z, y)

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        """log alpha at a place of the spelling, from those a step before: here, one place back, two places back."""
        return log_sum(log_sum(stay, follow), skip) - self.at(z, y)


def log_sum(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)), where equals share the gradient."""
    larger, smaller = where(a >= b, a, b), where(a >= b, b, a)
    return larger + softplus(smaller - larger)


@lru_cache(maxsize=64)
def trace(loss: Loss) -> Graph:
    """The graph of a loss: arguments `z` and `y`, result `loss`."""
    builder = GraphBuilder()
    with reading(f"{type(loss).__name__}.at"):
        value = loss.at(builder.vector("argument", "z"), builder.vector("argument", "y"))
        return builder.graph({"loss": builder.index(value)})
