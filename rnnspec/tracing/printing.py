"""The equations of a cell, printed from its graph: Unicode for the terminal, LaTeX for the page.

A value that is used more than once gets a letter, that of its gate where it has one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rnnspec.tracing.graph import LEAVES, MAPS, Graph, Node, iterate
from rnnspec.tracing.ranks import MATRIX, ranks

__all__ = ["latex", "map_under", "unicode"]

SUM, PRODUCT, ATOM = 1, 2, 3
"""The precedence of an expression; one below that of its place gets parentheses."""


@dataclass(frozen=True)
class Notation:
    """The notation of a medium: leaves, maps, functions, operators and equations."""

    leaf: Callable[[Node], str]
    matrix: Callable[[str, str], str]
    transposed: Callable[[str, str], str]
    turned: str
    function: Callable[[str, list[str]], str]
    multiply: str
    divide: Callable[[str, str], str]
    letter: Callable[[str], str]
    equation: str
    prime: str
    at_least: str


def unicode(graph: Graph, states: Sequence[str]) -> list[str]:
    """The equations as plain lines."""
    return _lines(graph, states, _UNICODE)


def latex(graph: Graph, states: Sequence[str]) -> str:
    """The equations as a LaTeX `aligned` environment."""
    return "\\begin{aligned}\n" + " \\\\\n".join(_lines(graph, states, _LATEX)) + "\n\\end{aligned}"


def _lines(graph: Graph, states: Sequence[str], notation: Notation) -> list[str]:
    writer = _Writer(graph, states, notation)
    return [notation.equation.format(left, writer.write(index)) for index, left in writer.order]


class _Writer:
    """Writes each node: one with a letter as that letter, any other in place."""

    def __init__(self, graph: Graph, states: Sequence[str], notation: Notation) -> None:
        self.nodes, self.notation, self.ranks = graph.nodes, notation, ranks(graph)
        self.means = _means(graph)
        self.letters = _letters(graph, states, notation)
        names: dict[int, list[str]] = {}
        for name, index in graph.results:
            names.setdefault(index, []).append(notation.letter(name) + notation.prime if name else "y")
        lettered = sorted(self.letters.keys() | names.keys())
        self.order = [(i, " = ".join(_left(names[i]) if i in names else [self.letters[i]])) for i in lettered]
        written = ((i, left.split(" = ")[0]) for i, left in self.order if i in names)
        self.letters |= {i: letter for i, letter in written if self.nodes[i].op not in LEAVES}

    def write(self, index: int, at_least: int = SUM) -> str:
        """The expression of a node, written out even where the node has a letter."""
        text, binding = self._mean(index) if index in self.means else self._expression(self.nodes[index])
        return text if binding >= at_least else f"({text})"

    def _operand(self, index: int, at_least: int = SUM) -> str:
        return self.letters[index] if index in self.letters else self.write(index, at_least)

    def _mean(self, index: int) -> tuple[str, int]:
        return self.notation.function("mean", [self._operand(self.means[index])]), ATOM

    def _itself(self, index: int) -> tuple[str, int]:
        """The text of a node with its precedence."""
        return (self.letters[index], ATOM) if index in self.letters else self._expression(self.nodes[index])

    def _expression(self, node: Node) -> tuple[str, int]:
        """The text of an operation with its precedence."""
        if node.op in LEAVES:
            return self.notation.leaf(node), SUM if node.op == "input" else ATOM
        if node.op in _SIGNS:
            return self._between(node)
        if node.op in _PRODUCTS:
            return _PRODUCTS[node.op](self, node), SUM if node.op == "negate" else PRODUCT
        if node.op == "number":
            return self._itself(node.args[0])
        return self.notation.function(node.op, [self._operand(arg) for arg in node.args]), ATOM

    def _between(self, node: Node) -> tuple[str, int]:
        """A sum, a difference or a comparison."""
        sign, least = _SIGNS[node.op]
        sign = self.notation.at_least if node.op == "greater_equal" else sign
        return f"{self._operand(node.args[0])} {sign} {self._operand(node.args[1], least)}", SUM

    def negative(self, node: Node) -> str:
        """A product with the sign before it."""
        return f"-{self._operand(node.args[0], PRODUCT)}"

    def multiplied(self, node: Node) -> str:
        """A product entry by entry."""
        return f" {self.notation.multiply} ".join(self._operand(arg, PRODUCT) for arg in node.args)

    def divided(self, node: Node) -> str:
        """A quotient entry by entry."""
        return self.notation.divide(self._operand(node.args[0], PRODUCT), self._operand(node.args[1], ATOM))

    def mapped(self, node: Node) -> str:
        """A product with a recurrent map."""
        way = self.notation.matrix if node.op == "map" else self.notation.transposed
        return way(node.name, self._operand(node.args[0], ATOM))

    def outer(self, node: Node) -> str:
        """A column times a row."""
        column, row = (self._operand(arg, ATOM) for arg in node.args)
        return f"{column} {row}{self.notation.turned}"

    def matrix_product(self, node: Node) -> str:
        """A matrix times a vector; that of a vector times a matrix is written with the matrix turned around."""
        left, right = (self._operand(arg, ATOM) for arg in node.args)
        is_left = self.ranks[node.args[0]] == MATRIX
        return f"{left} {right}" if is_left else f"{right}{self.notation.turned} {left}"


_SIGNS = {"add": ("+", SUM), "subtract": ("-", PRODUCT), "greater": (">", SUM), "greater_equal": (">=", SUM)}
"""The sign of an operation between two terms, and the least precedence of the second."""
_PRODUCTS: dict[str, Callable[[_Writer, Node], str]] = {
    "negate": _Writer.negative,
    "multiply": _Writer.multiplied,
    "divide": _Writer.divided,
    "map": _Writer.mapped,
    "transposed": _Writer.mapped,
    "outer": _Writer.outer,
    "matmul": _Writer.matrix_product,
}


def _left(names: list[str]) -> list[str]:
    """The names on the left of an equation: a state that is the output too has the state's name."""
    return [name for name in names if name != "y"] or names


