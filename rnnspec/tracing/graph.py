"""A graph: named maps, vectors and elementwise functions. Each node comes after the nodes that it needs.

A node is one of

    leaves      x itself, input x.name, vector p.name, state name, argument name, scalar name, cotangent name, constant
                value, with a name where it is a named one
    maps        map R.name(v); transposed R.name.T(v), in an adjoint the sum of U_name' v over names (space between)
                and operands
    primitives  the closed list of `rnnspec.primitives`
    axes        total_in, total_out: sums over one axis of a map, in a rule on finished gradients only
    reduce      a caller's function of a scalar, such as the sum over the shards of a distributed gradient

>>> builder = GraphBuilder()
>>> a, h = builder.vector("input", "h"), builder.vector("state", "h")
>>> builder.nodes[(a + h).index]
Node(op='add', args=(0, 1), name='', value=None)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Real
from typing import Any, NoReturn

from rnnspec.errors import EquationError
from rnnspec.primitives import PRIMITIVES, Expression, refuse
from rnnspec.showing import shown

__all__ = [
    "AXES",
    "CONDITIONS",
    "LEAVES",
    "MAPS",
    "NAMED",
    "Graph",
    "GraphBuilder",
    "Input",
    "Node",
    "Vector",
    "ancestors",
    "as_vector",
    "descendants",
    "from_json",
    "iterate",
    "map_name",
    "to_json",
]

LEAVES = ("x", "input", "vector", "state", "argument", "scalar", "cotangent", "constant")
CONDITIONS = ("greater", "greater_equal")
AXES = {"total_in": -1, "total_out": -2}
"""The axis of a map `(out, in)`, or `(heads, out, in)`, that a sum is over; a bias or vector `(out)` has that of its
units only."""
MAPS = ("map", "transposed")
"""The operations that multiply by a recurrent map."""
NAMED = ("input", "vector", "state", *MAPS)
"""The operations with names. No name is `R`, since widths are named `x.name` and `name.R`."""


@dataclass(frozen=True)
class Node:
    """One value: an operation, the indices of its operands, and the name or number of a leaf or map."""

    op: str
    args: tuple[int, ...] = ()
    name: str = ""
    value: Any = None


@dataclass(frozen=True)
class Graph:
    """Nodes in an order of evaluation, and the index of each named result."""

    nodes: tuple[Node, ...]
    results: tuple[tuple[str, int], ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Cached: every call of a backend looks programs up by their graphs."""
        return hash((self.nodes, self.results))

    def result(self, name: str) -> int:
        """The index of the node that is the result `name`."""
        return dict(self.results)[name]

    def names(self, op: str) -> tuple[str, ...]:
        """The names under one operation, each once, sorted."""
        return tuple(sorted({node.name for node in self.nodes if node.op == op}))

    def evaluate(self, apply: Callable[[Node, list[Any]], Any]) -> dict[str, Any]:
        """The results by name, where `apply(node, operands)` returns the value of a node."""
        values: list[Any] = []
        for node in self.nodes:
            values.append(apply(node, [values[arg] for arg in node.args]))
        return {name: values[index] for name, index in self.results}


class Vector(Expression):
    """A symbolic vector: a node of the graph of a `GraphBuilder`."""

    __slots__ = ("builder", "index")

    def __init__(self, builder: GraphBuilder, index: int) -> None:
        self.builder, self.index = builder, index

    def apply(self, op: str, *operands: Any) -> Vector:
        """The new node of a primitive, of a sum over an axis, or of a `reduce`."""
        if op == "reduce":
            return Vector(self.builder, self.builder.add(op, (self.index,), value=operands[1]))
        if op in AXES:
            return Vector(self.builder, self.builder.along(op, self.index))
        return Vector(self.builder, self.builder.primitive(op, *(self.builder.index(v) for v in operands)))

    def __call__(self, *_: Any) -> NoReturn:
        refuse("a(...)", "a call of a vector", "a vector is no function", "write R.name(v) for a recurrent map of v")

    def __repr__(self) -> str:
        return f"<vector {self.builder.nodes[self.index].op} of equations>"


