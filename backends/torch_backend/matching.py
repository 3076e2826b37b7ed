"""Which maps and states of one cell are which of another's, where both have the same equations but for their names.

>>> from rnnspec import cell
>>> from rnnspec.primitives import relu, tanh
>>> @cell
... def simple(x, R, h):
...     return tanh(x.h + R.h(h))
>>> @cell
... def named_otherwise(x, R, s):
...     return tanh(R.again(s) + x.here)
>>> sorted(correspondence(simple, named_otherwise).items())
[(('input', 'h'), 'here'), (('map', 'h'), 'again'), (('state', 'h'), 's')]
>>> @cell
... def rectified(x, R, h):
...     return relu(x.h + R.h(h))
>>> correspondence(simple, rectified) is None
True
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from rnnspec.cell import OUTPUT, Cell
from rnnspec.graph import Node

__all__ = ["Names", "correspondence"]

Names = dict[tuple[str, str], str]
"""From an operation (`input`, `map`, `vector`, `state`) and a name in the one cell to the name in the other."""

COMMUTATIVE = ("add", "multiply", "maximum", "minimum")
NAMED = ("input", "map", "vector", "state")


@lru_cache(maxsize=256)
def correspondence(one: Cell, other: Cell) -> Names | None:
    """The names of `other` for those of `one`, or None where the equations differ in more than names and order."""
    if len(one.states) != len(other.states) or len(one.graph.nodes) != len(other.graph.nodes):
        return None
    match = _Match(one, other)
    start = [(one.graph.result(OUTPUT), other.graph.result(OUTPUT))]
    return next((names for names in match.all(start, {}) if len(names) == match.names), None)


class _Match:
    """The search: pairs of nodes that must compute the same, under names that are paired one to one."""

    def __init__(self, one: Cell, other: Cell) -> None:
        self.one, self.other = one.graph, other.graph
        self.names = len({(node.op, node.name) for node in one.graph.nodes if node.op in NAMED})

    def all(self, pairs: list[tuple[int, int]], names: Names) -> Iterator[Names]:
        """Every pairing of names under which all pairs of nodes compute the same."""
        if not pairs:
            yield names
            return
        (a, b), *left = pairs
        one, other = self.one.nodes[a], self.other.nodes[b]
        if one.op != other.op or one.value != other.value or len(one.args) != len(other.args):
            return
        found = self._named(one, other, names)
        if found is None:
            return
        if one.op == "state" and len(found) > len(names):
            left = [(self.one.result(one.name), self.other.result(other.name)), *left]
        for args in {other.args, other.args[::-1]} if one.op in COMMUTATIVE else {other.args}:
            yield from self.all([*zip(one.args, args, strict=True), *left], found)

    @staticmethod
    def _named(one: Node, other: Node, names: Names) -> Names | None:
        """The names with those of the two nodes paired, or None where either is paired with another already."""
        if one.op not in NAMED:
            return names
        key = (one.op, one.name)
        if key in names:
            return names if names[key] == other.name else None
        taken = {name for (op, _), name in names.items() if op == one.op}
        return None if other.name in taken else {**names, key: other.name}
