"""The functions of one number that ONNX names, written with the primitives: activations of recurrent nodes and nodes
of their own.

Defaults of alpha and beta are those of the operators of the same names. There are no such operators for Affine and
ScaledTanh, so that a node must give both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.primitives import exp, maximum, minimum, relu, sigmoid, softplus, tanh, where

__all__ = ["ACTIVATIONS", "Activation", "limited"]


@dataclass(frozen=True)
class Activation:
    """A function of a number with its options, and their defaults; None where a node must give them."""

    defaults: Mapping[str, float | None]
    function: Callable[..., Any]

    def of(self, given: Mapping[str, float]) -> Callable[[Any], Any]:
        """The function with these options, the others by default."""
        options = {name: float(value) for name, value in {**self.defaults, **given}.items() if value is not None}
        return lambda a: self.function(a, **options)


def _scaled(a: Any, factor: float) -> Any:
    return a if factor == 1 else factor * a


def _affine(a: Any, alpha: float, beta: float) -> Any:
    return _scaled(a, alpha) if beta == 0 else _scaled(a, alpha) + beta


def _hard_sigmoid(a: Any, alpha: float, beta: float) -> Any:
    return maximum(minimum(_affine(a, alpha, beta), 1), 0)


def _elu(a: Any, alpha: float) -> Any:
    return where(a >= 0, a, _scaled(exp(minimum(a, 0)) - 1, alpha))


ACTIVATIONS = {
    "Relu": Activation({}, relu),
    "Tanh": Activation({}, tanh),
    "Sigmoid": Activation({}, sigmoid),
    "Affine": Activation({"alpha": None, "beta": None}, _affine),
    "LeakyRelu": Activation({"alpha": 0.01}, lambda a, alpha: where(a >= 0, a, _scaled(a, alpha))),
    "ThresholdedRelu": Activation({"alpha": 1.0}, lambda a, alpha: where(a >= alpha, a, 0)),
    "ScaledTanh": Activation({"alpha": None, "beta": None},
                             lambda a, alpha, beta: _scaled(tanh(_scaled(a, beta)), alpha)),
    "HardSigmoid": Activation({"alpha": 0.2, "beta": 0.5}, _hard_sigmoid),
    "Elu": Activation({"alpha": 1.0}, _elu),
    "Softsign": Activation({}, lambda a: a / (1 + maximum(a, -a))),
    "Softplus": Activation({}, softplus),
}  # fmt: skip
"""The activations that ONNX lists for its recurrent operators."""


def limited(threshold: float | None) -> Callable[[Any], Any]:
    """The function that keeps numbers within a threshold of 0; None is no threshold."""
    return (lambda a: a) if threshold is None else lambda a: minimum(maximum(a, -threshold), threshold)
