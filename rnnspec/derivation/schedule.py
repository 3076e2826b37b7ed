"""The schedule of a cell: which equations run before the loop over time, which in every step, and which after it.

Nodes that depend on no state run before the loop, once over all steps. Nodes that no later step needs run after it.
The same rule holds in the adjoint for the cotangents that are carried from step to step.

>>> from rnnspec import cells
>>> plan = schedule(cells.mingru)
>>> [plan.nodes[index].op for index in plan.forward.before]
['input', 'sigmoid', 'subtract', 'input', 'multiply']
>>> [plan.nodes[index].op for index in plan.forward.step]
['multiply', 'add']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from rnnspec.derivation.adjoint import Adjoint, derive
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import LEAVES, Node, ancestors, descendants, iterate
from rnnspec.tracing.ranks import ranks_of

__all__ = ["Phases", "Schedule", "arrange", "schedule", "widest"]

KNOWN = ("constant", "width")
"""The operations whose numbers are known before any vector: they belong to no phase."""

Names = tuple[str, ...]
"""The names of maps that are computed as one product."""


@dataclass(frozen=True)
class Phases:
    """Indices of nodes, each tuple in an order of evaluation."""

    before: tuple[int, ...]
    step: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """A cell, its adjoint, and the phase of each node. A schedule equals no other schedule.

    `nodes` are the adjoint's nodes, forward ones first. `saved` are the forward nodes, states included, whose values
    the backward equations read. With `packed`, maps of one argument are one product. With `columns`, a forward step
    keeps the features of a row in a column.
    """

    cell: Cell
    adjoint: Adjoint
    forward: Phases
    backward: Phases
    packed: bool = True
    columns: bool = False

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All nodes, forward and backward."""
        return self.adjoint.nodes

    @cached_property
    def saved(self) -> tuple[int, ...]:
        """The forward nodes, leaves included, that backward nodes and the gradients of maps read."""
        backward = (*self.backward.before, *self.backward.step, *self.backward.after)
        read = {arg for index in backward for arg in self.nodes[index].args} | self.factors
        return tuple(sorted(i for i in read if i < self.adjoint.forward and self.nodes[i].op not in KNOWN))

    @cached_property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each node: 0 for a number, 1 for a vector, 2 for a matrix."""
        ends = {(op, name): index for name, index in self.cell.graph.results for op in ("state", "cotangent")}
        return ranks_of(self.nodes, ends)

    @cached_property
    def in_time(self) -> frozenset[int]:
        """The nodes whose values change from step to step and from row to row."""
        leaves = [i for op in ("x", "input", "state", "cotangent") for i, _ in iterate(self.nodes, op)]
        return frozenset(descendants(self.nodes, leaves))

    @cached_property
    def factors(self) -> set[int]:
        """The nodes whose outer products are the gradients of recurrent maps."""
        return {index for use in self.adjoint.maps for index in (use.cotangent, use.operand)}

    @cached_property
    def input_packs(self) -> tuple[Names, ...]:
        """The products of the input maps, which share their argument, each as the names in it."""
        return self._products(self.cell.graph.names("input"))

    @cached_property
    def recurrent_packs(self) -> dict[int, tuple[Names, ...]]:
        """The products of the recurrent maps, by the node of their argument, each as the names in it."""
        packs: dict[int, list[str]] = {}
        for _, node in iterate(self.nodes, "map"):
            packs.setdefault(node.args[0], []).append(node.name)
        return {argument: self._products(sorted(names)) for argument, names in packs.items()}

    def transposed_packs(self, name: str) -> tuple[Names, ...]:
        """The products that a transposed node is computed in, each as the names in it."""
        return self._products(name.split())

    def _products(self, names: Sequence[str]) -> tuple[Names, ...]:
        if not names:
            return ()
        packed = self.packed and not any(f"R.{name}" in self.cell.shared for name in names)
        return (tuple(names),) if packed else tuple((name,) for name in names)


def widest(state: Mapping[str, Any]) -> int:
    """The width of the widest of a layer's states."""
    return max((int(a.shape[-1]) for a in state.values()), default=0)


@lru_cache(maxsize=256)
def schedule(cell: Cell) -> Schedule:
    """The schedule of a cell."""
    return arrange(cell, derive(cell.graph))


def arrange(cell: Cell, adjoint: Adjoint) -> Schedule:
    """The schedule of a cell with an adjoint of it."""
    forward_needs = [cell.graph.result(state) for state in cell.states]
    states = [index for index, _ in iterate(cell.graph.nodes, "state")]
    forward = _phases(adjoint.nodes, range(adjoint.forward), states, forward_needs, [cell.graph.result(OUTPUT)])
    carried = [index for index, node in iterate(adjoint.nodes, "cotangent") if node.name != OUTPUT]
    gradients = [index for _, index in adjoint.leaves]
    gradients += [index for use in adjoint.maps for index in (use.cotangent, use.operand)]
    to_states = [index for (op, _), index in adjoint.leaves if op == "state"]
    backward = _phases(adjoint.nodes, range(adjoint.forward, len(adjoint.nodes)), carried, to_states, gradients)
    return Schedule(cell, adjoint, forward, backward)


def _phases(
    nodes: tuple[Node, ...], own: range, carried: list[int], carries: list[int], results: list[int]
) -> Phases:
    nodes = tuple(replace(node, args=()) if node.op in KNOWN else node for node in nodes)
    needed = ancestors(nodes, [*carries, *results])
    moving = descendants(nodes, carried)
    feeding = ancestors(nodes, carries)
    own_nodes = [i for i in own if i in needed and (nodes[i].op not in (*LEAVES, *KNOWN) or nodes[i].op == "input")]
    return Phases(
        before=tuple(i for i in own_nodes if i not in moving),
        step=tuple(i for i in own_nodes if i in moving and i in feeding),
        after=tuple(i for i in own_nodes if i in moving and i not in feeding),
    )
