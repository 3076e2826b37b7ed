"""A cell: one function of equations, traced once into a graph.

The arguments named `x`, `R` and `p` are the input and the parameters: `x.i` is `W_i x + b_i` and `x` is the input
itself, `R.i(v)` is `U_i v` and never has a bias, `R.i.T(v)` is `U_i' v`, `p.i` is a learned vector. Every other
positional argument is a state. A keyword-only argument is a named constant: `*, dt=0.1`. The function returns the new
states in the order of its arguments. The first one is the output too. A cell whose output is no state returns
`out(y), state, ...`. A cell without a state, whose steps do not depend on one another, returns its output.

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite, isnan
from numbers import Real
from typing import Any

from rnnspec.errors import EquationError, NetworkError
from rnnspec.primitives import reading
from rnnspec.showing import shown
from rnnspec.tracing import calling, printing, widths
from rnnspec.tracing.folding import folded
from rnnspec.tracing.graph import MAPS, Graph, GraphBuilder, Vector, as_vector, iterate
from rnnspec.tracing.leaves import PARAMETERS, parameters
from rnnspec.tracing.ranks import MATRIX, VECTOR, ranks
from rnnspec.tracing.widths import INPUT, OUTPUT
from rnnspec.tree import Shape

__all__ = ["OUTPUT", "Cell", "Out", "cell", "out"]


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

    `graph.results` has an entry for each state, under its name, and an entry `""` for the output. `written` is the
    graph as it was written, with named constants, where it has any; `graph` has what they come to. With `heads`, which
    a layer gives, the equations hold for each head; what is `shared`, by the names of `width_classes`, is one for all.
    `given`, which a layer gives too, says that no map makes the x.name: they stand side by side in the inputs, in this
    order, each with its number of features, and `x` itself under the name "x".
    """

    name: str = field(compare=False)
    states: tuple[str, ...]
    graph: Graph
    named: Graph | None = field(default=None, compare=False, repr=False)
    heads: int | None = None
    shared: tuple[str, ...] = ()
    given: tuple[tuple[str, int], ...] | None = None

    @classmethod
    def of(cls, name: str, states: tuple[str, ...], written: Graph) -> Cell:
        """The cell of a graph with named constants, or without.

        Raises EquationError where a result is a number, or a number is NaN.
        """
        graph = folded(written)
        if any(isnan(node.value) for _, node in iterate(graph.nodes, "constant")):
            raise EquationError(f"@cell {name}", "a number in the equations must not be NaN", "NaN",
                                "write another number")  # fmt: skip
        for result, index in graph.results:
            if graph.nodes[index].op == "constant":
                what = f"the new {result}" if result else "the output"
                raise EquationError(f"@cell {name}", f"{what} must be a vector", f"{graph.nodes[index].value:g}",
                                    "write it with x, R, p or a state")  # fmt: skip
        if ranks(graph)[graph.result(OUTPUT)] == MATRIX:
            raise EquationError(f"@cell {name}", "the output must be a vector", "a matrix",
                                "return out(S @ b), S for a vector b")  # fmt: skip
        return cls(name, states, graph, None if graph is written else written)

    def __repr__(self) -> str:
        return f"<cell {self._head}{self._with_heads}>"

    def __call__(self, *arguments: Any, **constants: float) -> Any:
        """With constants, `cornn(dt=0.1)`: the cell with these values of its named constants.

        With the arguments of its declaration, within the equations of another cell, `lstm(x, R, h, c)`: what its
        equations return. `x` may be any vector v: x.i is then R.x_i(v) + p.x_i. Raises EquationError where an argument
        is missing or too many, or a constant is unknown or no finite number.
        """
        cell = self._with(constants) if constants else self
        return calling.returned(cell.name, cell.graph, cell.states, arguments) if arguments else cell

    def prefixed(self, prefix: str) -> Cell:
        """The cell with other maps of its own: `x.i` is `x.prefix_i`, and so on.

        Two calls of one cell within the equations of another share their maps unless one of them is prefixed. Raises
        EquationError where the prefix is no identifier.
        """
        return Cell.of(self.name, self.states, calling.prefixed(f"{self.name}.prefixed", self.written, prefix))

    @property
    def written(self) -> Graph:
        """The graph as it was written, with the names of constants."""
        return self.graph if self.named is None else self.named

    @property
    def constants(self) -> dict[str, float]:
        """The named constants that the equations use, and their values."""
        return {node.name: node.value for _, node in iterate(self.written.nodes, "constant") if node.name}

    def equations(self, x: Any, R: Any, p: Any, states: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The output and the new states, computed with any values that have `apply`, such as numbers or symbols.

        `x`, `x.name`, `R.name(v)`, `R.name.T(v)` and `p.name` are read and called as in the declaration.
        """
        return calling.results(self.graph, x, R, p, states)

    @cached_property
    def output_state(self) -> str | None:
        """The state that is the output too, or None where the output is no state."""
        output = self.graph.result(OUTPUT)
        return next((name for name in self.states if self.graph.result(name) == output), None)

    @cached_property
    def width_classes(self) -> tuple[frozenset[str], ...]:
        """The sets of names that share one width: states, `x`, `x.name`, `p.name`, `R.name` (what a map gives) and
        `name.R` (what a map reads)."""
        return widths.classes(self.graph, self.states)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """The names of `width_classes` that are one number for any widths."""
        return widths.numbers(self.graph, self.states)

    @cached_property
    def ranks(self) -> dict[str, int]:
        """The rank of each state and of each `p.name`: 1 for a vector, 2 for a matrix; a number is a vector of one."""
        rank = ranks(self.graph)
        found = {name: rank[index] for name, index in self.graph.results if name}
        found |= {f"p.{node.name}": rank[index] for index, node in iterate(self.graph.nodes, "vector")}
        return {name: max(rank, VECTOR) for name, rank in found.items()}

    def widths(self, hidden: int | Mapping[str, int], inputs: int | None = None) -> dict[str, int]:
        """The width of each name of `width_classes`, from one number or from `{name: width}` where they differ.

        `inputs` is the number of input features; where it is None, names that share the width of `x` alone are left
        out. With heads, widths are those of one head. Raises NetworkError where a width is given twice, is not given,
        or is below 1, or where the heads cannot share the input features.
        """
        return widths.widths(f"Layer({self.name}, hidden=...)", self.graph, self.states, hidden, self._own(inputs))

    def _own(self, inputs: int | None) -> int | None:
        """The input features that one head sees as `x`."""
        if inputs is None or not self.reads_input or self.beside(INPUT) == 1:
            return inputs
        if inputs % self.beside(INPUT):
            raise NetworkError(f"Layer({self.name}, heads={self.heads})",
                               f"the input features must be a multiple of {self.heads} heads", str(inputs),
                               "choose other heads, or write shared=('x',) to show all features to each")  # fmt: skip
        return inputs // self.beside(INPUT)

    def beside(self, name: str) -> int:
        """How many parts of something stand side by side: one for each head, or one that all share."""
        return 1 if self.heads is None or name in self.shared else self.heads

    def _apart(self, name: str) -> tuple[int, ...]:
        """The axis of heads of a map, where each head has its own."""
        return () if self.heads is None or name in self.shared else (self.heads,)

    @property
    def reads_input(self) -> bool:
        """Whether the equations use `x` itself."""
        return any(node.op == "x" for node in self.graph.nodes)

    @cached_property
    def has_matrices(self) -> bool:
        """Whether a value of the equations is a matrix, such as a state or `p.name`."""
        return MATRIX in ranks(self.graph)

    @property
    def label(self) -> str:
        """The name for messages, with the number of heads where there are any."""
        return self.name + self._with_heads

    @property
    def sharable(self) -> tuple[str, ...]:
        """What heads can share, by name: `x`, `x.name`, `R.name` and `p.name`."""
        named = {"x.": self._names("input"), "R.": self._names(*MAPS), "p.": self._names("vector")}
        found = [f"{prefix}{name}" for prefix, names in named.items() for name in names]
        return (INPUT, *found) if self.reads_input else tuple(found)

    @property
    def parameter_names(self) -> dict[str, set[str]]:
        """The names of the maps by kind: `W`, `b`, `U` and `p`."""
        inputs = set(self._names("input")) if self.given is None else set[str]()
        return {"W": inputs, "b": inputs, "U": set(self._names(*MAPS)), "p": set(self._names("vector"))}

    def parameter_shapes(self, inputs: int | None, hidden: int | Mapping[str, int]) -> dict[str, dict[str, Shape]]:
        """The shapes of the named maps: `W` (out, inputs), `b` (out), `U` (out, in), `p` (width) or (rows, columns).

        With heads, their parts of `W`, `b` and a vector `p` stand side by side, and `U` (heads, out, in) and a matrix
        `p` (heads, rows, columns) have an axis for them. The maps are in the order of the equations, for readers only.
        Where the x.name are given there is no `W` and no `b`. Raises NetworkError as `widths` does.
        """
        width, mapped = self.widths(hidden, inputs), self._names("input") if self.given is None else ()

        def out(label: str) -> int:
            return self.beside(label) * width[label]

        def learned(label: str) -> Shape:
            if self.ranks[label] == VECTOR:
                return Shape((out(label),))
            return Shape((*self._apart(label), *(width[axis] for axis in widths.axes(label, MATRIX))))

        return {
            "W": {name: Shape((out(f"x.{name}"), inputs or 0)) for name in mapped},
            "b": {name: Shape((out(f"x.{name}"),)) for name in mapped},
            "U": {name: Shape((*self._apart(f"R.{name}"), width[f"R.{name}"], width[f"{name}.R"]))
                  for name in self._names(*MAPS)},
            "p": {name: learned(f"p.{name}") for name in self._names("vector")},
        }  # fmt: skip

    def given_widths(self, hidden: int | Mapping[str, int], inputs: int | None = None) -> tuple[tuple[str, int], ...]:
        """What the equations read of an input, in the order of the names, and the features of each, of all heads.

        `inputs` are the features of `x` itself, which comes last. Raises NetworkError as `widths` does, where nothing
        shows the width of `x` itself, and where an x.x stands beside it.
        """
        width, call = self.widths(hidden, inputs), f"Layer({self.name}, mapped=False)"
        names = sorted(self._names("input"))
        if self.reads_input and INPUT in names:
            raise NetworkError(call, "no x.name may be called x where the equations read x itself", "x.x", "rename it")
        if self.reads_input and INPUT not in width:
            raise NetworkError(call, "inputs must give the features of x itself", "None", "write inputs=...")
        own = [(INPUT, self.beside(INPUT) * width[INPUT])] if self.reads_input else []
        return (*((name, self.beside(f"x.{name}") * width[f"x.{name}"]) for name in names), *own)

    def state_shapes(self, hidden: int | Mapping[str, int], inputs: int | None = None) -> dict[str, Shape]:
        """The shape of each state of one row: (width) or (rows, columns), with heads (heads, width) and so on."""
        width, heads = self.widths(hidden, inputs), () if self.heads is None else (self.heads,)
        return {s: Shape((*heads, *(width[axis] for axis in widths.axes(s, self.ranks[s])))) for s in self.states}

    def output_width(self, hidden: int | Mapping[str, int], inputs: int | None = None) -> int:
        """The width of the output, in which heads stand side by side; raises NetworkError as `widths` does."""
        return (self.heads or 1) * self.widths(hidden, inputs)[OUTPUT]

    def _names(self, *ops: str) -> dict[str, None]:
        return dict.fromkeys(node.name for node in self.graph.nodes if node.op in ops)

    def _with(self, constants: Mapping[str, Any]) -> Cell:
        call = f"{self.name}({', '.join(f'{name}={shown(value)}' for name, value in constants.items())})"
        for name, value in constants.items():
            if name not in self.constants:
                known = ", ".join(self.constants) or "none"
                raise EquationError(call, f"a constant of the cell must be given; it has {known}", name,
                                    "declare it after a star: def cell(x, R, h, *, dt=0.1)")  # fmt: skip
            if not is_constant(value):
                raise EquationError(call, f"{name} must be a finite number", shown(value), "give a number")
        nodes = (replace(n, value=float(constants[n.name])) if n.op == "constant" and n.name in constants else n
                 for n in self.written.nodes)  # fmt: skip
        found = Cell.of(self.name, self.states, Graph(tuple(nodes), self.written.results))
        return replace(found, heads=self.heads, shared=self.shared, given=self.given)

    @property
    def _head(self) -> str:
        constants = [f"{name}={value:g}" for name, value in self.constants.items()]
        return f"{self.name}({', '.join([*self.states, *constants])})"

    @property
    def _with_heads(self) -> str:
        return "" if self.heads is None else f" with {self.heads} head{'s' * (self.heads > 1)}"

    def latex(self) -> str:
        """The equations as a LaTeX `aligned` environment."""
        return printing.latex(self.written, self.states)

    def __str__(self) -> str:
        return "\n".join([self._head, *(f"  {line}" for line in printing.unicode(self.written, self.states))])


def is_constant(value: object) -> bool:
    """Whether a value can be that of a named constant: a finite number."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def cell(equations: Callable[..., Any]) -> Cell:
    """The cell that a function of equations declares.

    Raises EquationError, which says what can be written, where the function uses anything but the primitives, has an
    argument that is none (a positional one with a default, `*states`, a keyword-only one without a number), returns no
    vector for a state or for its output, or uses the number NaN.
    """
    name = getattr(equations, "__name__", type(equations).__name__)
    with reading(f"@cell {name}"):
        signature = inspect.signature(equations)
    arguments, constants = _arguments(name, signature)
    states = tuple(argument for argument in arguments if argument not in PARAMETERS)
    builder = GraphBuilder(has_matrices=True)
    given = parameters(builder)
    values = [given[a] if a in given else builder.vector("state", a) for a in arguments]
    numbers = {a: Vector(builder, builder.constant(value, a)) for a, value in constants.items()}
    with reading(f"@cell {name}"):
        returned = equations(*values, **numbers)
    return Cell.of(name, states, builder.graph(_results(name, states, builder, returned)))


def _arguments(name: str, signature: inspect.Signature) -> tuple[tuple[str, ...], dict[str, float]]:
    """The names of the positional arguments, each a state or one of x, R and p, and the named constants."""
    positional, constants = list[str](), dict[str, float]()
    for argument in signature.parameters.values():
        if argument.kind is argument.KEYWORD_ONLY:
            constants[argument.name] = _constant(name, argument)
            continue
        if argument.kind not in (argument.POSITIONAL_ONLY, argument.POSITIONAL_OR_KEYWORD):
            raise EquationError(f"@cell {name}", "every state must be a positional argument with a name",
                                f"{argument}", "write each state out: def cell(x, R, h, c)")  # fmt: skip
        if argument.default is not argument.empty:
            raise EquationError(
                f"@cell {name}",
                "a positional argument must be x, R, p or a state, none of which has a default",
                f"{argument}",
                f"declare a constant after a star, as in def cell(x, R, h, *, {argument}), "
                f"or learn it as p.{argument.name}",
            )
        positional.append(argument.name)
    return tuple(positional), constants


def _constant(name: str, argument: inspect.Parameter) -> float:
    if argument.name in PARAMETERS or not is_constant(argument.default):
        got = "no default" if argument.default is argument.empty else f"{argument}"
        raise EquationError(
            f"@cell {name}",
            f"the constant {argument.name} must have a finite number for its default, and a name other than x, R, p",
            got,
            f"write *, {argument.name}=0.5",
        )
    return float(argument.default)


def _results(name: str, states: tuple[str, ...], builder: GraphBuilder, returned: Any) -> dict[str, int]:
    parts = returned if isinstance(returned, tuple) else (returned,)
    marked = bool(parts) and isinstance(parts[0], Out)
    parts = tuple(map(as_vector, (parts[0].value, *parts[1:]) if marked else parts))
    new_states = parts[1:] if marked or not states else parts
    output = parts[0] if parts else None
    if marked and not isinstance(output, Vector):
        raise EquationError(f"@cell {name}", "the output must be a vector", f"out({shown(output)})",
                            "give out(...) a vector, as in out(R.y(h))")  # fmt: skip
    evidence = ", ".join("a vector" if isinstance(part, Vector) else shown(part) for part in parts)
    if not states and (new_states or not isinstance(output, Vector)):
        raise EquationError(f"@cell {name}", "a cell without a state must return one vector, its output",
                            f"({evidence})", "return y, or add an argument for each state, such as h")  # fmt: skip
    if len(new_states) != len(states) or not all(isinstance(v, Vector) for v in (*new_states, output)):
        raise EquationError(
            f"@cell {name}",
            f"it must return one vector for each of its states {states}, after out(y) where the output is no state",
            f"({evidence})",
            "return the new states in the order of the arguments",
        )
    return {OUTPUT: builder.index(output)} | {s: builder.index(v) for s, v in zip(states, new_states, strict=True)}
