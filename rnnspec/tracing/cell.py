"""A cell: one function of equations, traced once into a graph.

The arguments named `x`, `R` and `p` are parameters: `x.i` is `W_i x + b_i`, `R.i(v)` is `U_i v` and never has a bias,
`p.i` is a learned vector. Every other argument is a state. The function returns the new states in the order of its
arguments. The first one is the output too. A cell whose output is no state returns `out(y), state, ...`.

>>> from rnnspec.primitives import tanh
>>> @cell
... def plain(x, R, h):
...     return tanh(x.h + R.h(h))
>>> plain.states
('h',)
>>> print(plain)
plain(h)
  h' = tanh(W_h x + b_h + U_h h)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from typing import Any

from rnnspec.errors import EquationError, NetworkError
from rnnspec.primitives import PRIMITIVES, Expression, reading, refuse
from rnnspec.showing import shown
from rnnspec.tracing import printing
from rnnspec.tracing.graph import Graph, GraphBuilder, Node, Vector, is_scalar, iterate
from rnnspec.tree import Shape

__all__ = ["Cell", "Out", "cell", "out"]

PARAMETERS = ("x", "R", "p")
OUTPUT = ""
"""The name of the output among a graph's results; no state can have it."""


@dataclass(frozen=True)
class Out:
    """Marks an output that is no state."""

    value: Any


def out(value: Any) -> Out:
    """The output of a cell whose output is no state: `return out(y), h`."""
    return Out(value)


