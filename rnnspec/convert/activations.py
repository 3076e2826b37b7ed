"""Activations of the frameworks, as functions of one vector made of the primitives.

They are what `Dense(features, activation)` and the equations of a cell take. Keras has had two functions under the name
hard sigmoid: `hard_sigmoid` is that of Keras 3 and of torch, `hard_sigmoid_keras2` that of Keras 1 and 2.

>>> from rnnspec import cell
>>> @cell
... def hard(x, R, h):
...     return hard_sigmoid_keras2(x.h + R.h(h))
>>> print(hard)
hard(h)
  h' = minimum(maximum(0.2 ⊙ (W_h x + b_h + U_h h) + 0.5, 0), 1)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from rnnspec.primitives import erf, exp, maximum, minimum, relu, sigmoid, softplus, tanh

__all__ = [
    "ACTIVATIONS", "clipped", "elu", "exponential", "gelu", "gelu_tanh", "hard_sigmoid", "hard_sigmoid_keras2",
    "hard_swish", "hard_tanh", "leaky_relu", "log_sigmoid", "mish", "relu6", "selu",
    "sharp_softplus", "silu", "softsign", "tanh_shrink",
]  # fmt: skip

Activation = Callable[[Any], Any]
"""A function of one vector, made of the primitives."""
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def hard_sigmoid(a: Any) -> Any:
    """min(max(a + 3, 0), 6) / 6: that of Keras 3 and of torch.nn.Hardsigmoid."""
    return relu6(a + 3.0) / 6.0


def hard_sigmoid_keras2(a: Any) -> Any:
    """0.2 a + 0.5, held in 0..1: that of Keras 1 and 2, and the default of their LSTM and GRU before 2.3."""
    return minimum(maximum(0.2 * a + 0.5, 0.0), 1.0)


def relu6(a: Any) -> Any:
    """min(max(a, 0), 6)."""
    return minimum(relu(a), 6.0)


def hard_tanh(a: Any) -> Any:
    """`a`, held in -1..1."""
    return minimum(maximum(a, -1.0), 1.0)


def hard_swish(a: Any) -> Any:
    """`a` times its hard sigmoid."""
    return a * hard_sigmoid(a)


def silu(a: Any) -> Any:
    """`a` times its sigmoid; also called swish."""
    return a * sigmoid(a)


def softsign(a: Any) -> Any:
    """a / (1 + |a|)."""
    return a / (1.0 + maximum(a, -a))


def mish(a: Any) -> Any:
    """a tanh(softplus(a))."""
    return a * tanh(softplus(a))


def gelu(a: Any) -> Any:
    """`a` times the distribution function of the normal distribution."""
    return 0.5 * a * (1.0 + erf(a / math.sqrt(2.0)))


def gelu_tanh(a: Any) -> Any:
    """The approximation of gelu by tanh."""
    return 0.5 * a * (1.0 + tanh(math.sqrt(2.0 / math.pi) * (a + 0.044715 * a * a * a)))


def exponential(a: Any) -> Any:
    """e to the power `a`."""
    return exp(a)


def log_sigmoid(a: Any) -> Any:
    """The logarithm of the sigmoid."""
    return -softplus(-a)


def tanh_shrink(a: Any) -> Any:
    """a - tanh(a)."""
    return a - tanh(a)


def selu(a: Any) -> Any:
    """The scaled exponential linear unit."""
    return SELU_SCALE * elu(SELU_ALPHA)(a)


@lru_cache(maxsize=64)
def clipped(least: float, most: float) -> Activation:
    """`a`, held between two numbers."""

    def clipped(a: Any) -> Any:
        return minimum(maximum(a, least), most)

    return clipped


@lru_cache(maxsize=64)
def sharp_softplus(beta: float) -> Activation:
    """log(1 + exp(beta a)) / beta."""

    def softplus_of_beta(a: Any) -> Any:
        return softplus(beta * a) / beta

    return softplus_of_beta


@lru_cache(maxsize=64)
def elu(alpha: float = 1.0) -> Activation:
    """The exponential linear unit: `a` above 0, and alpha (exp(a) - 1) below."""

    def elu(a: Any) -> Any:
        return relu(a) + alpha * (exp(minimum(a, 0.0)) - 1.0)

    return elu


@lru_cache(maxsize=64)
def leaky_relu(slope: float) -> Activation:
    """`a` above 0, and slope times a below."""

    def leaky_relu(a: Any) -> Any:
        return relu(a) - slope * relu(-a)

    return leaky_relu


ACTIVATIONS: dict[str, Activation] = {
    "tanh": tanh, "sigmoid": sigmoid, "relu": relu, "softplus": softplus, "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_keras2": hard_sigmoid_keras2, "relu6": relu6, "hard_tanh": hard_tanh, "hard_swish": hard_swish,
    "silu": silu, "softsign": softsign, "mish": mish, "gelu": gelu, "gelu_tanh": gelu_tanh, "exponential": exponential,
    "log_sigmoid": log_sigmoid, "tanh_shrink": tanh_shrink, "selu": selu, "elu": elu(1.0),
}  # fmt: skip
"""The activations by name."""
