"""Whether two cells have the same equations, whatever their names and the order of their lines.

>>> from rnnspec import cell, cells
>>> from rnnspec.primitives import tanh
>>> @cell
... def renamed(x, R, h):
...     return tanh(R.h(h) + x.h)
>>> renamed == cells.elman, same_equations(renamed, cells.elman)
(False, True)
"""

from __future__ import annotations

from typing import Any

from rnnspec.cell import Cell
from rnnspec.graph import Node

__all__ = ["same_equations"]

COMMUTATIVE = ("add", "multiply", "maximum", "minimum")
"""Primitives whose value does not depend, to the bit, on the order of their operands."""


def same_equations(one: Cell, other: Cell) -> bool:
    """Whether the graphs compute the same: maps and states are told by name, nodes by what they compute."""
    known: dict[Any, int] = {}

    def number(node: Node, operands: list[int]) -> int:
        ordered = sorted(operands) if node.op in COMMUTATIVE else operands
        return known.setdefault((node.op, node.name, node.value, *ordered), len(known))

    return one.graph.evaluate(number) == other.graph.evaluate(number)
