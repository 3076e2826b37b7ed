"""The order of a step in C: which values stand in one loop, which products come before it, and what is kept in memory.

A step is a row of stages. In each come the products and sums that read what is there, then numbers, then one loop for
all vectors of one width, then loops for matrices. A value is computed as late as its readers allow, so that most of a
cell's equations are one loop and few values need memory of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from rnnspec.export.equations import Equations, Size
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import CONDITIONS, LEAVES, MAPS, Node

__all__ = ["GATHERS", "Loop", "Pack", "Plan"]

GATHERS = (*MAPS, "total", "logsumexp", "matmul", "number")
"""The operations that read a whole value, which must be complete before."""

Loop = tuple[int, Size]
"""The stage and the size of a loop; () for the numbers of a stage, which are no loop."""


@dataclass(frozen=True)
class Pack:
    """Maps that are always called with the same vectors: one product for all of them, one below the other.

    `rows` says where the result of each begins, `out` how long all of them are, for one head.
    """

    names: tuple[str, ...]
    rows: Mapping[str, int]
    out: int
    width: int
    is_shared: bool


@dataclass(frozen=True)
class Plan:
    """The plan of the equations of one head."""

    own: Equations

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the equations."""
        return self.own.nodes

    @cached_property
    def packs(self) -> tuple[Pack, ...]:
        """The recurrent maps in packs."""
        called: dict[str, set[int]] = {}
        for node in self.nodes:
            if node.op in MAPS:
                called.setdefault(node.name, set()).update(node.args if node.op == "map" else ())
        ends: dict[str, tuple[int, int]] = {}
        for index, node in enumerate(self.nodes):
            if node.op in MAPS:
                sizes = self._length(index), self._length(node.args[0])
                ends[node.name] = sizes if node.op == "map" else sizes[::-1]
        groups: dict[tuple[frozenset[int], bool, str], list[str]] = {}
        for name, args in called.items():
            key = frozenset(args), f"R.{name}" in self.own.cell.shared, "" if args else name
            groups.setdefault(key, []).append(name)
        return tuple(_pack(names, ends, is_shared) for (_, is_shared, _), names in groups.items())

    def pack(self, name: str) -> Pack:
        """The pack of a map."""
        return next(pack for pack in self.packs if name in pack.names)

    def _length(self, index: int) -> int:
        return next(iter(self.own.sizes[index]), 1)

    def reads(self, index: int) -> tuple[int, ...]:
        """The nodes that a node reads, where a choice reads those of its condition."""
        node = self.nodes[index]
        if node.op == "where":
            return (*self.nodes[node.args[0]].args, *node.args[1:])
        return node.args

    def is_inner(self, index: int) -> bool:
        """Whether a node is computed entry by entry, within a loop or as a number."""
        return self.nodes[index].op not in (*LEAVES, *GATHERS, *CONDITIONS)

    @cached_property
    def readers(self) -> tuple[tuple[int, ...], ...]:
        """The nodes that read each node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for arg in () if node.op in CONDITIONS else set(self.reads(index)):
                found[arg].append(index)
        return tuple(map(tuple, found))

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """The stage of each node, -1 of leaves."""
        found: list[int] = []
        for index, node in enumerate(self.nodes):
            after = max((found[arg] for arg in self.reads(index)), default=-1)
            found.append(-1 if node.op in LEAVES else after + 1 if node.op in GATHERS else max(after, 0))
        results = {index for _, index in self.own.graph.results}
        for index in reversed(range(len(found))):
            if self.is_inner(index) and index not in results and self.readers[index]:
                found[index] = min(found[r] - (self.nodes[r].op in GATHERS) for r in self.readers[index])
        return tuple(found)

    def loop(self, index: int) -> Loop:
        """Where a node that is computed entry by entry stands."""
        return self.stages[index], self.own.sizes[index]

    def loops(self, stage: int) -> list[Loop]:
        """The loops of a stage: numbers, vectors, then matrices, those of one row or column before others."""
        found = {self.loop(i) for i in range(len(self.nodes)) if self.is_inner(i) and self.stages[i] == stage}
        return sorted(found, key=lambda loop: (len(loop[1]), sum(n > 1 for n in loop[1]), loop[1]))

    def inside(self, loop: Loop) -> list[int]:
        """The nodes of a loop."""
        return [i for i in range(len(self.nodes)) if self.is_inner(i) and self.loop(i) == loop]

    def gathers(self, stage: int) -> Iterator[int]:
        """The products and sums at the begin of a stage."""
        return (i for i, node in enumerate(self.nodes) if node.op in GATHERS and self.stages[i] == stage)

    @property
    def last(self) -> int:
        """The last stage."""
        return max(self.stages, default=-1)

    @cached_property
    def direct(self) -> dict[int, tuple[str, ...]]:
        """The states that a loop may write in place: what reads the old one stands before, or at the same entry."""
        found: dict[int, tuple[str, ...]] = {}
        for state in self.own.cell.states:
            index = self.own.result(state)
            if self.is_inner(index) and self.own.sizes[index] and index not in found and self._is_free(state, index):
                found[index] = (state,)
        return found

    def _is_free(self, state: str, new: int) -> bool:
        old = [i for i, node in enumerate(self.nodes) if node.op == "state" and node.name == state]
        kept = {index for _, index in self.own.graph.results}
        if any(index in kept for index in old):
            return False
        return all(self._is_before(reader, new) for index in old for reader in self.readers[index])

    def _is_before(self, reader: int, new: int) -> bool:
        """Whether a node has read a state when the loop of a new one writes it."""
        if self.nodes[reader].op in GATHERS:
            return self.stages[reader] <= self.stages[new]
        if self.loop(reader) == self.loop(new):
            return self.nodes[reader].op != "outer"
        if self.stages[reader] != self.stages[new]:
            return self.stages[reader] < self.stages[new]
        order = self.loops(self.stages[new])
        return order.index(self.loop(reader)) < order.index(self.loop(new))

    @cached_property
    def stored(self) -> tuple[int, ...]:
        """The values that need memory: results, what a product reads, and what another loop reads."""
        return tuple(index for index in range(len(self.nodes)) if self._is_stored(index))

    def _is_stored(self, index: int) -> bool:
        node, size = self.nodes[index], self.own.sizes[index]
        if node.op in ("matmul", "transposed"):
            return True
        if not self.is_inner(index) or not size:
            return False
        if index in self.direct:
            return False
        is_state = any(name and result == index for name, result in self.own.graph.results)
        return is_state or any(self._is_elsewhere(reader, index) for reader in self.readers[index])

    def _is_elsewhere(self, reader: int, index: int) -> bool:
        return self.nodes[reader].op in (*GATHERS, "outer") or self.loop(reader) != self.loop(index)

    @property
    def saved(self) -> tuple[int, ...]:
        """The old states that become another state or the output: they are read after they are written."""
        old = {index: self.nodes[index].name for _, index in self.own.graph.results if self.nodes[index].op == "state"}
        becomes = {(index, name) for name, index in self.own.graph.results}
        return tuple(sorted({i for i, name in becomes if i in old and name != old[i]}))

    def copies(self) -> list[tuple[str, int]]:
        """The new states, and the output under the name "", that are copied at the end."""
        kept = [(state, self.own.result(state)) for state in self.own.cell.states]
        found = [(state, index) for state, index in kept if state not in self.direct.get(index, ())
                 and (self.nodes[index].op, self.nodes[index].name) != ("state", state)]  # fmt: skip
        output = self.own.result(OUTPUT)
        is_written = self.is_inner(output) and self.own.sizes[output]
        return found if is_written else [*found, (OUTPUT, output)]


def _pack(names: Sequence[str], ends: Mapping[str, tuple[int, int]], is_shared: bool) -> Pack:
    rows, low = dict[str, int](), 0
    for name in names:
        rows[name] = low
        low += ends[name][0]
    return Pack(tuple(names), rows, low, ends[names[0]][1], is_shared)
