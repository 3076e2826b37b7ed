"""Reads a network from an ONNX graph, node by node from its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.checker import ValidationError

from rnnspec.convert import onnx_scan
from rnnspec.convert.assembly import Assembly, numbers
from rnnspec.convert.conversion import Imported, Note, PlacedNote
from rnnspec.convert.onnx_flow import Flow, Given, Logits, Unread, Zeros, plumbed
from rnnspec.convert.onnx_node import KINDS, OPERANDS, RecurrentNode, shown
from rnnspec.errors import ArgumentError, RnnSpecError, UnsupportedError
from rnnspec.output import Last, Steps

__all__ = ["read_model"]

ENDS = {("time", "batch", "feature"): (), ("batch", "feature"): (), ("batch", "time", "feature"): (Note.BATCH_FIRST,),
        ("time", "half", "batch", "feature"): (Note.DIRECTION_AXIS,),
        ("half", "batch", "feature"): (Note.DIRECTION_AXIS,)}  # fmt: skip
"""The axes that an output can have, and the notes that they make."""


def read_model(call: str, model: Any) -> Imported:
    """The network of a model's graph."""
    if not isinstance(model, ModelProto):
        raise ArgumentError(call, "model must be an onnx.ModelProto", type(model).__name__, "write onnx.load(path)")
    try:
        return onnx_scan.read(call, model) or _Reading(call, model.graph).network()
    except RnnSpecError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ValidationError) as error:
        raise ArgumentError(call, "model must be valid", f"{type(error).__name__}: {error}",
                            "run onnx.checker.check_model(model), which names the fault") from error  # fmt: skip


