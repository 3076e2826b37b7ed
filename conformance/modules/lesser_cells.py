"""Cells without a map that a framework does not have; a module is tested as such a cell, and the report notes it."""

from __future__ import annotations

from conformance.cases import load_cell
from rnnspec import cells
from rnnspec.convert.layout import Layout
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import Cell, cell

__all__ = ["judged_cell"]


@cell
def gru_without_inner_bias(x, R, h):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """`cells.gru` with `p.n` = 0."""
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + r * R.n(h))
    return (1 - z) * n + z * h


LESSER = {(cells.gru, frozenset({"p.n"})): f"{__name__}:gru_without_inner_bias"}
"""The lesser cells, by cell and absent maps."""


def judged_cell(row: Layout) -> Cell | None:
    """The cell whose maps a row's tensors can all hold, or None where there is no such cell."""
    if not row.absent:
        return row.cell
    name = LESSER.get((row.cell, frozenset(row.absent)))
    return load_cell(name) if name else None
