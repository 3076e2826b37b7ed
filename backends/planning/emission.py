"""From nodes to calls: the nodes of each call, and the place of each result.

Nodes become one call where they are ready at the same time, have the same operation, and have operands that lie side by
side or are equal. A result takes the place of an operand that nothing reads any more, where there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto

from rnnspec.tracing.graph import CONDITIONS, Node

__all__ = ["Block", "Call", "Emitter", "Kind", "Place"]


class Kind(Enum):
    """The first axes of a block; its last axis holds the columns of its places."""

    TIME = auto()  # (time, batch)
    OLD = auto()  # (time, batch), a state before each step
    NEW = auto()  # (time, batch), the same memory one step later
    CHUNK = auto()  # (steps of a chunk, batch), used anew for every chunk
    STEP = auto()  # (batch,), used anew in every step
    FIXED = auto()  # nothing: a parameter or a number


@dataclass(frozen=True)
class Block:
    """One array of a workspace: places of `width` columns each, or of several widths where that is 0.

    `joined` places are one matrix, side by side in every row, as products need them.
    """

    kind: Kind
    columns: int
    width: int = 0
    joined: bool = False
    condition: bool = False
    state: str = ""


@dataclass(frozen=True)
class Place:
    """Columns of a block."""

    block: int
    low: int
    high: int


@dataclass(frozen=True)
class Call:
    """One call for `count` nodes side by side; an operand is a place, the same for all where it is that wide only."""

    op: str
    operands: tuple[Place, ...]
    out: Place
    count: int = 1
    maps: tuple[tuple[str, float], ...] = ()
    """For a product: the recurrent maps by name, each with the number it is multiplied by."""


@dataclass
class Emitter:
    """Builds blocks and calls, and knows the place of every node.

    `keep` gives the kind of block of each value that outlives the phase; `targets` gives required places.
    """

    nodes: Sequence[Node]
    widths: Sequence[int]
    rank: Mapping[str, int]
    blocks: list[Block] = field(default_factory=list)
    places: dict[int, Place] = field(default_factory=dict)
    free: dict[Block, list[int]] = field(default_factory=dict)

    def copy(self) -> Emitter:
        """An emitter with the same blocks and places, which are added to without a change of these."""
        free = {block: list(known) for block, known in self.free.items()}
        return replace(self, blocks=list(self.blocks), places=dict(self.places), free=free)

    def block(self, block: Block) -> int:
        """A new block."""
        self.blocks.append(block)
        return len(self.blocks) - 1

    def side_by_side(self, kind: Kind, nodes: Iterable[int], state: str = "") -> int:
        """A new block that holds nodes in their order."""
        nodes = list(nodes)
        widths = {self.widths[n] for n in nodes}
        width = widths.pop() if len(widths) == 1 else 0
        block = self.block(Block(kind, sum(self.widths[n] for n in nodes), width, state=state))
        low = 0
        for n in nodes:
            self.places[n] = Place(block, low, low + self.widths[n])
            low += self.widths[n]
        return block

    def emit(
        self, indices: Iterable[int], scratch: Kind, keep: Mapping[int, Kind], targets: Mapping[int, Place]
    ) -> list[Call]:
        """The calls that evaluate the nodes; every operand has a place or is one of them."""
        return _Phase(self, list(indices), scratch, keep, targets).calls()


class _Phase:
    """The emission of one phase: the remaining nodes, and the remaining readers of each value."""

    def __init__(
        self,
        emitter: Emitter,
        indices: list[int],
        scratch: Kind,
        keep: Mapping[int, Kind],
        targets: Mapping[int, Place],
    ) -> None:
        self.e, self.left, self.scratch, self.keep, self.targets = emitter, set(indices), scratch, keep, targets
        self.readers: dict[int, set[int]] = {}
        for n in indices:
            for arg in emitter.nodes[n].args:
                self.readers.setdefault(arg, set()).add(n)
        self.emitted: list[Call] = []
        self.moves: list[Call] = []
        self.lent: dict[int, set[int]] = {}

    def calls(self) -> list[Call]:
        while self.left:
            ready = sorted(n for n in self.left if all(a in self.e.places for a in self.e.nodes[n].args))
            early = [n for n in ready if not self._is_carried(n)] or ready[:1]
            for run in self._runs(early):
                self._emit(run)
        return self.emitted + self.moves

    def _is_carried(self, n: int) -> bool:
        """Whether a node has the place of a carried value, which others may still read."""
        return n in self.targets and self.e.blocks[self.targets[n].block].kind is Kind.STEP

    def _runs(self, ready: list[int]) -> list[list[int]]:
        """The ready nodes, in runs that one call can serve."""
        nodes, places = self.e.nodes, self.e.places
        runs: list[list[int]] = []

        def order(n: int) -> tuple[str, list[tuple[int, int]], int]:
            return (
                nodes[n].op,
                [(places[a].block, places[a].low) for a in nodes[n].args],
                self.e.rank.get(nodes[n].name, 0),
            )

        for n in sorted(ready, key=order):
            if runs and self._extends(runs[-1], n):
                runs[-1].append(n)
            else:
                runs.append([n])
        return runs

    def _extends(self, run: list[int], n: int) -> bool:
        nodes, places, last = self.e.nodes, self.e.places, run[-1]
        if nodes[last].op != nodes[n].op or self.e.widths[last] != self.e.widths[n] or nodes[n].op in _ALONE:
            return False
        if (last in self.targets) != (n in self.targets):
            return False
        if nodes[n].op == "map" and n not in self.targets:
            return nodes[last].args == nodes[n].args
        pairs = [(places[a], places[b]) for a, b in zip(nodes[last].args, nodes[n].args, strict=True)]
        shared = [places[a] == places[b] for a, b in zip(nodes[run[0]].args, nodes[last].args, strict=True)]
        if n in self.targets:
            pairs.append((self.targets[last], self.targets[n]))
            shared.append(False)
        wide = self.e.widths[n]  # numbers side by side are not the operands of wider results
        beside = [p.block == q.block and p.low + wide == p.high == q.low == q.high - wide for p, q in pairs]
        if len(run) == 1:
            return all(p == q or near for (p, q), near in zip(pairs, beside, strict=True)) and any(beside)
        return all(p == q if alike else near for (p, q), near, alike in zip(pairs, beside, shared, strict=True))

    def _emit(self, run: list[int]) -> None:
        nodes, places = self.e.nodes, self.e.places
        op = nodes[run[0]].op
        operands = tuple(_span([places[nodes[n].args[i]] for n in run]) for i in range(len(nodes[run[0]].args)))
        out = self._place(run)
        if op == "transposed":
            self._emit_transposed(run[0], out)
        else:
            maps = tuple((nodes[n].name, nodes[n].value or 1.0) for n in run) if op == "map" else ()
            self.emitted.append(Call(op, operands, out, len(run), maps))
        self.left.difference_update(run)
        for arg in {arg for n in run for arg in nodes[n].args}:
            self.readers[arg].difference_update(run)
            self._release(arg)

    def _emit_transposed(self, n: int, out: Place) -> None:
        """The sum of products with transposed maps: one call for each stretch of cotangents that lie side by side."""
        node = self.e.nodes[n]
        terms = sorted(
            zip(node.args, node.name.split(), strict=True),
            key=lambda t: (self.e.places[t[0]].block, self.e.places[t[0]].low),
        )
        stretches: list[list[tuple[int, str]]] = []
        for term in terms:
            place = self.e.places[term[0]]
            before = self.e.places[stretches[-1][-1][0]] if stretches else None
            if before and before.block == place.block and before.high == place.low:
                stretches[-1].append(term)
            else:
                stretches.append([term])
        for i, stretch in enumerate(stretches):
            span = _span([self.e.places[arg] for arg, _ in stretch])
            to = out if i == 0 else self._scratch([n])
            self.emitted.append(Call("transposed", (span,), to, maps=tuple((name, 1.0) for _, name in stretch)))
            if i:
                self.emitted.append(Call("add", (out, to), out))

    def _place(self, run: list[int]) -> Place:
        """The place of the run's results: a target, the place of an operand that is read last here, or scratch."""
        if run[0] in self.targets:
            return self._target(run)
        spot = self._dying(run)
        kinds = {self.keep[n] for n in run if n in self.keep}
        kept = Kind.TIME if Kind.TIME in kinds else next(iter(kinds), None)
        if spot is None or (kept and self.e.blocks[spot.block].kind not in (kept, Kind.TIME)):
            spot = self._scratch(run) if kept is None else self._fresh(self._block(run, kept))
        self._lay(run, spot)
        return spot

    def _target(self, run: list[int]) -> Place:
        spot = _span([self.targets[n] for n in run])
        block = self.e.blocks[spot.block]
        occupants = {
            n for n, p in self.e.places.items() if p.block == spot.block and p.low < spot.high and spot.low < p.high
        }
        needed = {n for n in occupants if self.readers.get(n, set()) - set(run)}
        product = self.e.nodes[run[0]].op in (*_ALONE, "where") and occupants & set(self.e.nodes[run[0]].args)
        if block.kind is Kind.STEP and (needed or product):
            aside = self._scratch(run)
            self.moves.append(Call("copy", (aside,), spot))
            self.lent.setdefault(aside.block, set()).add(-1)
            spot = aside
        self._lay(run, spot)
        return spot

    def _lay(self, run: list[int], spot: Place) -> None:
        low = spot.low
        for n in run:
            self.e.places[n] = Place(spot.block, low, low + self.e.widths[n])
            low += self.e.widths[n]
            if self._is_scratch(spot.block):
                self.lent.setdefault(spot.block, set()).add(n)

    def _dying(self, run: list[int]) -> Place | None:
        """The places of operands that only this run still reads, where its results fit there; else None."""
        nodes, e = self.e.nodes, self.e
        if nodes[run[0]].op in (*_ALONE, "map", *CONDITIONS, "where"):
            return None
        for i in range(len(nodes[run[0]].args)):
            args = [nodes[n].args[i] for n in run]
            block = e.blocks[e.places[args[0]].block]
            fits = len(set(args)) == len(run) and all(
                e.widths[a] == e.widths[n] for a, n in zip(args, run, strict=True)
            )
            dies = all(a not in self.keep and self.readers.get(a, set()) <= set(run) for a in args)
            if fits and dies and not block.condition and block.kind in (Kind.TIME, Kind.CHUNK, Kind.STEP):
                spot = _span([e.places[a] for a in args])
                if not self._is_read_across(run, spot):
                    return spot
        return None

    def _is_read_across(self, run: list[int], spot: Place) -> bool:
        """Whether one call of the run would read columns for one node after it has written them for another."""
        for args in zip(*(self.e.nodes[n].args for n in run), strict=True):
            read = _span([self.e.places[a] for a in args])
            if read != spot and read.block == spot.block and read.low < spot.high and spot.low < read.high:
                return True
        return False

    def _scratch(self, run: list[int]) -> Place:
        block = self._block(run, self.scratch)
        known = self.e.free.get(block, [])
        return Place(known.pop(), 0, block.columns) if known else self._fresh(block)

    def _block(self, run: list[int], kind: Kind) -> Block:
        op, width = self.e.nodes[run[0]].op, self.e.widths[run[0]]
        return Block(kind, width * len(run), width, joined=op == "map", condition=op in CONDITIONS)

    def _fresh(self, block: Block) -> Place:
        return Place(self.e.block(block), 0, block.columns)

    def _is_scratch(self, block: int) -> bool:
        return self.e.blocks[block].kind is self.scratch and self.e.blocks[block].kind in (Kind.STEP, Kind.CHUNK)

    def _release(self, arg: int) -> None:
        place = self.e.places[arg]
        if arg in self.keep or self.readers.get(arg) or not self._is_scratch(place.block):
            return
        holders = self.lent.get(place.block, set())
        holders.discard(arg)
        if place.block in self.lent and not holders:
            del self.lent[place.block]
            self.e.free.setdefault(self.e.blocks[place.block], []).append(place.block)


_ALONE = ("transposed", "total", "logsumexp", "spread")
"""Operations that change the width: each is a call by itself, with a place other than its operand's."""


def _span(places: list[Place]) -> Place:
    """The columns from the first place to the last; one place alone where all are the same."""
    return Place(places[0].block, places[0].low, places[-1].high)
