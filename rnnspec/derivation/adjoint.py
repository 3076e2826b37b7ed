"""The adjoint: the backward equations of a graph, derived with one rule for each primitive.

Reverse mode: from the cotangents of the results to the cotangents of the leaves. Products are re-associated,
`(carried * a) * b -> carried * (a * b)`, so that factors that need no incoming cotangent can be computed before
the backward loop (`rnnspec.derivation.schedule`).

The branch that a `where` does not choose contributes exactly 0, even where its derivative is not finite: the adjoint
selects last, `where(c, d * f, 0)` and never `where(c, d, 0) * f`, which is NaN where f is not finite. So a node has one
cotangent for each sequence of choices, until a map, a sum over features or a leaf adds them up.

>>> from rnnspec import cells
>>> adjoint = derive(cells.elman.graph)
>>> [adjoint.nodes[index].op for name, index in adjoint.leaves if name == ("state", "h")]
['transposed']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce
from math import pi, sqrt

from rnnspec.tracing.graph import Graph, GraphBuilder, Node, descendants, iterate
from rnnspec.tracing.ranks import MATRIX, Narrow, narrow_one, ranks

__all__ = ["Adjoint", "MapCotangent", "derive", "pulled"]


@dataclass(frozen=True)
class MapCotangent:
    """One use of a map, `U_name v`: it adds the outer product of `cotangent` and `v` to the gradient of `U_name`.

    A use `U_name' v` adds that of `v` and its cotangent, so that `cotangent` is then a forward node.
    """

    name: str
    cotangent: int
    operand: int


@dataclass(frozen=True)
class Adjoint:
    """The forward nodes, followed by those of the backward equations.

    A leaf `cotangent name` is the incoming cotangent of the result `name`. `leaves` maps a forward leaf, by operation
    and name, to its cotangent; a leaf that no result needs is missing. `maps` has an entry for each use of a map.
    """

    nodes: tuple[Node, ...]
    forward: int
    leaves: tuple[tuple[tuple[str, str], int], ...]
    maps: tuple[MapCotangent, ...]

    def leaf(self, op: str, name: str) -> int | None:
        """The cotangent of a forward leaf, or None where no result needs it."""
        return dict(self.leaves).get((op, name))


def derive(graph: Graph) -> Adjoint:
    """The adjoint of a graph: the vector-Jacobian product of all its results together.

    A state that is the output too has one cotangent, under the state's name.
    """
    sweep = _Sweep(graph)
    for index, name in _seeds(graph):
        sweep.receive(index, sweep.builder.add("cotangent", name=name))
    maps = []
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        if index not in sweep.cotangents:
            continue
        if node.op == "map":
            maps.append(MapCotangent(node.name, sweep.cotangent(index), node.args[0]))
        if node.op == "transposed":
            maps.append(MapCotangent(node.name, node.args[0], sweep.cotangent(index)))
        if node.op in _RULES or node.op in _CHOOSING:
            sweep.pull(index, node)
    leaves = tuple(
        ((op, node.name), sweep.cotangent(index))
        for op in ("x", "input", "vector", "state", "argument", "scalar")
        for index, node in iterate(graph.nodes, op)
        if index in sweep.cotangents
    )
    return Adjoint(tuple(sweep.builder.nodes), len(graph.nodes), leaves, tuple(maps))


@lru_cache(maxsize=256)
def pulled(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph of the cotangents of some arguments of a graph; that of an argument that no result needs is 0."""
    adjoint = derive(graph)
    found = {name: adjoint.leaf("argument", name) for name in names}
    builder = GraphBuilder(list(adjoint.nodes))
    return builder.graph({name: builder.constant(0.0) if index is None else index for name, index in found.items()})


def _seeds(graph: Graph) -> list[tuple[int, str]]:
    named = [(index, name) for name, index in graph.results if name]
    known = {index for index, _ in named}
    return named + [(index, name) for name, index in graph.results if not name and index not in known]


Choice = tuple[int, bool]
"""A condition, and whether it holds."""
Choices = tuple[Choice, ...]
"""The choices on the way of a cotangent, the last one in the equations first; it counts where all of them hold."""


