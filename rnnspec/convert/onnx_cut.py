"""Where a graph can be cut so that what is left of it is read: the call that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from onnx import ModelProto

from rnnspec.convert.onnx_flow import Filled, Flow, Known
from rnnspec.convert.onnx_operator import RECURRENT, Operator, operators_in

__all__ = ["cut"]

TRIES = 8
"""The most places after the last layer that are tried."""
Follow = Callable[[Sequence[str], Sequence[str]], Any]


def cut(
    model: ModelProto, inputs: Sequence[str], outputs: Sequence[str], stop: Operator, followed: Follow, readable: Follow
) -> str:
    """What to do where an operator stops the reading: a call that was tried and reads a part of the graph."""
    if not any(node.op_type in RECURRENT for node in operators_in(model.graph)):
        return ("give a model with an RNN, LSTM or GRU, as torch.onnx.export(..., dynamo=False) writes it, or give the "
                "model itself to from_torch or from_keras; declare as a cell what a Loop or Scan computes")  # fmt: skip
    begins, names = _begins(model, followed(inputs, outputs), inputs)
    for begin in begins:
        if begin != list(inputs) and readable(begin, outputs):
            return f"cut the graph: {_call(begin, outputs)}"
        graph = followed(begin, [*outputs, *names])
        for name in islice(_ends(graph, stop) if graph else (), TRIES):
            if readable(begin, [name]):
                return f"cut the graph: {_call(begin, [name])}"
    return f"name the values between which it can be read, as in {_call(begins[-1], outputs)}"


def _begins(model: ModelProto, graph: Any, inputs: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """The inputs as they are, where the first recurrent node is read, or what it reads; and what it gives."""
    node = next(node for node in operators_in(model.graph) if node.op_type in RECURRENT)
    names = [name for name in node.output if name]
    if graph and isinstance(graph.values.get(names[0]), Flow):
        return [list(inputs)], names
    steps = node.input[0]
    states = [name for name in dict.fromkeys(node.input[5:7])
              if name and not isinstance(graph and graph.values.get(name), Known | Filled | Flow)]  # fmt: skip
    return [[steps], [steps, *states]] if states else [[steps]], names


def _ends(graph: Any, stop: Operator) -> Iterator[str]:
    """The values that are read and are no inputs: those that the operator reads, then all from the last on."""
    every = dict.fromkeys([*stop.node.input, *(name for _, name in reversed(graph.order))])
    return (name for name in every
            if isinstance(graph.values.get(name), Flow) and not graph.is_input(graph.values[name]))  # fmt: skip


def _call(inputs: Sequence[str], outputs: Sequence[str]) -> str:
    given = f"inputs={list(inputs)!r}, " if inputs else ""
    return f"from_onnx(model, {given}outputs={list(outputs)!r})"