def _letters(graph: Graph, states: Sequence[str], notation: Notation) -> dict[int, str]:
    nodes = graph.nodes
    means = _means(graph)
    whole = {arg for index in means for arg in nodes[index].args}
    read = ((means[index],) if index in means else node.args for index, node in enumerate(nodes) if index not in whole)
    uses = Counter(arg for args in read for arg in args)
    results = {index for _, index in graph.results}
    taken = set(states) | {"x", "y"} | {node.name for node in nodes if node.op == "constant"}
    letters: dict[int, str] = {}
    for index, node in enumerate(nodes):
        shared = uses[index] > 1 and not _is_letter(nodes, node)
        is_gate = node.op in ("sigmoid", "tanh") and map_under(graph, index)
        if uses[index] and index not in results and (shared or is_gate):
            wanted = map_under(graph, index) or "u"
            candidates = (wanted, *(f"{wanted}{suffix}" for suffix in range(2, len(nodes) + 2)))
            letter = next(letter for letter in candidates if letter not in taken)
            taken.add(letter)
            letters[index] = notation.letter(letter)
    return letters


def _is_letter(nodes: Sequence[Node], node: Node) -> bool:
    """Whether a node is a leaf, or a state or vector taken as a number, which is written as that is."""
    return node.op in LEAVES or (node.op == "number" and nodes[node.args[0]].op in ("state", "vector"))


def _means(graph: Graph) -> dict[int, int]:
    """The quotients of a total by the width of what it sums, neither of which another node reads; and what it sums."""
    nodes = graph.nodes
    uses = Counter(arg for node in nodes for arg in node.args) + Counter(index for _, index in graph.results)
    found = {}
    for index, node in iterate(nodes, "divide"):
        over, under = (nodes[arg] for arg in node.args)
        is_mean = (over.op, under.op) == ("total", "width") and over.args == under.args
        if is_mean and all(uses[arg] == 1 for arg in node.args):
            found[index] = over.args[0]
    return found


def map_under(graph: Graph, index: int) -> str:
    """The gate's name: that of the maps in a function's argument, where they share one name."""
    nodes, left, found = graph.nodes, list(graph.nodes[index].args), set()
    while left:
        node = nodes[left.pop()]
        if node.op in ("input", *MAPS):
            found.add(node.name)
        elif node.op in ("add", "subtract"):
            left.extend(node.args)
    return found.pop() if len(found) == 1 else ""


def _number(value: float) -> str:
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


_FUNCTIONS = {"sigmoid": "σ", "total": "Σ"}
_LATEX_FUNCTIONS = {"tanh": r"\tanh", "exp": r"\exp", "log": r"\log", "maximum": r"\max", "minimum": r"\min",
                    "cos": r"\cos", "sin": r"\sin",
                    "sigmoid": r"\sigma", "total": r"\textstyle\sum"}  # fmt: skip


def _unicode_leaf(node: Node) -> str:
    return {"x": "x", "input": f"W_{node.name} x + b_{node.name}", "vector": f"p_{node.name}", "state": node.name,
            "constant": node.name or _number(node.value or 0.0)}[node.op]  # fmt: skip


def _latex_leaf(node: Node) -> str:
    name = _latex_name(node.name)
    return {
        "x": "x_t",
        "input": f"W_{{{name}}} x_t + b_{{{name}}}",
        "vector": f"p_{{{name}}}",
        "state": f"{name}_{{t-1}}",
        "constant": name if node.name else _number(node.value or 0.0),
    }[node.op]


def _latex_name(name: str) -> str:
    return name if len(name) == 1 else r"\mathrm{" + name.replace("_", r"\_") + "}"


def _latex_function(op: str, args: list[str]) -> str:
    if op == "where":
        return rf"\begin{{cases}} {args[1]} & {args[0]} \\ {args[2]} & \text{{else}} \end{{cases}}"
    if op == "sqrt":
        return rf"\sqrt{{{args[0]}}}"
    head = _LATEX_FUNCTIONS.get(op, rf"\operatorname{{{op.replace('_', '')}}}")
    return rf"{head}\left({', '.join(args)}\right)"


_UNICODE = Notation(
    leaf=_unicode_leaf,
    matrix=lambda name, v: f"U_{name} {v}",
    transposed=lambda name, v: f"U_{name}ᵀ {v}",
    turned="ᵀ",
    function=lambda op, args: f"{_FUNCTIONS.get(op, op)}({', '.join(args)})",
    multiply="⊙",
    divide=lambda a, b: f"{a} / {b}",
    letter=lambda name: name,
    equation="{} = {}",
    prime="'",
    at_least="≥",
)
_LATEX = Notation(
    leaf=_latex_leaf,
    matrix=lambda name, v: f"U_{{{_latex_name(name)}}} {v}",
    transposed=lambda name, v: rf"U_{{{_latex_name(name)}}}^\top {v}",
    turned=r"^\top",
    function=_latex_function,
    multiply=r"\odot",
    divide=lambda a, b: rf"\frac{{{a}}}{{{b}}}",
    letter=_latex_name,
    equation="{} &= {}",
    prime="_t",
    at_least=r"\ge",
)