@dataclass(frozen=True)
class Cell:
    """A traced cell. Two cells are equal when their states and graphs are; the name is a label.

    `graph.results` has an entry for each state, under its name, and an entry `""` for the output.
    """

    name: str = field(compare=False)
    states: tuple[str, ...]
    graph: Graph

    def __repr__(self) -> str:
        return f"<cell {self.name}({', '.join(self.states)})>"

    def equations(self, x: Any, R: Any, p: Any, states: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The output and the new states, computed with any values that have `apply`, such as numbers or symbols.

        `x.name`, `R.name(v)` and `p.name` are read and called as in the declaration.
        """
        leaves = {"input": lambda name: getattr(x, name), "vector": lambda name: getattr(p, name), "state": states.get}

        def apply(node: Node, operands: list[Any]) -> Any:
            if node.op in leaves:
                return leaves[node.op](node.name)
            if node.op == "map":
                return getattr(R, node.name)(operands[0])
            if node.op == "constant":
                return node.value
            return next(v for v in operands if isinstance(v, Expression)).apply(node.op, *operands)

        results = self.graph.evaluate(apply)
        return results.pop(OUTPUT), results

    @cached_property
    def output_state(self) -> str | None:
        """The state that is the output too, or None where the output is no state."""
        output = self.graph.result(OUTPUT)
        return next((name for name in self.states if self.graph.result(name) == output), None)

    @cached_property
    def width_classes(self) -> tuple[frozenset[str], ...]:
        """The sets of names that share one width: states, `x.name`, `p.name`, `R.name` (what a map gives) and `name.R`
        (what a map reads)."""
        return _unify(self)

    @property
    def numbers(self) -> frozenset[str]:
        """The new states, the output and the arguments of maps that are one number for any widths, by the names of
        `width_classes`."""
        return frozenset(_ones(self))

    def widths(self, hidden: int | Mapping[str, int]) -> dict[str, int]:
        """The width of each name of `width_classes`, from one number or from `{name: width}` where they differ.

        Raises NetworkError where a width is given twice, is not given, or is below 1.
        """
        return _widths(self, hidden)

    def parameter_shapes(self, inputs: int, hidden: int | Mapping[str, int]) -> dict[str, dict[str, Shape]]:
        """The shapes of the named maps: `W` (out, inputs), `b` (out), `U` (out, in), `p` (width).

        They are in the order of the equations, for readers only. Raises NetworkError as `widths` does.
        """
        widths = self.widths(hidden)
        return {
            "W": {name: Shape((widths[f"x.{name}"], inputs)) for name in self._written("input")},
            "b": {name: Shape((widths[f"x.{name}"],)) for name in self._written("input")},
            "U": {name: Shape((widths[f"R.{name}"], widths[f"{name}.R"])) for name in self._written("map")},
            "p": {name: Shape((widths[f"p.{name}"],)) for name in self._written("vector")},
        }

    def output_width(self, hidden: int | Mapping[str, int]) -> int:
        """The width of the output; raises NetworkError as `widths` does."""
        return self.widths(hidden)[OUTPUT]

    def _written(self, op: str) -> dict[str, None]:
        return dict.fromkeys(node.name for node in self.graph.nodes if node.op == op)

    def latex(self) -> str:
        """The equations as a LaTeX `aligned` environment."""
        return printing.latex(self.graph, self.states)

    def __str__(self) -> str:
        head = f"{self.name}({', '.join(self.states)})"
        return "\n".join([head, *(f"  {line}" for line in printing.unicode(self.graph, self.states))])


class _Maps:
    """`x`, `R` or `p` while a cell is traced: each attribute is a map or a vector."""

    def __init__(self, label: str, make: Callable[[str], Any]) -> None:
        self._label, self._make = label, make

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        if name.startswith("_"):
            refuse(f"{self._label}.{name}", repr(name), "the name of a map must not begin with an underscore",
                   f"write {self._label}.{name.lstrip('_') or 'name'}")  # fmt: skip
        return self._make(name)

    def __repr__(self) -> str:
        return self._label


@dataclass(frozen=True)
class _Recurrent:
    """`R.name` while a cell is traced."""

    name: str
    builder: GraphBuilder = field(repr=False)

    def __call__(self, *vectors: Any) -> Vector:
        if len(vectors) != 1:
            refuse(f"R.{self.name}(...)", f"{len(vectors)} arguments", "a recurrent map must be given one vector",
                   "write a map for each vector, as in R.a(u) + R.b(v)")  # fmt: skip
        return self.builder.vector("map", self.name, *vectors)

    def __repr__(self) -> str:
        return f"R.{self.name}"


def cell(equations: Callable[..., Any]) -> Cell:
    """The cell that a function of equations declares.

    Raises EquationError, which says what can be written, where the function uses anything but the primitives, has an
    argument that is no state (one with a default, `*states`, or keyword-only), returns no vector for a state, or uses
    the number NaN.
    """
    name = getattr(equations, "__name__", type(equations).__name__)
    with reading(f"@cell {name}"):
        signature = inspect.signature(equations)
    arguments = _arguments(name, signature)
    states = tuple(argument for argument in arguments if argument not in PARAMETERS)
    builder = GraphBuilder()
    makers = {
        "x": _Maps("x", lambda name: builder.vector("input", name)),
        "R": _Maps("R", lambda name: _Recurrent(name, builder)),
        "p": _Maps("p", lambda name: builder.vector("vector", name)),
    }
    values = [makers[a] if a in makers else builder.vector("state", a) for a in arguments]
    with reading(f"@cell {name}"):
        returned = equations(*values)
    graph = builder.graph(_results(name, states, builder, returned))
    if any(isnan(node.value) for _, node in iterate(graph.nodes, "constant")):
        raise EquationError(f"@cell {name}", "a number in the equations must not be NaN", "NaN", "write another number")
    return Cell(name, states, graph)


def _arguments(name: str, signature: inspect.Signature) -> tuple[str, ...]:
    """The names of the arguments, each a state or one of x, R and p."""
    for argument in signature.parameters.values():
        if argument.kind not in (argument.POSITIONAL_ONLY, argument.POSITIONAL_OR_KEYWORD):
            raise EquationError(f"@cell {name}", "every state must be a positional argument with a name",
                                f"{argument}", "write each state out: def cell(x, R, h, c)")  # fmt: skip
        if argument.default is not argument.empty:
            raise EquationError(
                f"@cell {name}",
                "an argument must be x, R, p or a state, none of which has a default",
                f"{argument}",
                f"write the number in the equations, or learn it as p.{argument.name}",
            )
    return tuple(signature.parameters)


def _results(name: str, states: tuple[str, ...], builder: GraphBuilder, returned: Any) -> dict[str, int]:
    if not states:
        raise EquationError(
            f"@cell {name}", "a recurrent cell must have a state", "no argument but x, R, p", "add one, such as h"
        )
    parts = returned if isinstance(returned, tuple) else (returned,)
    marked = bool(parts) and isinstance(parts[0], Out)
    new_states = parts[1:] if marked else parts
    output = parts[0].value if marked else (parts[0] if parts else None)
    if marked and not isinstance(output, Vector):
        raise EquationError(f"@cell {name}", "the output must be a vector", f"out({shown(output)})",
                            "give out(...) a vector, as in out(R.y(h))")  # fmt: skip
    evidence = ", ".join("a vector" if isinstance(part, Vector) else shown(part) for part in parts)
    if len(new_states) != len(states) or not all(isinstance(v, Vector) for v in (*new_states, output)):
        raise EquationError(
            f"@cell {name}",
            f"it must return one vector for each of its states {states}, after out(y) where the output is no state",
            f"({evidence})",
            "return the new states in the order of the arguments",
        )
    return {OUTPUT: builder.index(output)} | {s: builder.index(v) for s, v in zip(states, new_states, strict=True)}


def _unify(cell: Cell) -> tuple[frozenset[str], ...]:
    parent: dict[str, str] = {}

    def find(label: str) -> str:
        while parent.setdefault(label, label) != label:
            label = parent[label]
        return label

    for one, other in _equal_widths(cell):
        parent[find(one)] = find(other)
    classes: dict[str, set[str]] = {}
    for label in parent:
        classes.setdefault(find(label), set()).add(label)
    public = (frozenset(label for label in members if not label.startswith("#")) for members in classes.values())
    return tuple(sorted((members for members in public if members), key=sorted))


def _equal_widths(cell: Cell) -> Iterator[tuple[str, str]]:
    """Pairs of names that share a width; a name without a partner is paired with itself."""
    nodes = cell.graph.nodes
    labels = [_width_label(index, node) for index, node in enumerate(nodes)]
    wide = [not is_scalar(nodes, index) for index in range(len(nodes))]
    yield from ((state, state) for state in cell.states)
    yield from ((labels[index], name) for name, index in cell.graph.results if wide[index])
    for index, node in enumerate(nodes):
        if wide[index]:
            yield labels[index], labels[index]
        if node.op == "map":
            into = f"{node.name}.R"
            yield (labels[node.args[0]] if wide[node.args[0]] else into), into
        if node.op in PRIMITIVES and wide[index]:
            yield from ((labels[arg], labels[index]) for arg in node.args if wide[arg])


def _width_label(index: int, node: Node) -> str:
    prefix = {"input": "x.", "vector": "p.", "map": "R.", "state": ""}.get(node.op)
    return f"#{index}" if prefix is None else prefix + node.name


def _widths(cell: Cell, hidden: int | Mapping[str, int]) -> dict[str, int]:
    call, classes = f"Layer({cell.name}, hidden=...)", cell.width_classes
    ones = _ones(cell)
    given = {s: hidden for s in cell.states if s not in ones} if isinstance(hidden, int) else dict(hidden)
    known = set().union(*classes)
    for name, width in given.items():
        if name not in known or isinstance(width, bool) or not isinstance(width, int) or width < 1:
            fixable = ", ".join(sorted(known - {OUTPUT}))
            raise NetworkError(call, "hidden must give names of the cell whole numbers of at least 1",
                               f"{shown(name)}: {shown(width)}", f"give the width of one of {fixable}")  # fmt: skip
    widths = {OUTPUT: 1} if OUTPUT in ones else {}
    for members in classes:
        fixed = [(name, given[name]) for name in sorted(members) if name in given]
        fixed += [(name, 1) for name in sorted(members & ones)]
        whose = ", ".join(sorted(members - {OUTPUT})) or "the output"
        if len({width for _, width in fixed}) > 1:
            got = ", ".join(f"{name}={width}" for name, width in fixed)
            raise NetworkError(call, f"{whose} must have one width", got,
                               "give them the same number; what is made of total(...) only is one number")  # fmt: skip
        if not fixed:
            raise NetworkError(call, f"hidden must give the width of {whose}", f"hidden={shown(hidden)}",
                               f"give hidden={{..., {min(members - {OUTPUT} or members)!r}: width}}")  # fmt: skip
        widths |= dict.fromkeys(members, fixed[0][1])
    return widths


def _ones(cell: Cell) -> set[str]:
    nodes = cell.graph.nodes
    results = {name for name, index in cell.graph.results if is_scalar(nodes, index)}
    return results | {f"{node.name}.R" for _, node in iterate(nodes, "map") if is_scalar(nodes, node.args[0])}
