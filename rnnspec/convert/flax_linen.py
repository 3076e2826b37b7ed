"""Cells of flax.linen: a cell holds options, and its weights are a tree beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from flax import linen, nnx

from rnnspec.convert.assembly import Assembly, numbers
from rnnspec.convert.conversion import Note, PlacedNote
from rnnspec.convert.layout import Layout, matching_layout
from rnnspec.convert.layouts import LINEN
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.tree import leaves

__all__ = ["add_cell", "is_cell"]

KINDS = {getattr(linen, row.kind): row.kind for row in LINEN}
NAMES = {linen.sigmoid: "sigmoid", nnx.sigmoid: "sigmoid", linen.tanh: "tanh", nnx.tanh: "tanh", linen.relu: "relu",
         nnx.relu: "relu"}  # fmt: skip


def is_cell(part: Any) -> bool:
    """Whether a part is a pair of a cell of flax.linen and its parameters."""
    return isinstance(part, tuple) and len(part) == 2 and type(part[0]) in KINDS


def add_cell(assembly: Assembly, cell: Any, params: Any) -> None:
    """Add a cell with the tree `variables["params"]` of its parameters."""
    if not isinstance(params, Mapping):
        raise ArgumentError(assembly.call, "a linen cell must come with the tree of its parameters",
                            type(params).__name__, "give (cell, variables['params'])")  # fmt: skip
    row = _row(assembly.call, cell)
    found = dict(leaves(params))
    if found.keys() != row.tensors.keys():
        raise TreeError(assembly.call, f"the parameters of {row.kind} must be {', '.join(row.tensors)}",
                        ", ".join(found) or "nothing", "give variables['params'] of that one cell")  # fmt: skip
    if cell.carry_init is not next(own.default for own in fields(cell) if own.name == "carry_init"):
        assembly.notes.append(PlacedNote(f"{assembly.place}.forward", Note.INITIAL_STATE))
    assembly.see(assembly.place, found.values())
    assembly.add_layer(row, {"forward": {name: numbers(assembly.call, name, found[name]) for name in row.tensors}})


def _row(call: str, cell: Any) -> Layout:
    given = {own.name: getattr(cell, own.name) for own in fields(cell)}
    options = {name: NAMES.get(value, value) if callable(value) else value for name, value in given.items()}
    row = matching_layout(LINEN, KINDS[type(cell)], options)
    if row is None:
        known = {name for row in LINEN for name in row.options}
        got = ", ".join(f"{name}={options[name]}" for name in options if name in known)
        raise UnsupportedError(call, f"options of linen's {KINDS[type(cell)]} must be those that docs/convert.md names",
                               got, "declare a cell with these options")  # fmt: skip
    return row
