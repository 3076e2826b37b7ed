"""What an exported function says of its cell: the name, the paper where the gallery has it, and the equations."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from types import ModuleType

from rnnspec import cells
from rnnspec.tracing.cell import Cell

__all__ = ["described", "indented"]


def described(cell: Cell) -> list[str]:
    """Lines on a cell: where it comes from, and its equations."""
    heads = [] if cell.heads is None else [f"For each of {cell.heads} heads:"]
    return [*textwrap.wrap(_paper(cell), 105), *heads, *str(cell).splitlines()]


def indented(cell: Cell) -> str:
    """The lines as a docstring of a function."""
    return "\n    ".join(described(cell)).replace("\\", "\\\\").replace('"""', "'''")


def _paper(cell: Cell) -> str:
    known = getattr(cells, cell.name, None)
    is_known = isinstance(known, Cell) and (known.states, known.graph) == (cell.states, cell.graph)
    return " ".join(_papers().get(cell.name, "").split()) if is_known else ""


@cache
def _papers() -> dict[str, str]:
    """The docstrings of the gallery's declarations, whose functions are gone once they are traced."""
    modules = [module for module in vars(cells).values() if isinstance(module, ModuleType)]
    found = {}
    for module in modules:
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = ast.get_docstring(node) or ""
    return found
