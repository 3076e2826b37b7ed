"""Cells without a bias or vector that a module does not have; the module is tested as such a cell.

>>> from rnnspec import cells
>>> print(lesser(cells.minimal_rnn, frozenset({"b.z"})))
"""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import load_cell
from conformance.cases.equations import are_same, read, written
from rnnspec import cells
from rnnspec.convert.blocks import renamed
from rnnspec.convert.layout import Layout
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import OUTPUT, Cell, cell
from rnnspec.tracing.graph import GraphBuilder, Input, Vector
from rnnspec.tracing.leaves import parameters

__all__ = ["judged_as"]


@cell
def gru_without_inner_bias(x, R, h):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """`cells.gru` with `p.n` = 0."""
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + r * R.n(h))
    return (1 - z) * n + z * h


LESSER = {(cells.gru, frozenset({"p.n"})): f"{__name__}:gru_without_inner_bias"}
"""The lesser cells with a name, by cell and absent maps."""


def judged_as(row: Layout) -> Layout | None:
    """The row of the cell whose maps its tensors can all hold, or None where a matrix has no place."""
    absent = frozenset(row.absent)
    if not absent:
        return row
    if any(name[0] in "WU" for name in absent):
        return None
    name = LESSER.get((row.cell, absent))
    own = load_cell(name) if name else lesser(row.cell, absent)
    tensors = {tensor: renamed(text, lambda place: _now(place, absent)) for tensor, text in row.tensors.items()}
    return replace(row, cell=own, tensors=tensors)


def lesser(given: Cell, absent: frozenset[str]) -> Cell:
    """The cell with zeros for some of its biases and vectors: `x.i` without a bias is a map `R.x_i` of x itself."""
    builder = GraphBuilder(has_matrices=True)
    own = parameters(builder)
    x = builder.vector("x")

    def mapped(name: str) -> Vector:
        return getattr(own["R"], f"x_{name}")(x) if f"b.{name}" in absent else getattr(own["x"], name)  # type: ignore[no-any-return]

    states = {state: builder.vector("state", state) for state in given.states}
    output, new = given.equations(Input(x, mapped), own["R"], _Vectors(own["p"], absent), states)
    graph = builder.graph({OUTPUT: builder.index(output)} | {name: builder.index(v) for name, v in new.items()})
    found = Cell.of(f"{given.name}_without_{_word(absent)}", given.states, graph)
    again = read(written(found))  # the cell as a report writes it
    return again if are_same(again, found) else found


class _Vectors:
    """`p`, with 0 for what is absent."""

    def __init__(self, own: object, absent: frozenset[str]) -> None:
        self._own, self._absent = own, absent

    def __getattr__(self, name: str) -> object:
        return 0.0 if f"p.{name}" in self._absent else getattr(self._own, name)


def _now(place: str, absent: frozenset[str]) -> str:
    kind, _, name = place.partition(".")
    return f"U.x_{name}" if kind == "W" and f"b.{name}" in absent else place


def _word(absent: frozenset[str]) -> str:
    return "_".join(sorted(absent)).replace(".", "_") if len(absent) < 3 else "biases"