class _Sweep:
    """Adds up the cotangents of every node, one for each sequence of choices, and re-associates products."""

    def __init__(self, graph: Graph) -> None:
        self.builder = GraphBuilder(list(graph.nodes))
        self.cotangents: dict[int, dict[Choices, int]] = {}
        self.ranks = ranks(graph)
        self._narrow: list[Narrow] = []

    def receive(self, index: int, contribution: int, choices: Choices = ()) -> None:
        """Add a contribution to the cotangent of a forward node, and join the two branches of a choice."""
        found = self.cotangents.setdefault(index, {})
        if all(self.narrow(condition).number for condition, _ in choices):
            contribution = self.as_wide(index, contribution)
        known = found.pop(choices, None)
        contribution = contribution if known is None else self.add(known, contribution)
        if choices:
            *before, (condition, holds) = choices
            other = found.pop((*before, (condition, not holds)), None)
            if other is not None:
                pair = (contribution, other) if holds else (other, contribution)
                joined = contribution if contribution == other else self.op("where", condition, *pair)
                self.receive(index, joined, tuple(before))
                return
        found[choices] = contribution

    def cotangent(self, index: int) -> int:
        """The sum of a node's cotangents over all choices, exactly 0 where none holds."""
        parts = (self.chosen(choices, part) for choices, part in self.cotangents[index].items())
        return reduce(self.add, (self.as_wide(index, part) for part in parts))

    def as_wide(self, index: int, cotangent: int) -> int:
        """A cotangent of the widths of its node: summed over every axis along which the node has one entry."""
        node, given = self.narrow(index), self.narrow(cotangent)
        if node.number:
            return cotangent if given.number else self.op("total", cotangent)
        if self.ranks[index] != MATRIX:
            return cotangent
        one, row, column = self.number(1.0), node.row and not given.row, node.column and not given.column
        if node.row and node.column:
            return self.op("outer", self.op("total", cotangent), one) if row or column else cotangent
        if row:
            return self.op("outer", one, self.product(one, cotangent))
        return self.op("outer", self.product(cotangent, one), one) if column else cotangent

    def as_wide_as(self, index: int, cotangent: int) -> int:
        """A cotangent repeated along every axis along which its node has more than one entry."""
        node, given = self.narrow(index), self.narrow(cotangent)
        wider = any(has and not own for own, has in zip(node, given, strict=True))
        return self.op("spread", cotangent, index) if wider else cotangent

    def narrow(self, index: int) -> Narrow:
        """The axes along which a node has one entry."""
        nodes, known = self.builder.nodes, self._narrow
        while len(known) <= index:
            known.append(narrow_one(nodes[len(known)], known))
        return known[index]

    def chosen(self, choices: Choices, part: int) -> int:
        """A cotangent where its choices hold, and 0 elsewhere."""
        for condition, holds in reversed(choices):
            zero = self.number(0.0)
            part = self.op("where", condition, *((part, zero) if holds else (zero, part)))
        return part

    def pull(self, index: int, node: Node) -> None:
        """Hand the cotangents of a node on to its operands, by the rule of its operation."""
        if node.op in _CHOOSING:
            condition, (one, other) = _CHOOSING[node.op](self, node.args)
            for choices, cotangent in self.cotangents[index].items():
                for arg, holds in ((one, True), (other, False)):
                    if arg is not None and self.builder.nodes[arg].op not in _FIXED:
                        self.receive(arg, cotangent, (*choices, (condition, holds)))
        elif node.op in _SUMMING:
            self.hand_on(index, node, self.cotangent(index), ())
        else:
            for choices, cotangent in self.cotangents[index].items():
                self.hand_on(index, node, cotangent, choices)

    def hand_on(self, index: int, node: Node, cotangent: int, choices: Choices) -> None:
        """Hand on the cotangent of one sequence of choices."""
        for arg, contribution in zip(node.args, _RULES[node.op](self, index, node, cotangent), strict=True):
            if self.builder.nodes[arg].op not in _FIXED:
                self.receive(arg, contribution, choices)

    def op(self, op: str, *args: int) -> int:
        return self.builder.add(op, args)

    def product(self, a: int, b: int) -> int:
        """`a @ b`, which is the vector itself for the one column or row of a vector and the number 1."""
        one = self.number(1.0)
        for matrix, vector, axis in ((a, b, 0), (b, a, 1)):
            node = self.builder.nodes[matrix]
            if node.op == "outer" and vector == node.args[1 - axis] == one:
                return node.args[axis]
        return self.op("matmul", a, b)

    def number(self, value: float) -> int:
        return self.builder.constant(value)

    def is_carried(self, index: int) -> bool:
        """Whether a node needs an incoming cotangent."""
        nodes = self.builder.nodes
        cotangents = (i for i, _ in iterate(nodes, "cotangent"))
        return index in descendants(nodes[: index + 1], cotangents)

    def split(self, index: int) -> tuple[int, int | None]:
        """A product `carried * factor` as its two parts, anything else as itself and None."""
        node = self.builder.nodes[index]
        if node.op == "multiply" and self.is_carried(node.args[0]) and not self.is_carried(node.args[1]):
            carried, factor = node.args
            return carried, factor
        return index, None

    def times(self, carried: int, factor: int) -> int:
        """`carried * factor`, with all factors that need no cotangent in one factor."""
        root, known = self.split(carried)
        return self.op("multiply", root, factor if known is None else self.op("multiply", known, factor))

    def minus(self, carried: int) -> int:
        """`-carried`, with the sign in the factor of a product."""
        root, known = self.split(carried)
        return self.op("negate", carried) if known is None else self.op("multiply", root, self.op("negate", known))

    def add(self, a: int, b: int) -> int:
        """`a + b`; two products of one carried value are one product with the sum of their factors."""
        if self.builder.nodes[b].op == "transposed":
            return self.add_transposed(a, b)
        (root, factor), (other, more) = self.split(a), self.split(b)
        if root == other and factor is not None and more is not None:
            return self.op("multiply", root, self.op("add", factor, more))
        return self.op("add", a, b)

    def add_transposed(self, a: int, b: int) -> int:
        """`a + U_n' d`, as one packed product with the transposed maps at the end of `a`."""
        head, tail = self.builder.nodes[a], self.builder.nodes[b]
        if head.op == "transposed":
            return self.builder.add("transposed", head.args + tail.args, f"{head.name} {tail.name}")
        if head.op == "add" and self.builder.nodes[head.args[1]].op == "transposed":
            return self.op("add", head.args[0], self.add_transposed(head.args[1], b))
        return self.op("add", a, b)


