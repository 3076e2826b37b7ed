"""The layers of an ONNX model: an operator of ONNX where a layer is one, and a Scan by our own lowering for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from onnx import TensorProto

from rnnspec.contract.arrays import Arrays
from rnnspec.contract.kernel import Call, Kernel, Path
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.convert.onnx_scan.graph import Value
from rnnspec.derivation.schedule import Phases, Schedule, schedule
from rnnspec.running import lowering, padding
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Layers"]


class Layers:
    """Runs the layers of a network into a graph; `rows` is the table of the operators that may be used."""

    path: Path | None = Path.GENERIC

    def __init__(self, arrays: Arrays, rows: Sequence[Layout]) -> None:
        self.arrays, self.rows = arrays, rows

    def shown(self, inputs: Any, lengths: Any) -> Any:
        """The inputs with zeros at padded steps."""
        return padding.selected(self.arrays, padding.mask(self.arrays, inputs.shape[0], lengths), inputs)

    def runner(self, cell: Cell, call: Call) -> Kernel:
        """The operator of a layer, or its Scan."""
        row = layout_for(self.rows, cell)
        return _Steps(self.arrays) if row is None else _Operator(self.arrays, row)

    def framework_vjp(self, function: Any, *arguments: Tree) -> Any:
        """An ONNX model has no gradients."""
        raise NotImplementedError


@dataclass(frozen=True)
class _Steps:
    """A layer by our own lowering."""

    arrays: Arrays

    def layer(
        self, cell: Cell, params: Tree, inputs: Value, state: Tree, lengths: Value | None, call: Call
    ) -> LayerResult:
        mask = padding.mask(self.arrays, inputs.shape[0], lengths)
        outputs, final, _ = lowering.forward(self.arrays, _forwards(cell), params, inputs, state, mask)
        return LayerResult(outputs, final, "Scan")

    def layer_pullback(self, *_: Any) -> Gradients:
        raise NotImplementedError


@dataclass(frozen=True)
class _Operator:
    """A layer by an operator, whose results are zeros after a row's end, and whose states stay there."""

    arrays: Arrays
    row: Layout

    def layer(
        self, cell: Cell, params: Tree, inputs: Value, state: Tree, lengths: Value | None, call: Call
    ) -> LayerResult:
        graph, (steps, batch, _) = inputs.graph, inputs.shape
        width = state[self.row.states[0]].shape[-1]
        ends = None if lengths is None else graph.node("Cast", [lengths], lengths.shape, np.int32, to=TensorProto.INT32)
        packed = {name: self._packed(params, names)[None] for name, names in self.row.places()}
        first = [state[name][None] for name in self.row.states]
        peepholes = [packed["P"]] if "P" in packed else []
        given = [inputs, packed["W"], packed["R"], packed["B"], ends, *first, *peepholes]
        shapes = [(steps, 1, batch, width), *((1, batch, width) for _ in first)]
        options = {name: list(v) if isinstance(v, tuple) else v for name, v in self.row.options.items()}
        outputs, *last = graph.nodes(self.row.kind, given, shapes, hidden_size=width, **options)
        real = padding.mask(self.arrays, steps, lengths)
        final = {name: v[0] for name, v in zip(self.row.states, last, strict=True)}
        if lengths is not None:
            ran = lengths[:, None] > 0
            final = {name: self.arrays.functions["where"](ran, v, state[name]) for name, v in final.items()}
        return LayerResult(padding.selected(self.arrays, real, outputs[:, 0]), final, self.row.kind)

    def layer_pullback(self, *_: Any) -> Gradients:
        raise NotImplementedError

    def _packed(self, params: Mapping[str, Mapping[str, Value]], names: Sequence[str]) -> Value:
        """A tensor of an operator; a further place of a map holds zeros."""
        maps = [params[kind][gate] for kind, _, gate in (name.partition(".") for name in names)]
        parts = [self.arrays.zeros(a.shape) if a in maps[:i] else a for i, a in enumerate(maps)]
        packed: Value = self.arrays.concatenate(parts, 0)
        return packed


@lru_cache(maxsize=256)
def _forwards(cell: Cell) -> Schedule:
    """The schedule of a cell without its adjoint, so that a loop records nothing for it."""
    plan = schedule(cell)
    return Schedule(cell, replace(plan.adjoint, maps=()), plan.forward, Phases((), (), ()))
