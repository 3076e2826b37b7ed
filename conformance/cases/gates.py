"""Gates: whether each of them opens and closes within a case, by the oracle's values.

A gate has a preactivation: the argument of a sigmoid or a softplus, or the exponent of an exponential that is never
above 1, as a stabilised one is, plus log 2. Above 0 a gate is open, below 0 closed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from conformance import oracle
from conformance.cases.case import Case
from rnnspec.network import Network
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import NAMED, Graph, Node, descendants
from rnnspec.tracing.ranks import MATRIX, ranks

__all__ = ["still"]

Array = Any
BEYOND = 0.5
"""An open gate has a preactivation of at least this, and a closed one of at most its negative."""
SEEN = 128
"""The steps within which a gate must open and close."""
GATES = ("sigmoid", "softplus")


@lru_cache(maxsize=512)
def still(case: Case) -> tuple[str, ...]:
    """The gates that open at no unit and step, or close at none, such as `0: sigmoid of f` in layer 0."""
    return tuple(f"{i}: {layer.cell.graph.nodes[gate].op} of {_names(layer.cell.graph, gate)}"
                 for i, layer in enumerate(case.net.layers) for gate in _gates(layer.cell)
                 if not _moves(layer.cell.graph.nodes[gate], _preactivations(case, i, gate)))  # fmt: skip


def _gates(cell: Cell) -> Iterator[int]:
    """The nodes of gates that depend on an input or a state. Gates of matrices are left out.

    An exponential that reads a gate is none itself: `exp(-softplus(a))` has the preactivation a.
    """
    graph, rank = cell.graph, ranks(cell.graph)
    moving = descendants(graph.nodes, [i for i, node in enumerate(graph.nodes) if node.op in ("x", "input", "state")])
    for i, node in enumerate(graph.nodes):
        first = node.op == "exp" and not any(other.op in GATES for other in _before(graph, i))
        if (first or node.op in GATES) and i in moving and rank[i] != MATRIX:
            yield i


def _moves(gate: Node, a: Array) -> bool:
    """Whether preactivations are on both sides; an exponential above 1 is no gate."""
    if gate.op == "exp":
        a = a + np.log(2)
    return bool(not a.size or (a.min() <= -BEYOND and a.max() >= BEYOND) or (gate.op == "exp" and a.max() > np.log(2)))


def _preactivations(case: Case, index: int, gate: int) -> Array:
    """Those of the first real steps: the outputs of the layer, with the argument of the gate in place of its output."""
    given, layer = case.arrays(), case.net.layers[index]
    graph = layer.cell.graph
    (argument,) = graph.nodes[gate].args
    shown = replace(graph, results=tuple((name, i if name else argument) for name, i in graph.results))
    probe = replace(layer, cell=Cell(layer.cell.name, layer.cell.states, shown))
    net = Network(case.net.inputs, [*case.net.layers[:index], probe])
    params = {"layers": given.params["layers"][: index + 1]}
    ends, resets = np.minimum(case.ends, SEEN), None if given.resets is None else given.resets[:SEEN]
    found = oracle.run(net, params, given.inputs[:SEEN], given.state[: index + 1], ends, resets=resets).outputs[0]
    return found[np.arange(len(found))[:, None] < ends]


def _names(graph: Graph, gate: int) -> str:
    """The maps and vectors that a gate reads."""
    return ", ".join(sorted({node.name for node in _before(graph, gate) if node.op in NAMED and node.op != "state"}))


def _before(graph: Graph, gate: int) -> list[Node]:
    """The nodes that a gate reads, up to states and other gates."""
    found, left = list[Node](), list(graph.nodes[gate].args)
    while left:
        node = graph.nodes[left.pop()]
        found.append(node)
        left += [] if node.op in (*GATES, "exp") else node.args
    return found
