"""Probes: inputs of 0, each added to an entry of a new state, so that its gradient is that of the state.

The input features of the probes stand after those of the network. A vector has one probe, `x.probe`. A matrix is the
sum over its columns j of `outer(x.probe_j, p.unit_j)`, where `p.unit_j` is 1 at j and 0 elsewhere. As the inputs are
wider then, `x` itself is read through a map that chooses the network's own features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from rnnspec.layer import Layer
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import MAPS, Graph, GraphBuilder, Vector
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tracing.widths import INPUT, axes
from rnnspec.tree import Tree, tree_map

__all__ = ["Probes"]

Array = Any
FAMILIES = {"input": ("input",), "map": MAPS, "vector": ("vector",)}
"""The operations that share the names of an operation."""


@dataclass(frozen=True)
class Probes:
    """The probes of all states of a layer, which has `inputs` input features of its own.

    The entries of a state are numbered as in one vector of a row: heads side by side, the rows of a matrix one after
    the other.
    """

    layer: Layer
    inputs: int

    @cached_property
    def places(self) -> dict[tuple[str, str], slice]:
        """The input features of the probes of each half and state."""
        found, low = {}, self.inputs
        for half in self.layer.halves:
            for state, size in self.layer.state_sizes.items():
                found[half, state] = slice(low, low := low + size)
        return found

    @property
    def wide(self) -> int:
        """The number of input features with those of the probes."""
        return self.inputs + len(self.layer.halves) * sum(self.layer.state_sizes.values())

    @cached_property
    def probed(self) -> Layer:
        """The layer with probes."""
        layer, cell = self.layer, self.layer.evaluated
        hidden = {} if isinstance(layer.widths_given, int) else dict(layer.widths_given)
        for state, shape in layer.state_shapes.items():
            hidden |= dict(zip(axes(state, cell.ranks[state]), shape[-cell.ranks[state] :], strict=True))
        shared = set(layer.shared)
        if cell.reads_input:
            hidden[f"R.{self._own}"] = self.inputs // cell.beside(INPUT)
            shared.add(INPUT)
        wide = self.wide if cell.reads_input else None
        return replace(layer, cell=self._cell, hidden=hidden, shared=tuple(shared) if layer.heads else (), inputs=wide,
                       noise=())  # fmt: skip

    def params(self, half: str, own: Tree) -> Tree:
        """The parameters of a half of the probed layer, from those of the layer."""
        cell, heads = self.layer.evaluated, self.layer.heads
        found = {kind: dict(named) for kind, named in own.items()}
        found["W"] = tree_map(lambda w: np.pad(w, ((0, 0), (0, self.wide - self.inputs))), found["W"])
        for state, size in self.layer.state_sizes.items():
            columns = self._columns(state)
            for j, (probe, unit) in enumerate(self._names(state)):
                found["b"][probe] = np.zeros(size // columns)
                found["W"][probe] = np.zeros((size // columns, self.wide))
                found["W"][probe][:, self.places[half, state]] = np.eye(size)[j::columns]
                if unit:
                    found["p"][unit] = np.tile(np.eye(columns)[j], heads or 1)
        if cell.reads_input:
            parts = np.stack(np.split(np.eye(self.inputs, self.wide), cell.beside(INPUT)))
            found["U"][self._own] = parts[0] if heads is None else np.broadcast_to(parts, (heads, *parts.shape[1:]))
        return found

    @cached_property
    def _cell(self) -> Cell:
        cell, builder, place = self.layer.evaluated, GraphBuilder(has_matrices=True), list[int]()
        for node in cell.graph.nodes:
            place.append(builder.add(node.op, (place[arg] for arg in node.args), node.name, node.value))
            if node.op == "x":
                place[-1] = builder.add("map", (place[-1],), self._own)
        results = {state: self._added(builder, state, place[cell.graph.result(state)]) for state in cell.states}
        output = place[cell.graph.result(OUTPUT)] if cell.output_state is None else results[cell.output_state]
        return Cell(cell.name, cell.states, builder.graph({OUTPUT: output, **results}))

    def _added(self, builder: GraphBuilder, state: str, index: int) -> int:
        """The node of a new state with its probes."""
        found = Vector(builder, index)
        for probe, unit in self._names(state):
            added = builder.vector("input", probe)
            found = found + (added.apply("outer", added, builder.vector("vector", unit)) if unit else added)
        return found.index

    def _columns(self, state: str) -> int:
        """The number of probes of a state."""
        return self.layer.state_shapes[state][-1] if self.layer.evaluated.ranks[state] == MATRIX else 1

    def _names(self, state: str) -> Iterator[tuple[str, str]]:
        """The names of the probes of a state, each with that of its unit, which a vector does not need."""
        graph = self.layer.evaluated.graph
        if self.layer.evaluated.ranks[state] != MATRIX:
            yield _unused(graph, "input", f"probe_{state}"), ""
        else:
            for j in range(self._columns(state)):
                yield _unused(graph, "input", f"probe_{state}_{j}"), _unused(graph, "vector", f"unit_{state}_{j}")

    @property
    def _own(self) -> str:
        """The name of the map that chooses the network's own features."""
        return _unused(self.layer.evaluated.graph, "map", "own")


def _unused(graph: Graph, op: str, name: str) -> str:
    """A name that the cell does not use."""
    used = {own for other in FAMILIES[op] for own in graph.names(other)}
    while name in used:
        name += "_"
    return name
