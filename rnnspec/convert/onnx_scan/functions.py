"""The primitives as operators of ONNX, and those that several operators make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import pi, sqrt
from typing import Any

import numpy as np

from rnnspec.convert.onnx_scan.graph import Graph, Value, broadcast

__all__ = ["functions"]

OPERATORS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negate": "Neg", "tanh": "Tanh",
    "sigmoid": "Sigmoid", "relu": "Relu", "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "cos": "Cos", "sin": "Sin",
    "erf": "Erf", "maximum": "Max", "minimum": "Min", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "where": "Where",
}  # fmt: skip
"""The operator of each primitive that is one."""
NEAR, FAR, FARTHEST = 12, 26, 6.0
"""The points of the quadratures of erf below 1 and beyond, which together err by 7e-16, and where erf is 1."""


def functions(graph: Graph) -> Mapping[str, Callable[..., Any]]:
    """The primitives entry by entry, for values of a graph."""
    own = {name: partial(graph.elementwise, op) for name, op in OPERATORS.items()}
    composed: dict[str, Callable[..., Any]] = {
        "softplus": partial(_softplus, graph, own), "remainder": partial(_remainder, graph, own), "stop": lambda a: a,
    }  # fmt: skip
    if graph.dtype == np.float64:  # ONNX Runtime has no Erf in float64, and the reference rounds its own to float32
        composed["erf"] = partial(_erf, graph, own)
    return own | composed


def _softplus(graph: Graph, f: Mapping[str, Any], a: Value) -> Value:
    """max(a, 0) + log(1 + u) for u = exp(-|a|); u / (w - 1) undoes the rounding of w = 1 + u.

    Softplus of ONNX Runtime loses numbers below the precision of 1.
    """
    u = f["exp"](f["negate"](graph.elementwise("Abs", a)))
    w = f["add"](u, 1.0)
    log = f["multiply"](f["log"](w), f["divide"](u, f["subtract"](w, 1.0)))
    found: Value = f["add"](f["relu"](a), f["where"](f["greater"](w, 1.0), log, u))
    return found


def _remainder(graph: Graph, f: Mapping[str, Any], a: Value, b: Value) -> Value:
    """As Python has it, of the sign of b; the operator has the sign of a."""
    left = graph.node("Mod", [a, b], broadcast(a.shape, b.shape), fmod=1)
    found: Value = f["where"](f["greater"](0.0, left), f["add"](left, b), left)
    return found


def _erf(graph: Graph, f: Mapping[str, Any], a: Value) -> Value:
    """By quadrature: of exp(-(a s)^2) over s in 0..1 where |a| < 1, else 1 - erfc, of exp(-t^2 - 2 |a| t)."""
    size, factor = graph.elementwise("Abs", a), 2 / sqrt(pi)
    near = f["minimum"](f["maximum"](a, -1.0), 1.0)
    s, weights = _points(NEAR, 1.0)
    below = f["multiply"](near, _summed(graph, f["negate"](f["multiply"](near, near)), s * s, weights * factor))
    far = f["minimum"](size, FARTHEST)
    t, weights = _points(FAR, FARTHEST)
    tail = _summed(graph, f["multiply"](far, -2.0), t, weights * np.exp(-t * t) * factor)
    beyond = f["subtract"](1.0, f["multiply"](f["exp"](f["negate"](f["multiply"](far, far))), tail))
    found: Value = f["where"](f["greater"](1.0, size), below, f["multiply"](graph.elementwise("Sign", a), beyond))
    return found


def _summed(graph: Graph, a: Value, points: Any, weights: Any) -> Value:
    """The sum of weights times exp(a times points)."""
    shape = (*a.shape, len(points))
    every = graph.elementwise("Exp", graph.elementwise("Mul", a[..., None], graph.constant(points)))
    return graph.node("MatMul", [every, graph.constant(weights)], shape[:-1])


def _points(count: int, end: float) -> tuple[Any, Any]:
    """The points of Gauss and Legendre in 0..end, and their weights."""
    points, weights = np.polynomial.legendre.leggauss(count)
    return (points + 1) / 2 * end, weights / 2 * end
