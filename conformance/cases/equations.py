"""A cell's equations as Python source that a person would write: a value that is used twice has a letter."""

from __future__ import annotations

from collections import Counter
from itertools import islice

from rnnspec.primitives import PRIMITIVES
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import LEAVES, MAPS, Node

__all__ = ["are_same", "read", "written"]

SUM, PRODUCT, SIGN, ATOM = 1, 2, 3, 4
"""The precedence of an expression; one below that of its place gets parentheses."""
INFIX = {
    "add": ("+", SUM, SUM, PRODUCT),
    "subtract": ("-", SUM, SUM, PRODUCT),
    "multiply": ("*", PRODUCT, PRODUCT, SIGN),
    "divide": ("/", PRODUCT, PRODUCT, SIGN),
    "matmul": ("@", PRODUCT, PRODUCT, SIGN),
    "greater": (">", SUM, SUM, SUM),
    "greater_equal": (">=", SUM, SUM, SUM),
}
"""The sign of an operation, its precedence, and the least precedences of its left and right operands."""
LETTERS = ("u", "v", "w", "n", "z", "r", "s", "q")


def written(given: Cell) -> str:
    """The declaration of a cell; `read` returns a cell with the same equations from it."""
    writer = _Writer(given)
    returned = [writer.letter(given.graph.result(state)) for state in given.states]
    if not given.states:
        returned.append(writer.letter(given.graph.result(OUTPUT)))
    elif given.output_state != given.states[0]:
        returned.insert(0, f"out({writer.letter(given.graph.result(OUTPUT))})")
    lines = [*writer.lines(), f"return {', '.join(returned)}"]
    body = "\n".join(f"    {line}" for line in lines)
    return f"@cell\ndef {given.name}({', '.join(['x', 'R', 'p', *given.states])}):\n{body}\n"


def read(source: str) -> Cell:
    """The cell of a declaration that `written` returned."""
    names: dict[str, object] = {}
    exec(f"from rnnspec.tracing.cell import cell, out\nfrom rnnspec.primitives import *\n{source}", names)
    return next(value for value in names.values() if isinstance(value, Cell))


def are_same(one: Cell, other: Cell) -> bool:
    """Whether two cells have the same states and equations, for any order of nodes."""
    known: dict[tuple[object, ...], int] = {}

    def numbered(given: Cell) -> dict[str, int]:
        places: list[int] = []
        for node in given.graph.nodes:
            key = node.op, node.name, node.value, *(places[arg] for arg in node.args)
            places.append(known.setdefault(key, len(known)))
        return {name: places[index] for name, index in given.graph.results}

    return one.states == other.states and numbered(one) == numbered(other)


class _Writer:
    """Writes each node: one that is used twice as its letter, any other in place."""

    def __init__(self, given: Cell) -> None:
        self.nodes = given.graph.nodes
        uses = Counter(arg for node in self.nodes for arg in node.args)
        results = [given.graph.result(state) for state in given.states]
        if given.output_state is None or given.output_state != given.states[0]:
            results.append(given.graph.result(OUTPUT))
        uses.update(results)
        twice = [i for i, node in enumerate(self.nodes) if uses[i] > 1 and node.op not in LEAVES]
        self.letters = dict(zip(twice, _free({*given.states, given.name, *"xRp"}, len(twice)), strict=True))

    def lines(self) -> list[str]:
        return [f"{letter} = {self._expression(index)[0]}" for index, letter in self.letters.items()]

    def letter(self, index: int, at_least: int = SUM) -> str:
        """The text of a node in an expression."""
        if index in self.letters:
            return self.letters[index]
        text, binding = self._expression(index)
        return text if binding >= at_least else f"({text})"

    def _expression(self, index: int) -> tuple[str, int]:
        node = self.nodes[index]
        if node.op in INFIX:
            sign, binding, left, right = INFIX[node.op]
            return f"{self.letter(node.args[0], left)} {sign} {self.letter(node.args[1], right)}", binding
        if node.op == "negate":
            return f"-{self.letter(node.args[0], SIGN)}", SIGN
        if node.op in PRIMITIVES or node.op in MAPS:
            function = {"map": f"R.{node.name}", "transposed": f"R.{node.name}.T"}.get(node.op, node.op)
            return f"{function}({', '.join(map(self.letter, node.args))})", ATOM
        return _leaf(node), ATOM if node.op != "constant" or node.value >= 0 else SUM


def _leaf(node: Node) -> str:
    match node.op:
        case "x":
            return "x"
        case "input":
            return f"x.{node.name}"
        case "vector":
            return f"p.{node.name}"
        case "constant":
            return repr(int(node.value)) if node.value == int(node.value) else repr(node.value)
        case _:
            return node.name


def _free(taken: set[str], count: int) -> list[str]:
    """Letters that are not taken."""
    numbered = (f"{letter}{number or ''}" for number in range(count + 1) for letter in LETTERS)
    return list(islice((letter for letter in numbered if letter not in taken), count))
