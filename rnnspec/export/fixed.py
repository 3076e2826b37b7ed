"""What the equations make of parameters alone: it is the same in every step, so a header has its numbers.

>>> from rnnspec import Layer, Network, cells
>>> from rnnspec.export.equations import equations
>>> net = Network(3, [Layer(cells.lru, 4)])
>>> own, found = fixed(equations(net.layers[0]), net.init(0)["layers"][0]["forward"]["p"])
>>> sorted(found)
['D', 'fixed_u3', 'fixed_u4', 'fixed_u5']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rnnspec.export.equations import Equations
from rnnspec.tracing.folding import VALUES
from rnnspec.tracing.graph import Graph, Node, ancestors
from rnnspec.tracing.ranks import VECTOR

__all__ = ["fixed"]

Array = Any
FUNCTIONS = ("add", "subtract", "multiply", "divide", "negate", "tanh", "sigmoid", "relu", "softplus", "exp", "log",
             "sqrt", "cos", "sin", "maximum", "minimum", "remainder")  # fmt: skip
"""The primitives entry by entry that are computed before."""


def fixed(own: Equations, params: Mapping[str, Array]) -> tuple[Equations, dict[str, Array]]:
    """The equations with learned vectors in place of what is made of them alone, and the vectors that are left.

    `params` are the p.name of a half. Of what is made of others, the last values stand.
    """
    with np.errstate(all="ignore"):
        values = _values(own, params)
    read = {arg for i, node in enumerate(own.nodes) if i not in values for arg in node.args}
    read |= {index for _, index in own.graph.results}
    prefix = "fixed_" + "_" * any(name.startswith("fixed_") for name in params)
    made = {index: f"{prefix}{own.names.get(index, index)}" for index in sorted(values)
            if index in read and own.nodes[index].op in FUNCTIONS}  # fmt: skip
    nodes = [Node("vector", name=made[i]) if i in made else node for i, node in enumerate(own.nodes)]
    keep = sorted(ancestors(nodes, [index for _, index in own.graph.results]))
    new = {old: index for index, old in enumerate(keep)}
    left = tuple(replace(nodes[old], args=tuple(new[arg] for arg in nodes[old].args)) for old in keep)
    graph = Graph(left, tuple((name, new[index]) for name, index in own.graph.results))
    used = {node.name for node in left if node.op == "vector"}
    found = {**params, **{name: values[index].reshape(-1) for index, name in made.items()}}
    return Equations(own.cell, graph, tuple(own.sizes[old] for old in keep)), {n: found[n] for n in found if n in used}


def _values(own: Equations, params: Mapping[str, Array]) -> dict[int, Array]:
    """The vectors that parameters alone make, and the learned ones themselves: (heads, width) each, in float64."""
    heads, found = own.cell.heads or 1, dict[int, Array]()
    for index, node in enumerate(own.nodes):
        if len(own.sizes[index]) != VECTOR:
            continue
        if node.op == "vector":
            parts = np.asarray(params[node.name], np.float64).reshape(own.cell.beside(f"p.{node.name}"), -1)
            found[index] = np.broadcast_to(parts, (heads, parts.shape[1]))
        constants = [own.nodes[arg].op == "constant" for arg in node.args]
        if node.op in FUNCTIONS and all(c or arg in found for c, arg in zip(constants, node.args, strict=True)):
            given = (own.nodes[arg].value if c else found[arg] for c, arg in zip(constants, node.args, strict=True))
            found[index] = np.asarray(VALUES[node.op](*given), np.float64)
    return found
