"""Losses: one number for each real step of a row, or for each row; the result is their `(sum, count)`.

Gradients are gradients of the sum; divide by the count for the mean. A loss is declared in the primitives, and rnnspec
derives its gradient.

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
    """A loss of the outputs `z` of one row at one step with the target `y`.

    With `integer_targets` a target is a class number in `0..features-1`, and `at` gets 1 at that feature and 0 at the
    others. Otherwise a target is a real number for each feature.
    """

    integer_targets: ClassVar[bool]
    aligned: ClassVar[bool] = False
    """Whether a row has one loss, and targets without alignment: they do not say which step has which class."""

    @abstractmethod
    def at(self, z: Any, y: Any) -> Any:
        """The loss of one row at one step, summed over features."""


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
    """1/2 (z - y)^2, summed over features; the gradient is z - y."""

    integer_targets: ClassVar[bool] = False

    def at(self, z: Any, y: Any) -> Any:
        return 0.5 * total((z - y) * (z - y))


@dataclass(frozen=True)
class CTC(Loss):
    """-log p(labels) in nats, summed over all ways to spell them in a row's steps: Graves et al. (2006), 3 to 8.

    Each step emits a class or `blank` with the probability softmax(z). A path of steps spells the labels that remain
    when repeats are merged and blanks removed. Targets are class numbers `(batch, most labels)`, never `blank`, with -1
    after a row's last label. A row without labels must emit blanks only; a row with neither steps nor labels has
    loss 0. Where a row has too few steps for its labels, the loss is infinite and the cotangents are 0. The count is
    the number of rows.
    """

    blank: int = 0
    integer_targets: ClassVar[bool] = True
    aligned: ClassVar[bool] = True

    def at(self, z: Any, y: Any) -> Any:
        """The negative log-probability of a class, or of blank, at one step."""
        return SoftmaxCrossEntropy().at(z, y)

    def extend(self, stay: Any, follow: Any, skip: Any, z: Any, y: Any) -> Any:
        """log alpha at a place, from log alpha a step before at this place, one place back and two places back."""
        return log_sum(log_sum(stay, follow), skip) - self.at(z, y)


def log_sum(a: Any, b: Any) -> Any:
    """log(exp(a) + exp(b)); where a equals b, they share the gradient."""
    larger, smaller = where(a >= b, a, b), where(a >= b, b, a)
    return larger + softplus(smaller - larger)


@lru_cache(maxsize=64)
def trace(loss: Loss) -> Graph:
    """The graph of a loss: arguments `z` and `y`, result `loss`."""
    builder = GraphBuilder()
    with reading(f"{type(loss).__name__}.at"):
        value = loss.at(builder.vector("argument", "z"), builder.vector("argument", "y"))
        return builder.graph({"loss": builder.index(value)})