class Input(Expression):
    """`x`: a vector, whose attributes are maps of it, given by name: `x.name` is W_name x + b_name."""

    __slots__ = ("_give", "_vector")

    def __init__(self, vector: Any, give: Callable[[str], Any]) -> None:
        self._vector, self._give = vector, give

    def apply(self, op: str, *operands: Any) -> Any:
        """The result of a primitive of the vector."""
        return self._vector.apply(op, *map(as_vector, operands))

    def __getattr__(self, name: str) -> Any:
        return self._give(map_name("x", name))

    def __repr__(self) -> str:
        return "x"


def as_vector(value: Any) -> Any:
    """A value of equations, where `x` is the vector of the input."""
    return value._vector if isinstance(value, Input) else value


def map_name(label: str, name: str) -> str:
    """The name of a map that is read as an attribute of `x`, `R` or `p`; names of Python's own are no maps."""
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    if name.startswith("_"):
        refuse(f"{label}.{name}", repr(name), "the name of a map must not begin with an underscore",
               f"write {label}.{name.lstrip('_') or 'name'}")  # fmt: skip
    return name


@dataclass
class GraphBuilder:
    """A growing graph, in which equal nodes are one node.

    `has_axes` says that its vectors are maps with two axes, `has_matrices` that vectors can make matrices.
    """

    nodes: list[Node] = field(default_factory=list)
    has_axes: bool = False
    has_matrices: bool = False
    _known: dict[Node, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known.update({node: index for index, node in enumerate(self.nodes)})

    def add(self, op: str, args: Iterable[int] = (), name: str = "", value: Any = None) -> int:
        """The index of a node, which is added unless the graph has it."""
        node = Node(op, tuple(args), name, value)
        if node not in self._known:
            self._known[node] = len(self.nodes)
            self.nodes.append(node)
        return self._known[node]

    def primitive(self, op: str, *args: int) -> int:
        """The index of a primitive applied to nodes."""
        choices = args
        if op in ("outer", "matmul") and not self.has_matrices:
            refuse(f"{op}(...)", "a policy, rule or loss", "only the equations of a cell have matrices",
                   "write total(a * b), or put it into the cell")  # fmt: skip
        if op == "where":
            choices = args[1:]
            if self.nodes[args[0]].op not in CONDITIONS:
                refuse("where(...)", "a vector or a number", "the first argument of where must be a condition",
                       "write a comparison, as in where(u > v, a, b)")  # fmt: skip
        if op == "remainder" and self.nodes[args[1]].op == "constant" and not self.nodes[args[1]].value > 0:
            refuse("remainder(a, b)", f"b = {self.nodes[args[1]].value:g}", "b must be above 0", "write a positive b")
        return self.add(op, (*args[: len(args) - len(choices)], *self._values(f"{op}(...)", choices)))

    def along(self, op: str, index: int) -> int:
        """The index of a sum over one axis of a map."""
        if not self.has_axes:
            refuse(f"{op}(...)", "a vector, which has one axis", "only a rule on finished gradients sums over an axis",
                   "write total(a)")  # fmt: skip
        return self.add(op, self._values(f"{op}(...)", (index,)))

    def constant(self, value: float, name: str = "") -> int:
        """The index of a number; -0 becomes 0, since equal nodes are one node."""
        return self.add("constant", name=name, value=float(value) + 0.0)

    def vector(self, op: str, name: str = "", *args: Any) -> Vector:
        """The vector of a leaf or a map."""
        if op in NAMED and (name == "R" or not name.isidentifier()):
            refuse(f"{op} {name!r}", repr(name), "a name must be an identifier other than R", "choose another name")
        if op in MAPS and any(self.nodes[self.index(arg)].op in ("constant", "width") for arg in args):
            refuse(f"R.{name}(...)", "a number, which has no width", "a recurrent map must be given a vector",
                   f"write p.{name}, a learned vector")  # fmt: skip
        return Vector(self, self.add(op, self._values(f"{op} {name}", [self.index(arg) for arg in args]), name))

    def index(self, operand: Any) -> int:
        """The node of an operand, which is a vector of these equations or a number, also one of NumPy."""
        operand = as_vector(operand)
        if isinstance(operand, Vector):
            if operand.builder is not self:
                refuse("equations", "a vector kept from other equations", "equations must use their own vectors only",
                       "use the arguments of this function")  # fmt: skip
            return operand.index
        if isinstance(operand, bool) or not isinstance(operand, Real):
            refuse("equations", f"the operand {shown(operand)}")
        return self.constant(float(operand))

    def graph(self, results: dict[str, int]) -> Graph:
        """The graph of the results, without the nodes that they do not need."""
        self._values("equations", results.values())
        keep = sorted(ancestors(self.nodes, results.values()))
        place = {old: new for new, old in enumerate(keep)}
        nodes = tuple(
            Node(n.op, tuple(place[a] for a in n.args), n.name, n.value) for n in (self.nodes[i] for i in keep)
        )
        return Graph(nodes, tuple((name, place[index]) for name, index in results.items()))

    def _values(self, call: str, indices: Iterable[int]) -> tuple[int, ...]:
        found = tuple(indices)
        if any(self.nodes[index].op in CONDITIONS for index in found):
            refuse(call, "a condition in place of a vector", "a condition must be the first argument of where",
                   "write where(condition, a, b)")  # fmt: skip
        return found


def ancestors(nodes: Sequence[Node], roots: Iterable[int]) -> set[int]:
    """The roots and all nodes that they need."""
    found: set[int] = set()
    left = list(roots)
    while left:
        index = left.pop()
        if index not in found:
            found.add(index)
            left.extend(nodes[index].args)
    return found


def descendants(nodes: Sequence[Node], roots: Iterable[int]) -> set[int]:
    """The roots and all nodes whose values depend on theirs; a width depends on no value."""
    found = set(roots)
    for index, node in enumerate(nodes):
        if node.op != "width" and found.intersection(node.args):
            found.add(index)
    return found


def from_json(data: Any) -> Graph:
    """The graph of a cell from the data of `to_json`; nothing in the data is executed.

    Raises EquationError where the data are no such graph: an unknown operation, or a node before one that it needs.
    """
    builder, place = GraphBuilder(has_matrices=True), list[int]()
    for index, row in enumerate(data["nodes"]):
        place.append(_add_from_json(builder, place, index, row))
    for name, index in data["results"]:
        if not isinstance(name, str) or not _stands_before(index, len(place)):
            _refuse_json(f"result {name!r} at node {index!r} of {len(place)}")
    return builder.graph({name: place[index] for name, index in data["results"]})


def to_json(graph: Graph) -> dict[str, Any]:
    """The graph as JSON data: nodes as `[op, args, name, value]`."""
    return {
        "nodes": [[node.op, list(node.args), node.name, node.value] for node in graph.nodes],
        "results": [list(result) for result in graph.results],
    }


def _add_from_json(builder: GraphBuilder, place: list[int], index: int, row: Any) -> int:
    op, args, name, value = row
    operands = {"map": 1, "transposed": 1, "constant": 0, "x": 0, "input": 0, "vector": 0, "state": 0}.get(op)
    operands = PRIMITIVES[op].operands if op in PRIMITIVES else operands
    if operands is None or len(args) != operands or not all(_stands_before(arg, index) for arg in args):
        _refuse_json(f"node {index} {row!r}")
    if not isinstance(name, str) or (op == "constant") != (type(value) in (int, float)):
        _refuse_json(f"node {index} {row!r}")
    if op == "constant":
        return builder.constant(value, name)
    found = [place[arg] for arg in args]
    if op in PRIMITIVES:
        return builder.primitive(op, *found)
    return builder.vector(op, name, *(Vector(builder, i) for i in found)).index


def _stands_before(index: Any, end: int) -> bool:
    return type(index) is int and 0 <= index < end


def _refuse_json(got: str) -> NoReturn:
    raise EquationError("load", "a graph must hold known operations, each after the nodes that it needs", got,
                        "save the network again")


def iterate(nodes: Sequence[Node], op: str) -> Iterator[tuple[int, Node]]:
    """The nodes of one operation with their indices."""
    return ((index, node) for index, node in enumerate(nodes) if node.op == op)
