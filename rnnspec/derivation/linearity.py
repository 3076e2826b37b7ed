"""What is affine in a cell: the step of each group of states, and the step of its cotangents.

>>> from rnnspec import cells
>>> print(linearity(cells.gla))
gla
  S' is affine in S: a decay for each row and one write of rank one.
  The cotangent of S is affine in that of S': a decay for each row and one write of rank one.
  A layer runs in parallel over time: S by chunks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from rnnspec.derivation import wording
from rnnspec.derivation.adjoint import derive
from rnnspec.derivation.components import components
from rnnspec.derivation.parallel import Derivation, parallel
from rnnspec.derivation.structure import Structure, structure
from rnnspec.errors import ArgumentError
from rnnspec.showing import shown
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph, Node, ancestors
from rnnspec.tracing.ranks import ranks, ranks_of

__all__ = ["Linearity", "StateGroup", "linearity"]


@dataclass(frozen=True)
class StateGroup:
    """States that depend on one another: the structure of their step, and that of their cotangents' step backward."""

    states: tuple[str, ...]
    step: Structure
    back: Structure


@dataclass(frozen=True)
class Linearity:
    """What is affine in a cell, group by group, each after those that it reads.

    `reason` is why no layer of the cell runs in parallel over time; it is empty where one does.
    """

    cell: str
    groups: tuple[StateGroup, ...]
    reason: str

    @property
    def sentences(self) -> tuple[str, ...]:
        """All of it in words: each group forward and backward, and how a layer runs."""
        found = [wording.forward(group.states, group.step) for group in self.groups]
        found += [wording.backward(group.states, group.step, group.back) for group in self.groups]
        return (*found, wording.running([(group.states, group.step) for group in self.groups], self.reason))

    def __str__(self) -> str:
        return "\n".join([self.cell, *(f"  {sentence}" for sentence in self.sentences)])


def linearity(cell: Cell) -> Linearity:
    """What is affine in a cell, read from its equations; print it for the sentences.

    Raises ArgumentError where `cell` is no cell.
    """
    if not isinstance(cell, Cell):
        raise ArgumentError("linearity(cell)", "cell must be a declared cell", shown(cell),
                            "give one, such as cells.gru")  # fmt: skip
    return _read(cell)


@lru_cache(maxsize=256)
def _read(cell: Cell) -> Linearity:
    adjoint, form = derive(cell.graph), parallel(cell)
    ends = {(op, name): index for name, index in cell.graph.results for op in ("state", "cotangent")}
    old = {state: index for (op, state), index in adjoint.leaves if op == "state"}
    forward = _Equations(cell.graph.nodes, ranks(cell.graph), dict(cell.graph.results), "state", cell.numbers)
    back = _Equations(adjoint.nodes, ranks_of(adjoint.nodes, ends), old, "cotangent", cell.numbers)
    groups = (StateGroup(states, forward.structure(states), back.structure(states))
              for states in components(cell.graph, cell.states))  # fmt: skip
    return Linearity(cell.name, tuple(groups), form if isinstance(form, str) else "")


@dataclass(frozen=True)
class _Equations:
    """Equations of a step, forward from `state` leaves or backward from `cotangent` ones, to the `ends` by name."""

    nodes: Sequence[Node]
    ranks: Sequence[int]
    ends: Mapping[str, int]
    leaves: str
    numbers: Collection[str]

    def structure(self, group: tuple[str, ...]) -> Structure:
        """The structure of a group; an end that is missing is 0."""
        ends = {state: self.ends[state] for state in group if state in self.ends}
        keep = sorted(ancestors(self.nodes, ends.values()))
        place = {old: new for new, old in enumerate(keep)}
        nodes = tuple(self._given(self.nodes[i], group, place) for i in keep)
        graph = Graph(nodes, tuple((state, place[index]) for state, index in ends.items()))
        read = {node.name for node in nodes if node.op == "state"}
        own = (*ends, *(state for state in group if state in read and state not in ends))
        return structure(Derivation(graph, [self.ranks[i] for i in keep], self.numbers), own)

    def _given(self, node: Node, group: tuple[str, ...], place: Mapping[int, int]) -> Node:
        """A node in the group's own equations, where the other states, or the cotangents of others, are given."""
        is_own = node.op == self.leaves and node.name in group
        op = "state" if is_own else "argument" if node.op in ("state", "cotangent") else node.op
        return replace(node, op=op, args=tuple(place[arg] for arg in node.args))
