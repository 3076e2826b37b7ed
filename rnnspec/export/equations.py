"""The equations of a layer whose widths are known: what an exporter writes out, with the size of every value.

Widths are numbers here, and what numbers alone make is one number. A value that is used more than once has a name, that
of its gate where it has one.

>>> from rnnspec import Layer, cells
>>> own = equations(Layer(cells.lstm, 4))
>>> [name for _, name in sorted(own.names.items())]
['i', 'f', 'g', 'o', 'new_c', 'new_h']
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from rnnspec.layer import Layer
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.folding import VALUES
from rnnspec.tracing.graph import CONDITIONS, LEAVES, MAPS, Graph, Node, ancestors
from rnnspec.tracing.printing import map_under
from rnnspec.tracing.ranks import MATRIX, NUMBER, ranks
from rnnspec.tracing.widths import INPUT, axes

__all__ = ["Equations", "Size", "equations"]

Size = tuple[int, ...]
"""() of a number, (width) of a vector, (rows, columns) of a matrix, where 1 fits every number of rows or columns."""


@dataclass(frozen=True)
class Equations:
    """The equations of one head of a layer: a graph, and the size of each node. Numbers are constants."""

    cell: Cell
    graph: Graph
    sizes: tuple[Size, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, each after those that it needs."""
        return self.graph.nodes

    def result(self, name: str) -> int:
        """The index of the node that is a new state, or the output under the name ""."""
        return self.graph.result(name)

    @cached_property
    def uses(self) -> Counter[int]:
        """How often each node is read; a result is read once by whoever gets it."""
        return Counter(arg for node in self.nodes for arg in node.args) + Counter(i for _, i in self.graph.results)

    @cached_property
    def names(self) -> dict[int, str]:
        """The names of results, of gates, and of values that are used more than once; leaves have none."""
        found, taken = self._results(), {*self.cell.states, *self._results().values()}
        for index, node in enumerate(self.nodes):
            gate = map_under(self.graph, index)
            is_gate = node.op in ("sigmoid", "tanh") and gate
            is_shared = self.uses[index] > 1 and (node.op == "input" or node.op not in LEAVES)
            if index not in found and node.op not in (*CONDITIONS, "number") and (is_gate or is_shared):
                wanted = node.name if node.op in ("input", *MAPS) else gate or "u"
                choices = (wanted, *(f"{wanted}{suffix}" for suffix in range(2, len(self.nodes) + 2)))
                found[index] = next(name for name in choices if name not in taken)
                taken.add(found[index])
        return found

    def _results(self) -> dict[int, str]:
        """The names of new states and of the output, where they are no leaf and no other result."""
        found: dict[int, str] = {}
        for name in (*self.cell.states, OUTPUT):
            index = self.result(name)
            if self.nodes[index].op not in LEAVES:
                found.setdefault(index, f"new_{name}" if name else "y")
        return found


def equations(layer: Layer) -> Equations:
    """The equations of a layer of a network, which knows the width of `x`, as a call without noise has them."""
    cell = layer.evaluated
    width = cell.widths(layer.widths_given, layer.inputs)
    return _Settling(cell, width).settled()


class _Settling:
    """Rewrites a graph: widths are constants, `stop` has no effect, and what is known of constants is computed."""

    def __init__(self, cell: Cell, width: Mapping[str, int]) -> None:
        self.cell, self.width = cell, width
        self.ranks = ranks(cell.graph)
        self.nodes: list[Node] = []
        self.sizes: list[Size] = []

    def settled(self) -> Equations:
        """The equations, without the nodes that nothing needs."""
        place, sizes = list[int](), list[Size]()
        for index, node in enumerate(self.cell.graph.nodes):
            sizes.append(self._size(index, node, sizes))
            place.append(self._settle(node, tuple(place[arg] for arg in node.args), sizes[index], sizes))
        results = {name: place[index] for name, index in self.cell.graph.results}
        keep = sorted(ancestors(self.nodes, results.values()))
        new = {old: index for index, old in enumerate(keep)}
        nodes = tuple(replace(self.nodes[old], args=tuple(new[arg] for arg in self.nodes[old].args)) for old in keep)
        graph = Graph(nodes, tuple((name, new[index]) for name, index in results.items()))
        return Equations(self.cell, graph, tuple(self.sizes[old] for old in keep))

    def _settle(self, node: Node, args: tuple[int, ...], size: Size, sizes: Sequence[Size]) -> int:
        """The new index of a node: that of its operand where it is one of them, else of a new node."""
        if node.op == "width":
            return self._add(Node("constant", value=float(math.prod(sizes[node.args[0]]))), ())
        if node.op == "stop":
            return args[0]
        constants = [self.nodes[arg].value for arg in args if self.nodes[arg].op == "constant"]
        if node.op == "where" and (chosen := self._chosen(args, size)) is not None:
            return chosen
        if node.op in VALUES and node.op not in CONDITIONS and args and len(constants) == len(args):
            return self._add(Node("constant", value=float(VALUES[node.op](*constants))), ())
        return self._add(replace(node, args=args), size)

    def _chosen(self, args: tuple[int, ...], size: Size) -> int | None:
        """What a choice by constants chooses, where it is as large as the choice."""
        condition = self.nodes[args[0]]
        given = [self.nodes[arg] for arg in condition.args]
        if any(node.op != "constant" for node in given):
            return None
        chosen = args[1 if VALUES[condition.op](*(node.value for node in given)) else 2]
        return chosen if self.sizes[chosen] == size else None

    def _add(self, node: Node, size: Size) -> int:
        self.nodes.append(node)
        self.sizes.append(size)
        return len(self.nodes) - 1

    def _size(self, index: int, node: Node, before: Sequence[Size]) -> Size:
        rank, width = self.ranks[index], self.width
        if rank == NUMBER:
            return ()
        if node.op in LEAVES:
            prefix = {"input": "x.", "vector": "p.", "x": INPUT}.get(node.op, "")
            return tuple(width[name] for name in axes(prefix + node.name, rank))
        if node.op in MAPS:
            return (width[f"R.{node.name}" if node.op == "map" else f"{node.name}.R"],)
        operands = [before[arg] for arg in node.args]
        if node.op == "outer":
            return tuple(size[0] if size else 1 for size in operands)
        if node.op == "matmul":
            return (operands[0][0],) if len(operands[0]) == MATRIX else (operands[1][1],)
        return tuple(map(max, zip(*(size for size in operands if len(size) == rank), strict=True)))
