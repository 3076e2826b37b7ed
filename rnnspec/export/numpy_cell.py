"""The function of a cell in an exported Python file: one line for each named value of its equations.

Values are (batch, width), with heads (batch, heads, width); a number is (batch, 1), and a matrix has one axis more.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from dataclasses import dataclass, field

from rnnspec.export.equations import Equations
from rnnspec.export.notation import ATOM, PRODUCT, SIGNS, SUM, enclosed
from rnnspec.running.given import place
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import LEAVES, MAPS, Node
from rnnspec.tracing.ranks import MATRIX, VECTOR
from rnnspec.tracing.widths import INPUT

__all__ = ["HELPERS", "NumpyCell", "identifier"]

FUNCTIONS = {name: f"np.{name}" for name in ("tanh", "exp", "log", "sqrt", "cos", "sin", "maximum", "minimum",
                                             "remainder", "where")}  # fmt: skip
"""The primitives that NumPy has as functions; the others are helpers of the file."""
OWN = {"x", "own", "W", "b", "U", "p", "np", "math", "base64", "DTYPE"}
"""The names that the function of a cell reads, which no value may have."""

HELPERS = {
    "sigmoid": '''
def sigmoid(a):
    """1 / (1 + exp(-a)), without overflow."""
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, e) / (1 + e)
''',
    "relu": '''
def relu(a):
    """a where it is positive, else 0."""
    return np.maximum(a, 0)
''',
    "softplus": '''
def softplus(a):
    """log(1 + exp(a)), without overflow."""
    return np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a)))
''',
    "erf": '''
def erf(a):
    """The error function, number by number."""
    return np.vectorize(math.erf, otypes=[a.dtype])(a)
''',
    "total": '''
def total(a):
    """The sum over features."""
    return np.sum(a, axis=-1, keepdims=True)
''',
    "total_of_matrix": '''
def total_of_matrix(S):
    """The sum over all entries of a matrix."""
    return np.sum(S, axis=(-2, -1))[..., None]
''',
    "logsumexp": '''
def logsumexp(a):
    """log of the sum over features of exp(a), without overflow."""
    largest = np.max(a, axis=-1, keepdims=True)
    shift = np.where(np.isfinite(largest), largest, 0)
    return shift + np.log(np.sum(np.exp(a - shift), axis=-1, keepdims=True))
''',
    "outer": '''
def outer(a, b):
    """The matrix of all products a_i b_j."""
    return a[..., :, None] * b[..., None, :]
''',
    "times": '''
def times(S, b):
    """S b: the sums of S_ij b_j over j."""
    return np.sum(S * b[..., None, :], axis=-1)
''',
    "left_times": '''
def left_times(a, S):
    """S' a: the sums of a_i S_ij over i."""
    return np.sum(a[..., :, None] * S, axis=-2)
''',
    "number_of": '''
def number_of(value):
    """A number as a vector of one feature."""
    return np.full(1, value, DTYPE)
''',
    "by_head": '''
def by_head(v, U):
    """U v, where each head has a map of its own: v is (batch, heads, in), U (heads, out, in)."""
    return np.einsum("...hi,hoi->...ho", v, U)
''',
    "by_head_turned": '''
def by_head_turned(v, U):
    """U' v, where each head has a map of its own: v is (batch, heads, out), U (heads, out, in)."""
    return np.einsum("...ho,hoi->...hi", v, U)
''',
    "apart": '''
