"""The correspondence of two cells whose equations differ in names and order only: which names are the same.

Sums and products are equal for any order of their operands, and the order of lines does not count.

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
"""Operands without an order: the indices of nodes, each with its number of occurrences."""

ORDERLESS = ("add", "multiply", "maximum", "minimum")
"""Primitives whose operands may be grouped and ordered in any way, up to rounding."""


@lru_cache(maxsize=256)
def correspondence(one: Cell, other: Cell) -> Names | None:
    """The names of `other` for those of `one`, or None where the equations differ in more than names and order."""
    if (one.heads, one.shared, one.given) != (other.heads, other.shared, other.given):
        return None
    if len(one.states) != len(other.states):
        return None
    forms: dict[Any, int] = {}
    mine, theirs = _Forms.of(one, forms), _Forms.of(other, forms)
    left = [_Pairing(mine, theirs, {}, frozenset(), ((mine.result(OUTPUT), theirs.result(OUTPUT)),))]
    while left:
        pairing = left.pop()
        if pairing.complete:
            return pairing.names
        left += reversed(list(pairing.extended()))
    return None


@dataclass(frozen=True)
class _Forms:
    """A cell's nodes, each with bags of operands and a form, which is equal for equal equations up to names."""

    cell: Cell
    operands: tuple[tuple[Bag, ...], ...]
    forms: tuple[int, ...]

    @classmethod
    def of(cls, cell: Cell, known: dict[Any, int]) -> _Forms:
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
    """The names and nodes that are paired so far, and the pairs of bags that remain."""

    one: _Forms
    other: _Forms
    names: Names
    nodes: frozenset[tuple[int, int]]
    bags: tuple[tuple[Bag, Bag], ...]

    @property
    def complete(self) -> bool:
        return not self.bags and all(("state", name) in self.names for name in self.one.cell.states)

    def extended(self) -> Iterator[_Pairing]:
        """Every way to pair one more node, or, where no node remains, a state that no equation reads."""
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
        """The pairing with two more names, and a state's results; None where either name is paired with another."""
        if (op, mine) in self.names:
            return self if self.names[op, mine] == theirs else None
        if theirs in (name for (known, _), name in self.names.items() if known == op):
            return None
        results = ((self.one.result(mine), self.other.result(theirs)),) if op == "state" else ()
        return replace(self, names={**self.names, (op, mine): theirs}, bags=(*self.bags, *results))


def _without(bag: Bag, node: int) -> Bag:
    return Counter({other: times for other, times in bag.items() if other != node})
