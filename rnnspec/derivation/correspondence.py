"""Which maps and states of one cell are which of another's, where the equations are equal but for names and order.

Sums and products are compared as such, whatever the order of their operands, and lines in any order.

>>> from rnnspec import cell, cells
>>> from rnnspec.primitives import relu, tanh
>>> @cell
... def named_otherwise(x, R, s):
...     return tanh(R.again(s) + x.here)
>>> sorted(correspondence(cells.elman, named_otherwise).items())
[(('input', 'h'), 'here'), (('map', 'h'), 'again'), (('state', 'h'), 's')]
>>> correspondence(cells.elman_relu, named_otherwise) is None
True
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import NAMED

__all__ = ["Names", "correspondence"]

Names = dict[tuple[str, str], str]
"""From an operation (`input`, `map`, `vector`, `state`) and a name in the one cell to the name in the other."""
Bag = Counter[int]
"""Operands in no order: nodes by index, each with how often it stands there."""

ORDERLESS = ("add", "multiply", "maximum", "minimum")
"""Primitives of any number of operands in any order, but for rounding."""


@lru_cache(maxsize=256)
def correspondence(one: Cell, other: Cell) -> Names | None:
    """The names of `other` for those of `one`, or None where the equations differ in more than names and order."""
    if len(one.states) != len(other.states):
        return None
    forms: dict[Any, int] = {}
    mine, theirs = _Side.of(one, forms), _Side.of(other, forms)
    left = [_Pairing(mine, theirs, {}, frozenset(), ((mine.result(OUTPUT), theirs.result(OUTPUT)),))]
    while left:
        pairing = left.pop()
        if pairing.complete:
            return pairing.names
        left += reversed(list(pairing.extended()))
    return None


@dataclass(frozen=True)
class _Side:
    """A cell's nodes, each with its operands in bags and its form: what it computes, names aside."""

    cell: Cell
    operands: tuple[tuple[Bag, ...], ...]
    forms: tuple[int, ...]

    @classmethod
    def of(cls, cell: Cell, known: dict[Any, int]) -> _Side:
        operands, forms, nodes = list[tuple[Bag, ...]](), list[int](), cell.graph.nodes
        for node in nodes:
            bags = tuple(Counter((arg,)) for arg in node.args)
            if node.op in ORDERLESS:
                flat = (operands[a][0] if nodes[a].op == node.op else Counter((a,)) for a in node.args)
                bags = (sum(flat, Counter()),)
            operands.append(bags)
            contents = tuple(tuple(sorted((forms[i], times) for i, times in bag.items())) for bag in bags)
            forms.append(known.setdefault((node.op, node.value, contents), len(known)))
        return cls(cell, tuple(operands), tuple(forms))

    def result(self, name: str) -> Bag:
        return Counter((self.cell.graph.result(name),))


@dataclass(frozen=True)
class _Pairing:
    """Names paired one to one so far, the nodes that are paired under them, and the bags that are still to be."""

    one: _Side
    other: _Side
    names: Names
    nodes: frozenset[tuple[int, int]]
    bags: tuple[tuple[Bag, Bag], ...]

    @property
    def complete(self) -> bool:
        return not self.bags and all(("state", name) in self.names for name in self.one.cell.states)

    def extended(self) -> Iterator[_Pairing]:
        """Every way to pair one node more, or where none is left, one state that no equation reads."""
        if not self.bags:
            state = next(name for name in self.one.cell.states if ("state", name) not in self.names)
            yield from (made for name in self.other.cell.states if (made := self._named("state", state, name)))
            return
        (mine, theirs), *left = self.bags
        a, times = next(iter(mine.items()))
        for b in theirs:
            if (self.one.forms[a], times) == (self.other.forms[b], theirs[b]):
                rest = [(_without(mine, a), _without(theirs, b))] if len(mine) > 1 else []
                made = replace(self, bags=(*rest, *left))._paired(a, b)
                if made:
                    yield made

    def _paired(self, a: int, b: int) -> _Pairing | None:
        if (a, b) in self.nodes:
            return self
        inner = zip(self.one.operands[a], self.other.operands[b], strict=True)
        made = replace(self, nodes=self.nodes | {(a, b)}, bags=(*inner, *self.bags))
        node = self.one.cell.graph.nodes[a]
        return made._named(node.op, node.name, self.other.cell.graph.nodes[b].name) if node.op in NAMED else made

    def _named(self, op: str, mine: str, theirs: str) -> _Pairing | None:
        """With two names paired, or None where either is paired with another already; of a state, its results too."""
        if (op, mine) in self.names:
            return self if self.names[op, mine] == theirs else None
        if theirs in (name for (known, _), name in self.names.items() if known == op):
            return None
        results = ((self.one.result(mine), self.other.result(theirs)),) if op == "state" else ()
        return replace(self, names={**self.names, (op, mine): theirs}, bags=(*self.bags, *results))


def _without(bag: Bag, node: int) -> Bag:
    return Counter({other: times for other, times in bag.items() if other != node})