class _Reading:
    def __init__(self, call: str, graph: Any) -> None:
        self.call, self.graph, self.assembly = call, graph, Assembly(call)
        self.halves: list[tuple[tuple[int, str], ...]] = []
        self.lengths: Given | None = None
        self.values: dict[str, Any] = {"": None} | {i.name: Given(i.name) for i in graph.input}
        self.values |= {i.name: numpy_helper.to_array(i) for i in graph.initializer}

    def network(self) -> Imported:
        for node in self.graph.node:
            self._read(node)
        results = [self.values[output.name] for output in self.graph.output]
        read = self._finish(results[0])
        for output, value in zip(self.graph.output[1:], results[1:], strict=True):
            if not (isinstance(value, Flow) and value.last):
                self._refuse("further outputs must be final states", output.name, "leave them out")
        return self.assembly.finish(read)

    def _read(self, node: NodeProto) -> None:
        options = {a.name: _text(helper.get_attribute_value(a)) for a in node.attribute}
        operands = [self.values[name] for name in node.input]
        if node.domain not in ("", "ai.onnx"):
            self._refuse("operators must be ONNX's own", f"{node.domain}.{shown(node)}",
                         "export the graph up to this operator")  # fmt: skip
        if node.op_type == "Constant":
            found: list[Any] = [_constant(options)]
        elif node.op_type == "ConstantOfShape":
            fill = numpy_helper.to_array(options["value"]) if "value" in options else np.zeros(1)
            found = [Unread("ConstantOfShape") if fill.any() else Zeros()]
        elif node.op_type in KINDS:
            found = self._recurrent(node, options, operands)
        elif node.op_type == "Shape" or not operands:
            found = [Unread(node.op_type)]
        elif any(isinstance(operand, Flow | Logits) for operand in operands):
            found = [self._moved(node, options, operands)]
        else:
            found = [plumbed(node.op_type, options, operands)]
        results = dict.fromkeys(node.output, Unread(node.op_type)) | dict(zip(node.output, found, strict=False))
        self.values |= results | {"": None}  # an empty name means no output, as it means no operand

    def _moved(self, node: NodeProto, options: Mapping[str, Any], operands: list[Any]) -> Any:
        data, *others = operands
        numeric = all(isinstance(other, np.ndarray) for other in others)
        found = None
        if node.op_type == "Add" and isinstance(operands[-1], Logits):
            data, others = operands[-1], operands[:-1]
            numeric = isinstance(others[0], np.ndarray)
        if isinstance(data, Flow) and node.op_type == "MatMul" and numeric:
            found = Logits(data, others[0].T)
        elif isinstance(data, Flow) and node.op_type == "Gemm" and numeric:
            found = _gemm(data, options, others)
        elif isinstance(data, Logits) and node.op_type == "Add" and data.bias is None and numeric:
            found = Logits(data.flow, data.weight, others[0])
        elif node.op_type == "Identity" or isinstance(data, Flow):
            found = plumbed(node.op_type, options, operands)
        if found is None:
            stand = "after the output layer" if isinstance(data, Logits) else f"over {data}"
            self._refuse("an operator on the steps must be recurrent, be the one output layer, move axes, "
                         "select a direction, or select the last step of each direction",
                         f"{shown(node)} {stand}",
                         "export the graph up to this operator, or declare it in rnnspec")  # fmt: skip
        return found

    def _recurrent(self, node: NodeProto, options: Mapping[str, Any], operands: list[Any]) -> list[Any]:
        given = {name: value for name, value in zip(OPERANDS, operands, strict=False) if value is not None}
        self._check_steps(node, given.get("X"))
        found, index = RecurrentNode(self.call, node, options, given), len(self.halves)
        self.assembly.see(self.assembly.place, (given[name] for name in "WRBP" if name in given))
        self.assembly.add_layer(found.layout(), found.tensors())
        self.halves.append(tuple((index, half) for half in found.halves))
        self._check_lengths(node, given.get("sequence_lens"))
        ends = Flow(("half", "batch", "feature"), self.halves[-1], ragged=self.lengths is not None)
        return [replace(ends, axes=("time", *ends.axes)), ends, replace(ends, state=True)]

    def _check_lengths(self, node: NodeProto, lengths: Given | None) -> None:
        if len(self.halves) == 1:
            self.lengths = lengths
        elif lengths != self.lengths:
            names = {lengths: "none" if lengths is None else lengths.name for lengths in (self.lengths, lengths)}
            self._refuse("every recurrent node must be given the same sequence_lens",
                         f"{names[lengths]} in {shown(node)} after {names[self.lengths]}",
                         "give all of them the same input")  # fmt: skip

    def _check_steps(self, node: NodeProto, steps: Any) -> None:
        if isinstance(steps, Given) and not self.halves and steps.axes in ((0, 1, 2), (1, 0, 2)):
            if steps.axes == (1, 0, 2):
                self.assembly.notes.append(PlacedNote("", Note.BATCH_FIRST))
        elif not self.halves or steps != Flow(("time", "batch", "feature"), self.halves[-1],
                                              ragged=self.lengths is not None):  # fmt: skip
            self._refuse("a recurrent node must be given the graph's input or all steps of the one before it",
                         f"{steps} in {shown(node)}", "give a stack of recurrent nodes")  # fmt: skip

    def _finish(self, result: Any) -> Steps | Last:
        flow = result.flow if isinstance(result, Logits) else result
        if not isinstance(flow, Flow) or flow.state or flow.halves != self.halves[-1] or flow.axes not in ENDS:
            self._refuse("the first output must be the steps of the last layer, all directions in order",
                         f"{flow}", "give a stack of recurrent nodes and at most one output layer")  # fmt: skip
        if isinstance(result, Logits):
            if "half" in flow.axes:
                self._refuse("the output layer must read features", f"{flow}", "concatenate the directions before it")
            bias = None if result.bias is None else numbers(self.call, "bias", result.bias)
            self.assembly.add_output(numbers(self.call, "weight", result.weight), bias)
        notes = [PlacedNote("", what) for what in ENDS[flow.axes]]
        self.assembly.notes += [note for note in notes if note not in self.assembly.notes]
        return Last() if flow.last else Steps()

    def _refuse(self, must: str, got: str, do: str) -> NoReturn:
        raise UnsupportedError(self.call, must, got, do)


def _gemm(flow: Flow, options: Mapping[str, Any], others: list[Any]) -> Logits | None:
    if options.get("alpha", 1.0) != 1.0 or options.get("beta", 1.0) != 1.0 or options.get("transA", 0):
        return None
    weight = others[0] if options.get("transB", 0) else others[0].T
    return Logits(flow, weight, others[1] if len(others) > 1 else None)


def _constant(options: Mapping[str, Any]) -> Any:
    if "value" in options:
        return numpy_helper.to_array(options["value"])
    plain = [options[name] for name in ("value_int", "value_ints", "value_float", "value_floats") if name in options]
    return np.array(plain[0]) if plain else Unread("Constant")


def _text(value: Any) -> Any:
    if isinstance(value, list):
        return [_text(part) for part in value]
    return value.decode() if isinstance(value, bytes) else value
