"""The rank of each value, a number, a vector or a matrix, and the axes that have one entry for any widths.

A matrix is what `outer` makes, and whatever meets one: a state or a vector `p.name` has the rank that its use gives it.

>>> from rnnspec.tracing.graph import GraphBuilder
>>> from rnnspec.primitives import outer
>>> builder = GraphBuilder(has_matrices=True)
>>> S, k = builder.vector("state", "S"), builder.vector("input", "k")
>>> ranks(builder.graph({"S": (S + outer(k, 1)).index}))
(2, 1, 0, 2, 2)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from rnnspec.errors import EquationError
from rnnspec.primitives import PRIMITIVES
from rnnspec.tracing.graph import MAPS, Graph, Node

__all__ = ["MATRIX", "NUMBER", "NUMBERS", "VECTOR", "Narrow", "is_scalar", "narrow_one", "narrowness", "ranks",
           "ranks_of"]  # fmt: skip

NUMBER, VECTOR, MATRIX = 0, 1, 2
NUMBERS = ("constant", "scalar", "total", "width", "logsumexp", "reduce", "number")
"""The operations with one feature, for any widths."""
OF_VECTORS = ("logsumexp", "number", "outer", *MAPS)
"""The operations whose operands must be vectors or numbers."""


class Narrow(NamedTuple):
    """Whether a value is one number for any widths; of a matrix, whether it has one row, and one column."""

    number: bool
    row: bool
    column: bool


WIDE = Narrow(False, False, False)


def narrowness(nodes: Sequence[Node]) -> list[Narrow]:
    """That of every node."""
    found: list[Narrow] = []
    for node in nodes:
        found.append(narrow_one(node, found))
    return found


def narrow_one(node: Node, before: Sequence[Narrow]) -> Narrow:
    """That of a node after those that it needs."""
    if node.op in NUMBERS:
        return Narrow(True, False, False)
    if node.op not in PRIMITIVES or node.op == "spread":
        return WIDE
    operands = [before[arg] for arg in node.args]
    if node.op == "outer":
        return Narrow(False, operands[0].number, operands[1].number)
    if node.op == "matmul":
        return Narrow(operands[0].row or operands[1].column, False, False)
    others = [operand for operand in operands if not operand.number]
    return Narrow(not others, _all(o.row for o in others), _all(o.column for o in others))


def is_scalar(nodes: Sequence[Node], index: int) -> bool:
    """Whether a node has one feature for any widths: a number, a total, or a primitive of such nodes."""
    return narrowness(nodes[: index + 1])[index].number


@lru_cache(maxsize=512)
def ranks(graph: Graph) -> tuple[int, ...]:
    """The rank of every node of equations.

    Raises EquationError where a vector meets a matrix in one sum or product, or where no use tells the two apart.
    """
    ends = {("state", name): index for name, index in graph.results if name}
    return ranks_of(graph.nodes, ends)


def ranks_of(nodes: Sequence[Node], ends: Mapping[tuple[str, str], int]) -> tuple[int, ...]:
    """The rank of every node, where a leaf, by operation and name, has the rank of the node that `ends` gives it."""
    found = _known(nodes)
    pairs = [(i, ends[n.op, n.name]) for i, n in enumerate(nodes) if (n.op, n.name) in ends]
    while True:
        before = list(found)
        for index, node in enumerate(nodes):
            _meet(found, node, index)
        for leaf, end in pairs:
            _kept(found, nodes[leaf].name, leaf, end)
        if found == before:
            if None not in found:
                return tuple(rank for rank in found if rank is not None)
            found[_open(nodes, found)] = VECTOR


def _kept(found: list[int | None], name: str, leaf: int, end: int) -> None:
    """A state keeps its rank; one that becomes a number is a vector of one."""
    if found[end] is None or found[leaf] is None:
        found[leaf] = found[leaf] if found[end] is None else max(found[end] or NUMBER, VECTOR)
        found[end] = found[leaf] if found[end] is None else found[end]
    elif max(found[end] or NUMBER, VECTOR) != found[leaf]:
        _refuse(f"the state {name}", "a matrix that becomes a vector, or a vector that becomes a matrix",
                "return a matrix for a matrix")  # fmt: skip


def _known(nodes: Sequence[Node]) -> list[int | None]:
    """The ranks that the operations alone tell; None for others."""
    numbers = narrowness(nodes)
    fixed = {"x": VECTOR, "input": VECTOR, "argument": VECTOR, "outer": MATRIX, "matmul": VECTOR,
             **dict.fromkeys(MAPS, VECTOR)}  # fmt: skip
    return [NUMBER if number else fixed.get(node.op) for node, (number, *_) in zip(nodes, numbers, strict=True)]


def _open(nodes: Sequence[Node], found: Sequence[int | None]) -> int:
    """A node that nothing tells to be a matrix, so that it is a vector."""
    products = {arg for node in nodes if node.op == "matmul" for arg in node.args}
    left = [index for index, rank in enumerate(found) if rank is None]
    unclear = [index for index in left if index in products and nodes[index].op in ("state", "vector")]
    if unclear:
        name = nodes[unclear[0]].name
        _refuse("a @ b", f"nothing that says whether {name} is a matrix",
                "write a sum or product with outer(...), or call a map of the vector")  # fmt: skip
    return left[0]


def _meet(found: list[int | None], node: Node, index: int) -> None:
    """Learn ranks from one node, and raise where they cannot be."""
    if node.op == "matmul":
        _product(found, node)
    elif node.op in OF_VECTORS:
        for arg in node.args:
            found[arg] = VECTOR if found[arg] is None else found[arg]
            if found[arg] == MATRIX:
                _refuse(f"{node.op}(...)", "a matrix", "give it a vector, such as S @ b")
    elif node.op == "spread":
        found[index] = found[node.args[1]] if found[index] is None else found[index]
    elif node.op in PRIMITIVES and node.op not in NUMBERS:
        _alike(found, node, index)


def _alike(found: list[int | None], node: Node, index: int) -> None:
    """A primitive entry by entry: its result and its operands have one rank, numbers aside."""
    wide = [i for i in (*node.args, index) if found[i] != NUMBER]
    told = {found[i] for i in wide} - {None}
    if len(told) > 1:
        _refuse(node.op, "a vector and a matrix", "write outer(a, 1) for a column of the vector in every column")
    for i in wide if told else ():
        found[i] = next(iter(told))


def _product(found: list[int | None], node: Node) -> None:
    """`a @ b`: one operand is a matrix, and the other a vector or a number."""
    left, right = node.args
    for one, other in ((left, right), (right, left)):
        if found[one] in (NUMBER, VECTOR) and found[other] is None:
            found[other] = MATRIX
        if found[one] == MATRIX and found[other] is None:
            found[other] = VECTOR
    if found[left] is not None and found[right] is not None and (found[left] == MATRIX) == (found[right] == MATRIX):
        what = "two matrices" if found[left] == MATRIX else "no matrix"
        _refuse("a @ b", what, "multiply a matrix and a vector; write total(a * b) for two vectors")


def _all(parts: Iterable[bool]) -> bool:
    found = list(parts)
    return bool(found) and all(found)


def _refuse(call: str, got: str, do: str) -> None:
    raise EquationError(call, "numbers, vectors and matrices must meet as the equations have them", got, do)
