"""A network as an ONNX model: a run over whole sequences, or one step for streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper

from rnnspec.contract.capabilities import DTYPES
from rnnspec.convert.assembly import check_params
from rnnspec.convert.conversion import Exported, Note, PlacedNote
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.convert.layouts import ONNX
from rnnspec.convert.onnx_scan import metadata
from rnnspec.convert.onnx_scan.arrays import OnnxArrays
from rnnspec.convert.onnx_scan.graph import Dim, Graph, Shape, Value
from rnnspec.convert.onnx_scan.layers import Layers
from rnnspec.convert.onnx_writing import write_model
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Dense
from rnnspec.running import execution
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["Options", "write_run", "write_step", "write_whole"]

PRECISIONS = ("f32", "f64")
OPSET, IR_VERSION = 18, 8
"""The operator set of 2022: its ReduceMax takes axes as an operand, as ReduceSum does."""
TIME: Any = Dim("time")
BATCH: Any = Dim("batch")
PADDED: Any = Dim("time + 1")
LONGEST = np.iinfo(np.int32).max
"""The length of a row that is given none."""


@dataclass(frozen=True)
class Options:
    """What a model takes and is made of: inputs for lengths and states, its precision, and whether operators may be."""

    lengths: bool = False
    state: bool = False
    precision: str = "f32"
    operators: bool = True


def write_run(call: str, net: Network, params: Tree, options: Options) -> Exported:
    """The model of a run over whole sequences: operators alone, where every layer is one."""
    rows = _rows(call, options)
    if rows and isinstance(net, Network) and _is_plain(net) and all(layout_for(rows, x.evaluated) for x in net.layers):
        return write_model(call, net, params, options.lengths, options.state)
    return write_whole(call, net, params, options)


def write_whole(call: str, net: Network, params: Tree, options: Options) -> Exported:
    """The model of a run with zeros after a row's end, whose lengths and states may be left out."""
    writing = _Writing(call, net, params, options.precision, _rows(call, options))
    inputs = writing.inputs("inputs", TIME, BATCH)
    inputs, ends = (writing.padded(inputs), writing.lengths()) if options.lengths else (inputs, None)
    first = writing.state(options.state)
    (outputs, final), _ = execution.run(writing.layers, net, writing.params, inputs, first, ends)
    writing.graph.output("outputs", writing.unpadded(outputs))
    return writing.finished(final if options.state else None)


def write_step(call: str, net: Network, params: Tree, precision: str) -> Exported:
    """The model of one step."""
    writing = _Writing(call, net, params, precision, _rows(call, Options(precision=precision, operators=False)))
    for i, layer in enumerate(net.layers):
        if layer.direction != "forward":
            raise UnsupportedError(call, "every layer of a stream must run forward", f"layers.{i} {layer.direction!r}",
                                   "write the complete run with to_onnx")  # fmt: skip
    x = writing.inputs("x_t", BATCH)
    (outputs, final), _ = execution.step(writing.layers, net, writing.params, x, writing.state(given=True))
    writing.graph.output("y_t", outputs)
    return writing.finished(final)


def _is_plain(net: Network) -> bool:
    """Whether nothing but its layers and a linear output layer is in a network."""
    is_linear = isinstance(net.inputs, int) and (net.output is None or isinstance(net.output, Dense))
    is_bare = not any(layer.residual or layer.learned_state or layer.noises for layer in net.layers)
    return is_linear and not net.head and is_bare


def _rows(call: str, options: Options) -> tuple[Layout, ...]:
    """The table of the operators that a model may have, which no runtime has in float64."""
    if options.precision not in PRECISIONS:
        raise ArgumentError(call, f"precision must be one of {', '.join(PRECISIONS)}", repr(options.precision),
                            "choose one")  # fmt: skip
    return ONNX if options.operators and options.precision == "f32" else ()


