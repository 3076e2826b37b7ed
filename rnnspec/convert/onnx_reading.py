"""Reads a network from an ONNX graph: the chain of stages from one input to the outputs, and the notes on the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnx import ModelProto
from onnx.checker import ValidationError

from rnnspec.convert import onnx_scan
from rnnspec.convert.conversion import Imported
from rnnspec.convert.onnx_chain import Broken, chain_to
from rnnspec.convert.onnx_cut import cut
from rnnspec.convert.onnx_features import Half, Origin, Select, State
from rnnspec.convert.onnx_flow import Flow, Unread
from rnnspec.convert.onnx_graph import Graph, followed
from rnnspec.convert.onnx_layers import built
from rnnspec.convert.onnx_model import opened
from rnnspec.convert.onnx_operator import operators_in
from rnnspec.errors import ArgumentError, RnnSpecError, UnsupportedError
from rnnspec.showing import nearest

__all__ = ["read_model"]

MUST = ("the operators between the inputs and an output must be recurrent, move whole axes, or compute features from "
        "those of the same step")  # fmt: skip

FAULTS = (RnnSpecError, KeyError, IndexError, TypeError, ValueError, AttributeError, ValidationError)
"""What a graph that is not valid, or not read, raises where it is followed."""


@dataclass(frozen=True)
class _Request:
    """What is asked for: the model, the values at which it is cut, and whether quantised weights are read."""

    call: str
    model: ModelProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dequantise: bool

    def graph(self) -> Graph:
        """The graph, followed to the outputs."""
        return followed(self.call, self.model, self.inputs, self.ends, self.dequantise)

    @property
    def ends(self) -> tuple[str, ...]:
        """The names of the outputs."""
        return self.outputs or tuple(output.name for output in self.model.graph.output)


def read_model(
    call: str, model: Any, inputs: Sequence[str] | None, outputs: Sequence[str] | None, dequantise: bool
) -> Imported:
    """The network of a model's graph, cut at the values that are named."""
    found = opened(call, model)
    for what, names in (("inputs", inputs), ("outputs", outputs)):
        if isinstance(names, str) or not all(isinstance(name, str) for name in names or ()):
            raise ArgumentError(call, f"{what} must be a list of names of values", repr(names), f"write {what}=['x']")
        _check_names(call, found, what, names or ())
    request = _Request(call, found, tuple(inputs or ()), tuple(outputs or ()), dequantise)
    try:
        declared = None if inputs or outputs else onnx_scan.read(call, request.model)
        return declared or _Reading(request).network()
    except _Stopped as stopped:
        raise _refusal(request, stopped.unread) from None
    except RnnSpecError:
        raise
    except FAULTS as error:
        raise ArgumentError(call, "model must be valid", f"{type(error).__name__}: {error}",
                            "run onnx.checker.check_model(model), which names the fault") from error  # fmt: skip


def _check_names(call: str, model: ModelProto, what: str, names: Sequence[str]) -> None:
    """Raise ArgumentError where a name is no value of the graph."""
    graph = model.graph
    known = {value.name for value in (*graph.input, *graph.initializer)}
    known |= {name for node in operators_in(graph) for name in node.output if name}
    for name in names:
        if name not in known:
            like = nearest(name, known)
            raise ArgumentError(call, f"{what} must be values of the graph", repr(name),
                                f"did you mean {like!r}?" if like else "look at the graph, as in Netron")  # fmt: skip


def _refusal(request: _Request, unread: Unread) -> RnnSpecError:
    """The error of the first operator that is not read, with the call that cuts the graph there."""
    if unread.operator is None:
        return ArgumentError(request.call, "model must be valid: every value must come from an operator or be an input",
                             f"{unread.name!r}, which nothing gives",
                             "run onnx.checker.check_model(model), which names the fault")  # fmt: skip

    def graph(inputs: Sequence[str], outputs: Sequence[str]) -> Graph | None:
        try:
            return replace(request, inputs=tuple(inputs), outputs=tuple(outputs)).graph()
        except FAULTS:
            return None

    def readable(inputs: Sequence[str], outputs: Sequence[str]) -> bool:
        try:
            _Reading(replace(request, inputs=tuple(inputs), outputs=tuple(outputs))).network()
        except (_Stopped, *FAULTS):
            return False
        return True

    do = cut(request.model, request.inputs, request.ends, unread.operator, graph, readable)
    why = f": {unread.why}" if unread.why else ""
    return UnsupportedError(request.call, MUST, f"{unread.operator}{why}", unread.do or do)


@dataclass(frozen=True, eq=False)
class _Stopped(Exception):
    unread: Unread


class _Reading:
    def __init__(self, request: _Request) -> None:
        self.call, self.outputs, self.graph = request.call, request.ends, request.graph()

    def network(self) -> Imported:
        values = {name: self.graph.values.get(name, Unread(None, name)) for name in self.outputs}
        origins = {name: self._origin(value) for name, value in values.items() if isinstance(value, Flow)}
        states = {name: halves for name, origin in origins.items() if (halves := _final(origin))}
        name = self._data(values, states)
        value = values[name]
        if not isinstance(value, Flow):
            raise _Stopped(value if isinstance(value, Unread) else Unread(None, name))
        finals = {other: halves for other, halves in states.items() if other != name}
        wanted = frozenset(half for halves in finals.values() for half in halves)
        if self.graph.is_input(value):
            raise UnsupportedError(self.call, "an output must come from a recurrent node",
                                   f"{name!r}, which is an input or a part of one", "name another output")  # fmt: skip
        try:
            chain = chain_to(self.graph.features, value.numbers.ravel(), wanted)
            return built(self.graph, chain, value, finals)
        except Broken as broken:
            raise _Stopped(Unread(broken.operator, why=broken.why)) from broken

    def _origin(self, value: Flow) -> Origin:
        return self.graph.features.origin(value.numbers.ravel())

    def _data(self, values: dict[str, Any], states: dict[str, Any]) -> str:
        """The output that the network returns: the one that is no final state, or the first hidden state of the
        last recurrent node."""
        data = [name for name in values if name not in states]
        read = [name for name in data if isinstance(values[name], Flow)]
        if read and len(data) > 1:
            raise UnsupportedError(self.call, "the graph must have one output besides final states",
                                   ", ".join(map(repr, data)),
                                   f"choose one: from_onnx(model, outputs=[{read[0]!r}])")  # fmt: skip
        if data and not read:
            return data[0]
        hidden = [name for name in states if any(isinstance(s, Select) for s in self._origin(values[name]).stages)]
        if data or not hidden:
            return [*values, *data][-1]
        place = {operator: i for i, (operator, _) in enumerate(self.graph.order)}
        return max(hidden, key=lambda name: max(place[half.operator] for half in states[name]))


def _final(origin: Origin) -> list[Half] | None:
    """The directions whose final states these features are, or None."""
    halves = [stage.half if isinstance(stage, State | Select) else None for stage in origin.stages]
    return [half for half in halves if half] if all(halves) else None
