"""Values that are affine in some leaves of a graph, entry by entry: the factor of each leaf, and the rest.

`h' = f * h + u` has the factor f of h and the rest u. Both become nodes of the graph. A value that is bent, or that a
map or a sum mixes over features, is refused with the node that does it.

>>> from rnnspec import cells
>>> builder = GraphBuilder(list(cells.mingru.graph.nodes))
>>> h = next(index for index, node in enumerate(builder.nodes) if node.op == "state")
>>> form = Affinity(builder, {h}).of(cells.mingru.graph.result("h"))
>>> builder.nodes[form.factors[h]].op, builder.nodes[form.rest].op
('subtract', 'multiply')
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rnnspec.tracing.graph import MAPS, GraphBuilder, Node
from rnnspec.tracing.ranks import Narrow, narrow_one

__all__ = ["Affine", "Affinity", "NotAffine"]

NUMBER = Narrow(True, False, False)
MIXING = ("total", "outer", "matmul", *MAPS)
"""The operations that are linear, but not entry by entry."""


class NotAffine(Exception):
    """A value is not affine entry by entry: the node that bends it, or with `mixed` mixes its features."""

    def __init__(self, node: Node, mixed: bool = False) -> None:
        super().__init__(node.op)
        self.node, self.mixed = node, mixed


@dataclass(frozen=True)
class Affine:
    """`sum(factors[leaf] * leaf) + rest`; a rest of None is 0."""

    factors: dict[int, int] = field(default_factory=dict)
    rest: int | None = None


class Affinity:
    """Finds the forms of nodes in some leaves, and adds the nodes of factors to the graph.

    `numbers` are leaves that have one feature for any widths.
    """

    def __init__(self, builder: GraphBuilder, leaves: Collection[int], numbers: Collection[int] = ()) -> None:
        self.builder, self.leaves, self.numbers = builder, leaves, numbers
        self.found: dict[int, Affine] = {}
        self._narrow: list[Narrow] = []

    def of(self, index: int) -> Affine:
        """The form of a node; raises NotAffine."""
        if index not in self.found:
            self.found[index] = self._form(index)
        return self.found[index]

    def _form(self, index: int) -> Affine:
        node = self.builder.nodes[index]
        if index in self.leaves:
            return Affine({index: self.number(1.0)})
        if node.op == "width":
            return Affine(rest=index)
        forms = [self.of(arg) for arg in node.args]
        if not any(form.factors for form in forms):
            return Affine(rest=index)
        if node.op not in _FORMS:
            if node.op in ("total", "spread") and self.is_number(node.args[0]):
                return _through(self, node, forms)
            raise NotAffine(node, mixed=node.op in MIXING)
        return _FORMS[node.op](self, node, forms)

    def is_number(self, index: int) -> bool:
        """Whether a node has one feature for any widths."""
        nodes, known = self.builder.nodes, self._narrow
        while len(known) <= index:
            at = len(known)
            known.append(NUMBER if at in self.numbers else narrow_one(nodes[at], known))
        return known[index].number

    def number(self, value: float) -> int:
        """The node of a number."""
        return self.builder.constant(value)

    def op(self, op: str, *args: int) -> int:
        """The node of a primitive."""
        return self.builder.add(op, args)

    def product(self, a: int, b: int) -> int:
        """The product of two nodes, one of which may be the number 1."""
        one = self.number(1.0)
        return b if a == one else a if b == one else self.op("multiply", a, b)

    def sum(self, op: str, a: int | None, b: int | None) -> int | None:
        """The sum or the difference of two nodes, of which None is 0."""
        if b is None:
            return a
        if a is None:
            return b if op == "add" else self.op("negate", b)
        return self.op(op, a, b)

    def scaled(self, form: Affine, scale: Callable[[int], int]) -> Affine:
        """The form with each of its nodes scaled."""
        rest = None if form.rest is None else scale(form.rest)
        return Affine({leaf: scale(factor) for leaf, factor in form.factors.items()}, rest)


def _sum(s: Affinity, node: Node, forms: list[Affine]) -> Affine:
    a, b = forms
    leaves = {**a.factors, **b.factors}
    pairs = {leaf: s.sum(node.op, a.factors.get(leaf), b.factors.get(leaf)) for leaf in leaves}
    factors = {leaf: factor for leaf, factor in pairs.items() if factor is not None}
    return Affine(factors, s.sum(node.op, a.rest, b.rest))


def _product(s: Affinity, node: Node, forms: list[Affine]) -> Affine:
    moving, known = forms if forms[0].factors else forms[::-1]
    if known.factors:
        raise NotAffine(node)
    factor = node.args[1 if forms[0].factors else 0]
    return s.scaled(moving, lambda a: s.product(a, factor))


def _quotient(s: Affinity, node: Node, forms: list[Affine]) -> Affine:
    if forms[1].factors:
        raise NotAffine(node)
    return s.scaled(forms[0], lambda a: s.op("divide", a, node.args[1]))


def _choice(s: Affinity, node: Node, forms: list[Affine]) -> Affine:
    condition, a, b = forms
    if condition.factors:
        raise NotAffine(node)
    zero = s.number(0.0)

    def chosen(one: int | None, other: int | None) -> int:
        return s.op("where", node.args[0], zero if one is None else one, zero if other is None else other)

    factors = {leaf: chosen(a.factors.get(leaf), b.factors.get(leaf)) for leaf in {**a.factors, **b.factors}}
    return Affine(factors, None if a.rest is b.rest is None else chosen(a.rest, b.rest))


def _through(s: Affinity, node: Node, forms: list[Affine]) -> Affine:
    """An operation that changes no number of one feature."""
    return s.scaled(forms[0], lambda a: a if s.builder.nodes[a].op == "constant" else s.op(node.op, a, *node.args[1:]))


_FORMS: dict[str, Callable[[Affinity, Node, list[Affine]], Affine]] = {
    "add": _sum,
    "subtract": _sum,
    "negate": lambda s, node, forms: s.scaled(forms[0], lambda a: s.op("negate", a)),
    "multiply": _product,
    "divide": _quotient,
    "where": _choice,
    "number": _through,
    "stop": lambda s, node, forms: forms[0],
}
