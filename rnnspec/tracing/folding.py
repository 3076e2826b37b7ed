"""Folding: what is computed from numbers only becomes one number, in float64, before any backend sees the equations.

So a named constant can be used as in the paper, `(1 - dt) * h`, and every backend rounds the one number `1 - dt`.

>>> from rnnspec.tracing.graph import GraphBuilder
>>> builder = GraphBuilder()
>>> dt, h = builder.constant(0.25, "dt"), builder.vector("state", "h").index
>>> kept = builder.primitive("subtract", builder.constant(1), dt)
>>> folded(builder.graph({"h": builder.primitive("multiply", kept, h)})).nodes[1]
Node(op='constant', args=(), name='', value=0.75)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnspec.primitives import PRIMITIVES
from rnnspec.tracing.graph import CONDITIONS, Graph, GraphBuilder, Node, Vector

__all__ = ["VALUES", "folded"]




VALUES: Mapping[str, Callable[..., Any]] = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negate": np.negative,
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "relu": lambda a: np.maximum(a, 0),
    "softplus": lambda a: np.logaddexp(a, 0),
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "remainder": np.remainder,
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "where": lambda condition, a, b: a if condition else b,
    "total": lambda a: a,
    "logsumexp": lambda a: a,
    "cos": np.cos,
    "sin": np.sin,
    "erf": math.erf,
    "stop": lambda a: a,
    "width": lambda a: 1,
    "number": lambda a: a,
    "outer": np.multiply,
    "matmul": np.multiply,
}
"""The value of each primitive for numbers, which have one feature."""


def folded(graph: Graph) -> Graph:
    """The graph in which every primitive of numbers only is a number, and no number has a name."""
    if not any(node.name for node in graph.nodes if node.op == "constant"):
        return graph
    builder, place, holds = GraphBuilder(has_matrices=True), list[int](), dict[int, bool]()
    for index, node in enumerate(graph.nodes):
        args = tuple(place[arg] for arg in node.args)
        numbers = [builder.nodes[arg].value for arg in args if builder.nodes[arg].op == "constant"]
        if node.op == "constant":
            place.append(builder.constant(node.value))
        elif node.op == "where" and node.args[0] in holds:
            place.append(args[1] if holds[node.args[0]] else args[2])
        elif node.op in PRIMITIVES and len(numbers) == len(args):
            value = _value(node, numbers)
            if node.op in CONDITIONS:
                holds[index] = bool(value)
            place.append(builder.constant(float(value)))
        elif node.op in PRIMITIVES:
            place.append(builder.primitive(node.op, *args))
        else:
            place.append(builder.vector(node.op, node.name, *(Vector(builder, arg) for arg in args)).index)
    return builder.graph({name: place[index] for name, index in graph.results})


def _value(node: Node, numbers: list[float]) -> Any:
    with np.errstate(all="ignore"):
        return VALUES[node.op](*map(np.float64, numbers))
