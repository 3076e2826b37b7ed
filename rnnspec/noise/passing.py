"""The equations of a layer that passes its inputs on: those of a `Dropout` among the layers, in expectation."""

from __future__ import annotations

from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph, Node
from rnnspec.tracing.widths import OUTPUT

__all__ = ["PASSING"]

PASSING = Cell("dropout", (), Graph((Node("x"),), ((OUTPUT, 0),)))
