"""A network as an ONNX model: one recurrent node for each layer, and operators that move axes between them."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from rnnspec.convert.assembly import Part, taken_apart
from rnnspec.convert.conversion import Exported, Note, PlacedNote
from rnnspec.convert.layouts import ONNX
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["write_model"]

OPSET, IR_VERSION = 14, 8
"""The oldest operator set with these operators, so that old runtimes read the model too."""
STEPS = "inputs"


class _Graph:
    """The nodes, initializers, inputs and outputs of a growing graph."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []

    def constant(self, name: str, array: Any) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def input(self, name: str, shape: tuple[Any, ...], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: tuple[Any, ...]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> str:
        while inputs and not inputs[-1]:
            inputs = inputs[:-1]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{outputs[0]}/{kind}", **attributes))
        return outputs[0]


def write_model(call: str, net: Network, params: Tree, lengths: bool, state: bool) -> Exported:
    """The network as a `ModelProto` in float32."""
    apart = taken_apart(call, "ONNX", ONNX, net, params, "float32")
    graph, last = _Graph(), isinstance(net.read, Last)
    values = graph.input(STEPS, ("time", "batch", net.inputs))
    ends = graph.input("lengths", ("batch",), TensorProto.INT32) if lengths else ""
    for i, part in enumerate(apart.parts):
        _recurrent(graph, f"layers.{i}", part, values, ends, f"state.{i}" if state else "")
        read_last = last and i == len(apart.parts) - 1
        order, shape = ((1, 0, 2), (0, -1)) if read_last else ((0, 2, 1, 3), (0, 0, -1))
        turned = graph.node("Transpose", [f"layers.{i}.{'Y_h' if read_last else 'Y'}"], [f"layers.{i}.turned"],
                            perm=order)  # fmt: skip
        joined = graph.constant(f"layers.{i}.shape", np.array(shape, np.int64))
        values = graph.node("Reshape", [turned, joined], [f"layers.{i}.outputs"])
    if apart.output is not None:
        weight, bias = graph.constant("output.W", apart.output["W"].T), graph.constant("output.b", apart.output["b"])
        values = graph.node("Add", [graph.node("MatMul", [values, weight], ["output.product"]), bias], ["output.sum"])
    graph.node("Identity", [values], ["outputs"])
    graph.outputs.insert(0, helper.make_tensor_value_info(
        "outputs", TensorProto.FLOAT, (*(() if last else ("time",)), "batch", net.features)))  # fmt: skip
    return Exported(_model(graph), apart.notes + ((PlacedNote("", Note.PADDING),) if lengths else ()))


def _recurrent(graph: _Graph, place: str, part: Part, values: str, ends: str, state: str) -> None:
    layer, halves = part.layer, list(part.tensors.values())
    given = {name: graph.constant(f"{place}.{name}", np.stack([own[name] for own in halves])) for name in halves[0]}
    shape = (len(halves), "batch", layer.half_width)
    final = dict(zip(part.layout.states, ("Y_h", "Y_c"), strict=False))
    first = [graph.input(f"{state}.{name}", shape) if state else "" for name in final]
    options = {name: list(value) * len(halves) if isinstance(value, tuple) else value
               for name, value in part.layout.options.items()}  # fmt: skip
    graph.node(part.layout.kind,
               [values, given["W"], given["R"], given["B"], ends, *first, given.get("P", "")],
               [f"{place}.{name}" for name in ("Y", *final.values())],
               hidden_size=layer.half_width, direction=layer.direction, **options)  # fmt: skip
    for name, end in final.items() if state else ():
        graph.node("Identity", [f"{place}.{end}"], [f"final.{state}.{name}"])
        graph.output(f"final.{state}.{name}", shape)


def _model(graph: _Graph) -> ModelProto:
    made = helper.make_graph(graph.nodes, "rnnspec", graph.inputs, graph.outputs, graph.initializers)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    checker.check_model(model, full_check=True)
    return model