Rule = Callable[[_Sweep, int, Node, int], tuple[int, ...]]


def _one_minus(s: _Sweep, value: int) -> int:
    return s.op("subtract", s.number(1.0), value)


def _bell(s: _Sweep, a: int) -> int:
    """The derivative of the error function."""
    return s.op("multiply", s.number(2 / sqrt(pi)), s.op("exp", s.op("negate", s.op("multiply", a, a))))


def _whole_multiples(s: _Sweep, left: int, a: int, b: int) -> int:
    """Minus the number of whole multiples of `b` in `a`."""
    return s.op("divide", s.op("subtract", left, a), b)


def _matrix_product(s: _Sweep, args: tuple[int, ...], d: int) -> tuple[int, int]:
    """The cotangents of `a @ b`, one of them a matrix."""
    a, b = args
    if s.ranks[a] == MATRIX:
        return s.as_wide_as(a, s.op("outer", d, b)), s.as_wide_as(b, s.product(d, a))
    return s.as_wide_as(a, s.product(b, d)), s.as_wide_as(b, s.op("outer", a, d))


Choosing = Callable[[_Sweep, tuple[int, ...]], tuple[int, tuple[int | None, int | None]]]

# For each operation that chooses: its condition, and its operands where the condition holds and where it does not.
_CHOOSING: dict[str, Choosing] = {
    "relu": lambda s, args: (s.op("greater", args[0], s.number(0.0)), (args[0], None)),
    "maximum": lambda s, args: (s.op("greater_equal", *args), (args[0], args[1])),
    "minimum": lambda s, args: (s.op("greater_equal", args[1], args[0]), (args[0], args[1])),
    "where": lambda s, args: (args[0], (args[1], args[2])),
}
_FIXED = ("constant", "width", "stop")
"""The operations whose value is a constant for the derivative: they receive no cotangent."""
_SUMMING = ("map", "transposed", "total", "logsumexp", "number", "outer", "matmul")
"""The operations that read many features at once, so that cotangents of all choices are added up before them."""

# y is the node, n.args its operands, d its cotangent; each rule returns the cotangents of the operands.
_RULES: dict[str, Rule] = {
    "add": lambda s, y, n, d: (d, d),
    "subtract": lambda s, y, n, d: (d, s.minus(d)),
    "multiply": lambda s, y, n, d: (s.times(d, n.args[1]), s.times(d, n.args[0])),
    "divide": lambda s, y, n, d: (
        s.times(d, s.op("divide", s.number(1.0), n.args[1])),
        s.times(d, s.op("negate", s.op("divide", y, n.args[1]))),
    ),
    "negate": lambda s, y, n, d: (s.minus(d),),
    "tanh": lambda s, y, n, d: (s.times(d, _one_minus(s, s.op("multiply", y, y))),),
    "sigmoid": lambda s, y, n, d: (s.times(d, s.op("multiply", y, _one_minus(s, y))),),
    "softplus": lambda s, y, n, d: (s.times(d, s.op("sigmoid", n.args[0])),),
    "exp": lambda s, y, n, d: (s.times(d, y),),
    "log": lambda s, y, n, d: (s.times(d, s.op("divide", s.number(1.0), n.args[0])),),
    "sqrt": lambda s, y, n, d: (s.times(d, s.op("divide", s.number(0.5), y)),),
    "cos": lambda s, y, n, d: (s.times(d, s.op("negate", s.op("sin", n.args[0]))),),
    "sin": lambda s, y, n, d: (s.times(d, s.op("cos", n.args[0])),),
    "erf": lambda s, y, n, d: (s.times(d, _bell(s, n.args[0])),),
    "remainder": lambda s, y, n, d: (d, s.times(d, _whole_multiples(s, y, *n.args))),
    "total": lambda s, y, n, d: (s.op("spread", d, n.args[0]),),
    "logsumexp": lambda s, y, n, d: (s.times(d, s.op("exp", s.op("subtract", n.args[0], y))),),
    "number": lambda s, y, n, d: (d,),
    "outer": lambda s, y, n, d: (s.product(d, n.args[1]), s.product(n.args[0], d)),
    "matmul": lambda s, y, n, d: _matrix_product(s, n.args, d),
    "map": lambda s, y, n, d: (s.builder.add("transposed", (d,), n.name),),
    "transposed": lambda s, y, n, d: (s.builder.add("map", (d,), n.name),),
}
