"""Sign symmetry, decided from a cell's graph: which leaves of one unit can change their sign together.

Of one unit of every width, each value either changes its sign (odd) or does not (even). A map mixes units: its columns
take the sign of what goes in, its rows give what comes out, so it may have either parity; so may inputs and vectors.

>>> from rnnspec import cells
>>> sorted(symmetry(cells.gru).odd)
[('input', 'n'), ('map', 'n'), ('state', 'h'), ('vector', 'n')]
>>> symmetry(cells.mingru).odd == {('input', 'h'), ('state', 'h')}
True
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from rnnspec import Cell
from rnnspec.tracing.cell import OUTPUT
from rnnspec.tracing.graph import Node

__all__ = ["Symmetry", "symmetry"]

LEAVES = ("state", "input", "vector", "map")
MOST = 18
"""A cell with more leaves than this is not searched: 2^18 assignments take seconds."""


@dataclass(frozen=True)
class Symmetry:
    """The leaves that are odd, by operation and name; the maps whose operand is odd; whether the output is."""

    odd: frozenset[tuple[str, str]]
    columns: frozenset[str]
    output: bool


@lru_cache(maxsize=64)
def symmetry(cell: Cell) -> Symmetry | None:
    """A symmetry in which a state is odd, of those the one with the fewest odd leaves; None where there is none."""
    nodes = cell.graph.nodes
    names = sorted({(node.op, node.name) for node in nodes if node.op in LEAVES})
    if len(names) > MOST:
        return None
    found = (_try(cell, dict(zip(names, odd, strict=True))) for odd in product((False, True), repeat=len(names)))
    return min((s for s in found if s is not None), key=lambda s: (len(s.odd), sorted(s.odd)), default=None)


def _try(cell: Cell, odd: dict[tuple[str, str], bool]) -> Symmetry | None:
    if not any(is_odd for (op, _), is_odd in odd.items() if op == "state"):
        return None
    parities: list[bool] = []
    columns: dict[str, bool] = {}
    for node in cell.graph.nodes:
        operands = [parities[arg] for arg in node.args]
        if node.op == "map" and columns.setdefault(node.name, operands[0]) != operands[0]:
            return None
        parity = odd[node.op, node.name] if node.op in LEAVES else _parity(node, operands, cell.graph.nodes)
        if parity is None:
            return None
        parities.append(parity)
    results = {name: parities[index] for name, index in cell.graph.results}
    if any(results[state] != odd["state", state] for state in cell.states if ("state", state) in odd):
        return None
    turned = frozenset(leaf for leaf, is_odd in odd.items() if is_odd)
    return Symmetry(turned, frozenset(name for name, is_odd in columns.items() if is_odd), results[OUTPUT])


def _parity(node: Node, operands: Sequence[bool], nodes: Sequence[Node]) -> bool | None:
    if node.op == "constant":
        return False
    zeros = [nodes[arg].op == "constant" and nodes[arg].value == 0 for arg in node.args]
    return _RULES.get(node.op, _even)(operands, zeros)


def _even(operands: Sequence[bool], zeros: Sequence[bool]) -> bool | None:
    return None if any(operands) else False


def _same(operands: Sequence[bool], zeros: Sequence[bool]) -> bool | None:
    parities = {odd for odd, zero in zip(operands, zeros, strict=True) if not zero}
    return parities.pop() if len(parities) == 1 else (None if parities else False)


def _choice(operands: Sequence[bool], zeros: Sequence[bool]) -> bool | None:
    return None if operands[0] else _same(operands[1:], zeros[1:])


_RULES: dict[str, Callable[[Sequence[bool], Sequence[bool]], bool | None]] = {
    "add": _same,
    "subtract": _same,
    "negate": _same,
    "tanh": _same,
    "sin": _same,
    "erf": _same,
    "stop": _same,
    "cos": lambda operands, zeros: False,
    "width": lambda operands, zeros: False,
    "multiply": lambda operands, zeros: operands[0] != operands[1],
    "divide": lambda operands, zeros: operands[0] != operands[1],
    "where": _choice,
}
