"""Matrices that are affine in a state, with a decay of its keys and writes of rank one, and the vectors that read them.

With keys along the rows of S, a value of the equations is `diag(decay) S + sum of outer(key, value)`, and `y @ S` reads
it; with keys along the columns everything is turned. A read of such a value is a read of S itself, of another query,
and what the writes add to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnspec.derivation.affine import NotAffine
from rnnspec.tracing.graph import GraphBuilder, Node
from rnnspec.tracing.ranks import MATRIX, Narrow

__all__ = ["Decayed", "Matrices", "Read"]


@dataclass(frozen=True)
class Decayed:
    """`decay * S + sum of outer(key, value)` with nodes for all; a decay of None is 0."""

    decay: int | None = None
    writes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Read:
    """`query @ S` as a leaf of its own: of the state before a step, or after it."""

    leaf: int
    query: int
    after: bool


class Matrices:
    """The forms of the matrices that depend on one state, in a graph that `translated` carries vectors into."""

    def __init__(
        self, builder: GraphBuilder, nodes: Sequence[Node], ranks: Sequence[int], narrow: Sequence[Narrow],
        translated: Callable[[int], int], state: int, new: int, keys_are_rows: bool,
    ) -> None:  # fmt: skip
        self.builder, self.nodes, self.ranks, self.narrow = builder, nodes, ranks, narrow
        self.translated, self.state, self.new, self.keys_are_rows = translated, state, new, keys_are_rows
        self.reads: dict[tuple[int, bool], Read] = {}
        self.found: dict[int, Decayed] = {}

    def form(self, index: int) -> Decayed:
        """The form of a matrix; raises NotAffine."""
        if index not in self.found:
            node = self.nodes[index]
            if index == self.state:
                self.found[index] = Decayed(self.builder.constant(1.0))
            elif node.op in _FORMS:
                self.found[index] = _FORMS[node.op](self, node)
            else:
                raise NotAffine(node)
        return self.found[index]

    def read(self, node: Node) -> int:
        """The vector that a product with a matrix gives; raises NotAffine where it does not read along the keys."""
        query, matrix = node.args if self.keys_are_rows else node.args[::-1]
        if self.ranks[matrix] != MATRIX:
            raise NotAffine(node, mixed=True)
        own = self.translated(query)
        if matrix == self.new:
            return self._leaf(own, after=True)
        form = self.form(matrix)
        found = None if form.decay is None else self._leaf(self.times(own, form.decay), after=False)
        for key, value in form.writes:
            met = self.times(self.op("total", self.times(own, key)), value)
            found = met if found is None else self.op("add", found, met)
        return self.builder.constant(0.0) if found is None else found

    def _leaf(self, query: int, after: bool) -> int:
        name = f"{self.nodes[self.state].name} read {len(self.reads)}"
        if (query, after) not in self.reads:
            self.reads[query, after] = Read(self.builder.add("state", name=name), query, after)
        return self.reads[query, after].leaf

    def op(self, op: str, *args: int) -> int:
        return self.builder.add(op, args)

    def times(self, a: int, b: int) -> int:
        one = self.builder.constant(1.0)
        return b if a == one else a if b == one else self.op("multiply", a, b)

    def along(self, index: int, keys: bool) -> int | None:
        """A known matrix that is the same along the other axis, as a vector of keys or of values, or as a number."""
        number, row, column = self.narrow[index]
        if number:
            return self.translated(index)
        same = column if keys == self.keys_are_rows else row
        return self._vector(index, keys) if same else None

    def _vector(self, index: int, keys: bool) -> int:
        node = self.nodes[index]
        if self.narrow[index].number:
            return self.translated(index)
        if node.op == "outer":
            own, other = node.args if keys == self.keys_are_rows else node.args[::-1]
            return self.times(self.translated(own), self.translated(other))
        return self.op(node.op, *(self._vector(arg, keys) for arg in node.args))

    def scaled(self, op: str, form: Decayed, index: int, node: Node) -> Decayed:
        """The form times a known number, or times a matrix that scales keys, or values where nothing decays."""
        keys, values = self.along(index, keys=True), self.along(index, keys=False)
        if self.narrow[index].number and values is not None:
            decay = None if form.decay is None else self._scaled(op, form.decay, values)
            return Decayed(decay, tuple((key, self._scaled(op, v, values)) for key, v in form.writes))
        if keys is not None:
            decay = None if form.decay is None else self._scaled(op, form.decay, keys)
            return Decayed(decay, tuple((self._scaled(op, key, keys), v) for key, v in form.writes))
        if values is not None and form.decay is None:
            return Decayed(None, tuple((key, self._scaled(op, v, values)) for key, v in form.writes))
        raise NotAffine(node, mixed=True)

    def _scaled(self, op: str, a: int, by: int) -> int:
        return self.times(a, by) if op == "multiply" else self.op(op, a, by)

    def depends(self, index: int) -> bool:
        """Whether a matrix depends on the state."""
        node = self.nodes[index]
        return index == self.state or (self.ranks[index] == MATRIX and any(self.depends(arg) for arg in node.args))

    def joined(self, one: Decayed, other: Decayed) -> Decayed:
        """The sum of two forms; writes under one key are one write."""
        decays = [decay for decay in (one.decay, other.decay) if decay is not None]
        writes: dict[int, int] = {}
        for key, value in (*one.writes, *other.writes):
            writes[key] = value if key not in writes else self.op("add", writes[key], value)
        decay = self.op("add", *decays) if len(decays) > 1 else next(iter(decays), None)
        return Decayed(decay, tuple(writes.items()))

    def negative(self, form: Decayed) -> Decayed:
        decay = None if form.decay is None else self.op("negate", form.decay)
        return Decayed(decay, tuple((key, self.op("negate", value)) for key, value in form.writes))


def _outer(s: Matrices, node: Node) -> Decayed:
    key, value = node.args if s.keys_are_rows else node.args[::-1]
    return Decayed(None, ((s.translated(key), s.translated(value)),))


def _product(s: Matrices, node: Node) -> Decayed:
    one, other = node.args
    if s.depends(one) and s.depends(other):
        raise NotAffine(node)
    if s.depends(one) != s.depends(other):
        moving, known = (one, other) if s.depends(one) else (other, one)
        return s.scaled("multiply", s.form(moving), known, node)
    try:
        return s.scaled("multiply", s.form(one), other, node)
    except NotAffine:
        return s.scaled("multiply", s.form(other), one, node)


def _quotient(s: Matrices, node: Node) -> Decayed:
    if s.depends(node.args[1]):
        raise NotAffine(node)
    return s.scaled("divide", s.form(node.args[0]), node.args[1], node)


_FORMS: dict[str, Callable[[Matrices, Node], Decayed]] = {
    "outer": _outer,
    "add": lambda s, node: s.joined(*map(s.form, node.args)),
    "subtract": lambda s, node: s.joined(s.form(node.args[0]), s.negative(s.form(node.args[1]))),
    "negate": lambda s, node: s.negative(s.form(node.args[0])),
    "multiply": _product,
    "divide": _quotient,
}