class _Writing:
    """A graph with the parameters of a network."""

    def __init__(self, call: str, net: Network, params: Tree, precision: str, rows: Sequence[Layout]) -> None:
        check_params(call, net, params)
        self.net, self.graph, self.notes = net, Graph(DTYPES[precision]), list[PlacedNote]()
        self.arrays = OnnxArrays(self.graph)
        self.layers = Layers(self.arrays, rows)
        self.numbers, self.params = params, named_map(self.graph.parameter, params)
        if any(np.dtype(a.dtype).itemsize > self.graph.dtype.itemsize for _, a in leaves(params)):
            self.notes.append(PlacedNote("", Note.ROUNDED))

    def inputs(self, name: str, *axes: Any) -> Value:
        """Features, or class numbers of int64, along these axes."""
        is_class = isinstance(self.net.inputs, Embedding)
        shape = axes if is_class else (*axes, self.net.input_features)
        return self.graph.input(name, shape, np.int64 if is_class else None)

    def padded(self, inputs: Value) -> Value:
        """The inputs with one more step, behind the end of every row: no engine runs a Scan of no steps."""
        _, *row = inputs.shape
        more = [inputs, self._spread(self.graph.constant(0, inputs.dtype), (1, *row))]
        found = self.graph.node("Concat", more, (PADDED, *row), inputs.dtype, axis=0)
        self.graph.measure(found, 0)
        return found

    def unpadded(self, outputs: Value) -> Value:
        """The outputs without that step, where they have one."""
        if outputs.shape[0] != PADDED:
            return outputs
        ends = [self.graph.constant([number], np.int64) for number in (0, -1, 0)]
        return self.graph.node("Slice", [outputs, *ends], (TIME, *outputs.shape[1:]))

    def lengths(self) -> Value:
        """The lengths (batch), at most the number of steps; rows of a call without them have all steps."""
        given = self.graph.input("lengths", (None,), np.int32, [LONGEST])
        wide = self.graph.node("Cast", [given], given.shape, np.int64, to=TensorProto.INT64)
        least = self.graph.elementwise("Min", wide, self.graph.sizes((TIME,)))
        return self._spread(least, (BATCH,))

    def state(self, given: bool) -> Tree:
        """The initial state: zeros or what is learned, or what the model is given for them, halves side by side."""
        if not given:
            return self.net.unset_state(BATCH, self.arrays.zeros)
        found = []
        for place, layer in enumerate(self.net.layers):
            own = {name: self._given(f"state.{place}.{name}", self._first(place, name)) for name in layer.state_shapes}
            found.append({half: {name: a[i] for name, a in own.items()} for i, half in enumerate(layer.halves)})
        return found

    def _first(self, place: int, name: str) -> Any:
        """The state (halves, 1, ...) that a row of a call without it has."""
        layer, own = self.net.layers[place], self.numbers["layers"][place]
        zeros = np.zeros(layer.state_shapes[name])
        first = [own[half]["initial"][name] if layer.learned_state else zeros for half in layer.halves]
        return np.stack(first)[:, None]

    def _given(self, name: str, first: Any) -> Value:
        """A state (halves, batch, ...), which a call may leave out."""
        halves, _, *own = first.shape
        given = self.graph.input(name, (halves, None, *own), default=first)
        return self._spread(given, (halves, BATCH, *own))

    def _spread(self, value: Value, shape: Shape) -> Value:
        return self.graph.node("Expand", [value, self.graph.sizes(shape)], shape, value.dtype)

    def finished(self, final: Tree | None) -> Exported:
        """The model, which gives the final state out, or where that is None the outputs alone."""
        for place, halves in enumerate(final or ()):
            for name in self.net.layers[place].state_shapes:
                both = self.arrays.concatenate([own[name][None] for own in halves.values()], 0)
                self.graph.output(f"final.state.{place}.{name}", both)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(self.graph.finished(), opset_imports=[opset], ir_version=IR_VERSION)
        self.notes += metadata.declare(model, self.net)
        checker.check_model(model, full_check=True)
        return Exported(model, tuple(self.notes))
