"""The value and the pullback of each primitive on plain arrays, one line each.

`n` is the rounding arithmetic, `y` the result, `a, b, c` the operands and `d` the cotangent of the result. `margin` is
positive where a condition inside the primitive holds, and `turn` is the result where a run finds the contrary.
`unchosen` is true, operand by operand, where the primitive chose another. `gathers` says that one result is made of
many features.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.oracle.arithmetic import Array, Rounding
from conformance.oracle.error_function import SLOPE, erf

__all__ = ["CORNERS", "RULES"]


@dataclass(frozen=True)
class PrimitiveRule:
    """The value, the pullback and the choices of one primitive."""

    value: Callable[..., Array]
    pull: Callable[..., tuple[Any, ...]]
    margin: Callable[..., Array] | None = None
    unchosen: Callable[..., tuple[Any, ...]] | None = None
    gathers: bool = False
    turn: Callable[..., Array] | None = None

    def unreached(self, result: Any, turned: Any, *operands: Array) -> tuple[Any, ...]:
        """For each operand, where it is unreached: where the result is, or where the primitive chose another.

        Where its condition is `turned`, it chose the contrary.
        """
        if self.gathers:
            return (False,) * len(operands)
        if self.unchosen is None:
            return (result,) * len(operands)
        return tuple(mask if mask is None else result | (mask ^ turned) for mask in self.unchosen(*operands))


def _no_pull(n: Rounding, d: Array, y: Array, *operands: Array) -> tuple[Any, ...]:
    return (None,) * len(operands)


def _relative(n: Rounding, y: Array) -> Array:
    return n.function(y, np.abs(y))


def _sigmoid(n: Rounding, a: Array) -> Array:
    e = np.exp(-np.abs(a))
    return n.function(np.where(a >= 0, 1 / (1 + e), e / (1 + e)), np.ones_like(a), inner=1)


def _softplus(n: Rounding, a: Array) -> Array:
    y = np.logaddexp(a, a.dtype.type(0))
    return n.function(y, np.abs(y), inner=1)


def _tanh_slope(n: Rounding, y: Array) -> Array:
    return n.subtract(1, n.multiply(y, y))


def _logsumexp(n: Rounding, a: Array) -> Array:
    shift = a.max(-1, keepdims=True)
    shift = np.where(np.isfinite(shift), shift, 0)
    y = shift + np.log(np.exp(a - shift).sum(-1, keepdims=True))
    return n.function(y, np.maximum(1, np.abs(y)), inner=4)


def _cos(n: Rounding, a: Array) -> Array:
    return n.function(np.cos(a), np.ones_like(a))


def _sin(n: Rounding, a: Array) -> Array:
    return n.function(np.sin(a), np.minimum(1, np.abs(a)))


def _not(turned: Array, y: Array, *operands: Array) -> Array:
    return y ^ turned


def _other_multiple(turned: Array, y: Array, a: Array, b: Array) -> Array:
    """The remainder beside a multiple of b, counted from the multiple before it or after it."""
    return np.where(turned, np.where(np.abs(y) < np.abs(b) / 2, y + b, y - b), y)


def _width(n: Rounding, a: Array) -> Array:
    """A whole number for each row; rounded where the precision has fewer bits than it."""
    count = math.prod(a.shape[2:])
    y = n.array(np.full((1, a.shape[1], 1), count))
    return n.round(y) if n.arithmetic.unit * count > 1 else y


def _erf_slope(n: Rounding, a: Array) -> Array:
    bell = _relative(n, np.exp(-n.multiply(a, a)))
    return n.multiply(n.round(n.array(np.full((1, 1, 1), SLOPE))), bell)


def _spread(n: Rounding, d: Array, like: Array) -> Array:
    return np.broadcast_to(d if like.ndim == 3 else d[..., None], (d.shape[0], *like.shape[1:]))


def _total(n: Rounding, a: Array) -> Array:
    return n.total(a if a.ndim == 3 else n.total(a, 3)[..., 0], 2)


def _rows(n: Rounding, matrix: Array, b: Array) -> Array:
    """The sums of `S_ij b_j` over j."""
    return n.total(n.multiply(matrix, b[..., None, :]), 3)[..., 0]


def _columns(n: Rounding, a: Array, matrix: Array) -> Array:
    """The sums of `a_i S_ij` over i."""
    return n.total(n.multiply(matrix, a[..., None]), 2)[..., 0, :]


def _outer(n: Rounding, a: Array, b: Array) -> Array:
    return n.multiply(a[..., None], b[..., None, :])


def _matmul(n: Rounding, a: Array, b: Array) -> Array:
    return _rows(n, a, b) if a.ndim > b.ndim else _columns(n, a, b)


def _matmul_pull(n: Rounding, d: Array, y: Array, a: Array, b: Array) -> tuple[Any, ...]:
    if a.ndim > b.ndim:
        return _outer(n, d, b), _columns(n, d, a)
    return _rows(n, b, d), _outer(n, a, d)


RULES: dict[str, PrimitiveRule] = {
    "add": PrimitiveRule(lambda n, a, b: n.add(a, b), lambda n, d, y, a, b: (d, d)),
    "subtract": PrimitiveRule(lambda n, a, b: n.subtract(a, b), lambda n, d, y, a, b: (d, -d)),
    "multiply": PrimitiveRule(
        lambda n, a, b: n.multiply(a, b), lambda n, d, y, a, b: (n.multiply(d, b), n.multiply(d, a))
    ),
    "divide": PrimitiveRule(
        lambda n, a, b: n.divide(a, n.zeroed(b)),
        lambda n, d, y, a, b: (n.divide(d, b), -n.multiply(d, n.divide(y, b))),
    ),
    "negate": PrimitiveRule(lambda n, a: -a, lambda n, d, y, a: (-d,)),
    "tanh": PrimitiveRule(
        lambda n, a: _relative(n, np.tanh(a)),
        lambda n, d, y, a: (n.multiply(d, _tanh_slope(n, y)),),
    ),
    "sigmoid": PrimitiveRule(_sigmoid, lambda n, d, y, a: (n.multiply(d, n.multiply(y, n.subtract(1, y))),)),
    "relu": PrimitiveRule(
        lambda n, a: np.where(a > 0, a, np.where(np.isnan(a), a, 0)),
        lambda n, d, y, a: (d,),
        lambda a: a,
        lambda a: (~(a > 0),),
    ),
    "softplus": PrimitiveRule(
        _softplus,
        lambda n, d, y, a: (n.multiply(d, _sigmoid(n, a)),),
    ),
    "exp": PrimitiveRule(lambda n, a: _relative(n, np.exp(a)), lambda n, d, y, a: (n.multiply(d, y),)),
    "log": PrimitiveRule(
        lambda n, a: _relative(n, np.log(n.zeroed(a))), lambda n, d, y, a: (n.divide(d, a),)
    ),
    "sqrt": PrimitiveRule(lambda n, a: n.round(np.sqrt(a)), lambda n, d, y, a: (n.multiply(d, n.divide(0.5, y)),)),
    "cos": PrimitiveRule(_cos, lambda n, d, y, a: (-n.multiply(d, _sin(n, a)),)),
    "sin": PrimitiveRule(_sin, lambda n, d, y, a: (n.multiply(d, _cos(n, a)),)),
    "erf": PrimitiveRule(
        lambda n, a: _relative(n, erf(a)), lambda n, d, y, a: (n.multiply(d, _erf_slope(n, a)),)
    ),
    "stop": PrimitiveRule(lambda n, a: a, _no_pull),
    "maximum": PrimitiveRule(
        lambda n, a, b: np.maximum(a, b),
        lambda n, d, y, a, b: (d, d),
        lambda a, b: a - b,
        lambda a, b: (~(a >= b), a >= b),
    ),
    "minimum": PrimitiveRule(
        lambda n, a, b: np.minimum(a, b),
        lambda n, d, y, a, b: (d, d),
        lambda a, b: a - b,
        lambda a, b: (~(b >= a), b >= a),
    ),
    "remainder": PrimitiveRule(
        lambda n, a, b: n.round(np.remainder(a, n.zeroed(b))),
        lambda n, d, y, a, b: (d, -n.multiply(d, np.round((a - y) / b))),
        lambda a, b: a - b * np.round(a[:1] / b[:1]),
        turn=_other_multiple,
    ),
    "greater": PrimitiveRule(lambda n, a, b: a > b, _no_pull, lambda a, b: a - b, turn=_not),
    "greater_equal": PrimitiveRule(lambda n, a, b: a >= b, _no_pull, lambda a, b: a - b, turn=_not),
    "where": PrimitiveRule(
        lambda n, a, b, c: np.where(a, b, c),
        lambda n, d, y, a, b, c: (None, d, d),
        unchosen=lambda a, b, c: (None, ~a.astype(bool), a.astype(bool)),
    ),
    "total": PrimitiveRule(_total, lambda n, d, y, a: (_spread(n, d, a),), gathers=True),
    "outer": PrimitiveRule(
        _outer, lambda n, d, y, a, b: (_rows(n, d, b), _columns(n, a, d)), gathers=True
    ),
    "matmul": PrimitiveRule(_matmul, _matmul_pull, gathers=True),
    "number": PrimitiveRule(lambda n, a: a, lambda n, d, y, a: (d,), gathers=True),
    "width": PrimitiveRule(_width, _no_pull, gathers=True),
    "logsumexp": PrimitiveRule(
        _logsumexp, lambda n, d, y, a: (n.multiply(d, _relative(n, np.exp(n.subtract(a, y)))),), gathers=True
    ),
}

CORNERS = ("relu", "maximum", "minimum")
"""Primitives that are continuous at their condition, so that rounding there affects cotangents only."""