def apart(a, heads):
    """What stands side by side, (..., heads * width), as (..., heads, width)."""
    return a.reshape(*a.shape[:-1], heads, a.shape[-1] // heads)
''',
}
"""The functions that an exported file has where its equations call them."""


def identifier(name: str, taken: set[str]) -> str:
    """The name, or one like it that is no word of Python and not taken."""
    while name in taken or keyword.iskeyword(name):
        name += "_"
    return name


@dataclass
class NumpyCell:
    """Writes the function of a cell; `helpers` are the functions that it calls."""

    own: Equations
    helpers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        taken = {*OWN, *HELPERS}
        self.states = {state: identifier(state, taken) for state in self.cell.states}
        taken |= set(self.states.values())
        self.letters: dict[int, str] = {}
        for index, name in self.own.names.items():
            self.letters[index] = identifier(name, taken)
            taken.add(self.letters[index])

    @property
    def cell(self) -> Cell:
        """The cell that is written."""
        return self.own.cell

    def function(self, name: str, says: str) -> str:
        """The function: it gets `x`, the maps by kind and the states, and returns the output and the new states."""
        arguments = ", ".join(["x", "W", "b", "U", "p", *self.states.values()])
        lines = [f"{self.letters[index]} = {self.write(index)}" for index in sorted(self.letters)]
        new = "".join(f"{self._operand(self.own.result(state))}, " for state in self.cell.states)
        body = "\n".join(f"    {line}" for line in [*self._own_input(), *lines])
        return (f'def {name}({arguments}):\n    """{says}"""\n{body}\n'
                f"    return {self._operand(self.own.result(OUTPUT))}, ({new.rstrip()})\n")  # fmt: skip

    def _own_input(self) -> list[str]:
        """Where each head sees features of its own."""
        if not self.cell.reads_input or self.cell.heads is None or self.cell.given is not None:
            return []
        return [f"own = {self._helper('apart')}(x, {self.cell.beside('x')})"]

    def write(self, index: int, at_least: int = SUM) -> str:
        """The expression of a node, written out even where it has a name."""
        text, binding = self._expression(self.own.nodes[index])
        return enclosed(text, binding, at_least)

    def _operand(self, index: int, at_least: int = SUM) -> str:
        return self.letters[index] if index in self.letters else self.write(index, at_least)

    def _wide(self, node: Node, arg: int, rank: int, at_least: int) -> str:
        """An operand of a primitive entry by entry; beside a matrix a number has one axis more."""
        is_number = not self.own.sizes[arg] and self.own.nodes[arg].op != "constant"
        if rank == MATRIX and is_number:
            return f"{self._operand(arg, ATOM)}[..., None]"
        return self._operand(arg, at_least)

    def _array(self, index: int) -> str:
        """An operand that must have axes."""
        if self.own.nodes[index].op == "constant":
            return f"{self._helper('number_of')}({self._operand(index)})"
        return self._operand(index)

    def _helper(self, name: str) -> str:
        self.helpers.add(name)
        return name

    def _expression(self, node: Node) -> tuple[str, int]:
        """The text of an operation with its precedence."""
        if node.op in LEAVES:
            return _LEAVES[node.op](self, node)
        if node.op in MAPS:
            return self._mapped(node)
        if node.op in _SPECIAL:
            return _SPECIAL[node.op](self, node), ATOM
        rank = max(len(self.own.sizes[arg]) for arg in node.args)
        if node.op in SIGNS:
            sign, binding, least = SIGNS[node.op]
            first, second = (self._wide(node, arg, rank, at_least)
                             for arg, at_least in zip(node.args, (binding, least), strict=True))  # fmt: skip
            return f"{first} {sign} {second}", binding
        if node.op == "negate":
            return f"-{self._operand(node.args[0], PRODUCT)}", SUM
        called = FUNCTIONS.get(node.op) or self._helper(node.op)
        return f"{called}({', '.join(self._wide(node, arg, rank, SUM) for arg in node.args)})", ATOM

    def _attribute(self, kind: str, name: str) -> str:
        return f'getattr({kind}, "{name}")' if keyword.iskeyword(name) else f"{kind}.{name}"

    def _x(self, node: Node) -> tuple[str, int]:
        if self.cell.given is not None:
            return self._given(INPUT, INPUT), ATOM
        return ("own" if self.cell.heads else "x"), ATOM

    def _given(self, name: str, label: str) -> str:
        """The features of what no map makes."""
        where = place(self.cell, name)
        text = f"x[..., {where.start}:{where.stop}]"
        return text if self.cell.heads is None else f"{self._helper('apart')}({text}, {self.cell.beside(label)})"

    def _input(self, node: Node) -> tuple[str, int]:
        """`x.name`: a map of the input and a bias, with heads apart."""
        if self.cell.given is not None:
            return self._given(node.name, f"x.{node.name}"), ATOM
        text = f"x @ {self._attribute('W', node.name)}.T + {self._attribute('b', node.name)}"
        if self.cell.heads is None:
            return text, SUM
        return f"{self._helper('apart')}({text}, {self.cell.beside(f'x.{node.name}')})", ATOM

    def _vector(self, node: Node) -> tuple[str, int]:
        text = self._attribute("p", node.name)
        if self.cell.heads is None or self.cell.ranks[f"p.{node.name}"] > VECTOR:
            return text, ATOM
        return f"{self._helper('apart')}({text}, {self.cell.beside(f'p.{node.name}')})", ATOM

    def _constant(self, node: Node) -> tuple[str, int]:
        value = float(node.value)
        text = f"{int(value)}" if value.is_integer() and abs(value) < 2**31 else repr(value)
        text = text if abs(value) < float("inf") else ("np.inf" if value > 0 else "-np.inf")
        return text, SUM if value < 0 else ATOM

    def _state(self, node: Node) -> tuple[str, int]:
        return self.states[node.name], ATOM

    def _mapped(self, node: Node) -> tuple[str, int]:
        """`R.name(v)` or `R.name.T(v)`."""
        v, U = node.args[0], self._attribute("U", node.name)
        if self.cell.heads is not None and f"R.{node.name}" not in self.cell.shared:
            helper = self._helper("by_head" if node.op == "map" else "by_head_turned")
            return f"{helper}({self._array(v)}, {U})", ATOM
        operand = self._array(v) if self.own.nodes[v].op == "constant" else self._operand(v, ATOM)
        return f"{operand} @ {U}{'.T' if node.op == 'map' else ''}", PRODUCT

    def number(self, node: Node) -> str:
        """A vector of one feature, which fits vectors of any width."""
        return self._operand(node.args[0], ATOM)

    def total(self, node: Node) -> str:
        """A sum over features, or over all entries of a matrix."""
        rank = len(self.own.sizes[node.args[0]])
        return f"{self._helper('total_of_matrix' if rank == MATRIX else 'total')}({self._array(node.args[0])})"

    def logsumexp(self, node: Node) -> str:
        """The logarithm of a sum over features."""
        return f"{self._helper('logsumexp')}({self._array(node.args[0])})"

    def outer(self, node: Node) -> str:
        """A column times a row."""
        column, row = node.args
        if self.own.nodes[row].op == "constant" and self.own.nodes[row].value == 1:
            return f"{self._operand(column, ATOM)}[..., :, None]"
        return f"{self._helper('outer')}({self._array(column)}, {self._array(row)})"

    def matmul(self, node: Node) -> str:
        """A matrix times a vector, on either side."""
        is_left = len(self.own.sizes[node.args[0]]) == MATRIX
        helper = self._helper("times" if is_left else "left_times")
        return f"{helper}({', '.join(map(self._array, node.args))})"


_LEAVES: dict[str, Callable[[NumpyCell, Node], tuple[str, int]]] = {
    "x": NumpyCell._x, "input": NumpyCell._input, "vector": NumpyCell._vector, "state": NumpyCell._state,
    "constant": NumpyCell._constant,
}  # fmt: skip
_SPECIAL: dict[str, Callable[[NumpyCell, Node], str]] = {
    "number": NumpyCell.number, "total": NumpyCell.total, "logsumexp": NumpyCell.logsumexp, "outer": NumpyCell.outer,
    "matmul": NumpyCell.matmul,
}  # fmt: skip
