"""A recurrent node in a graph: it reads steps, and gives steps, last steps and final states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from rnnspec.convert.conversion import Note
from rnnspec.convert.onnx_features import END, START, Half, Select, State
from rnnspec.convert.onnx_flow import Filled, Flow, Known, Unread, is_zero
from rnnspec.convert.onnx_node import OPERANDS, RecurrentNode
from rnnspec.convert.onnx_operator import Operator
from rnnspec.convert.onnx_quantised import LSTM, recurrent_weights
from rnnspec.errors import UnsupportedError
from rnnspec.layer import DIRECTIONS

if TYPE_CHECKING:
    from rnnspec.convert.onnx_state import Reading

__all__ = ["RECURRENT", "Initial", "recurrent"]

RECURRENT = {"RNN": "RNN", "LSTM": "LSTM", "GRU": "GRU", LSTM: "LSTM"}
"""The operators, and what each computes."""
STATES = {"initial_h": "h", "initial_c": "c"}
TURNED = dict(zip(DIRECTIONS, reversed(DIRECTIONS["bidirectional"]), strict=False))


@dataclass(frozen=True, eq=False)
class Initial:
    """An initial state of one direction: the name of the input that gives it, or one row of numbers."""

    operator: Operator
    operand: str
    half: Half
    name: str
    row: Any = None

    @property
    def state(self) -> str:
        """The name of the state."""
        return STATES[self.operand]


def recurrent(graph: Reading, operator: Operator, operands: Sequence[Any]) -> list[Any]:
    """The values Y, Y_h and Y_c."""
    given = {name: value for name, value in zip(OPERANDS, operands, strict=False) if value is not None}
    steps = given.get("X")
    if isinstance(steps, Unread):
        return [steps] * 3
    node = _node(graph, operator, given, operands)
    flow = _steps(graph, node, steps)
    if flow is None:
        part = graph.is_input(steps) and graph.time is None
        why = f"it reads a part of {graph.input_of(steps)!r}" if part else "it does not read all steps of a layer"
        return [Unread(operator, why=why)] * 3
    _take_lengths(graph, operator, given.get("sequence_lens"))
    _check_turn(graph, operator, flow)
    source = flow.numbers.ravel()
    halves = [Half(operator, source, node, i, TURNED[name] if flow.turned else name)
              for i, name in enumerate(node.directions)]  # fmt: skip
    for name in STATES.keys() & given.keys():
        _take_state(graph, operator, name, given[name], halves)
    return _outputs(graph, flow, halves)


def _node(graph: Reading, operator: Operator, given: Mapping[str, Any], operands: Sequence[Any]) -> RecurrentNode:
    kind = RECURRENT[operator.kind]
    weights = dict(recurrent_weights(graph, operator, operands)) if operator.kind == LSTM else {}
    for name in [name for name in "WRBP" if name in given and name not in weights]:
        array = graph.weight(operator, given[name])
        if array is None:
            _refuse(graph, operator, f"{name} of a recurrent node must be numbers that the graph holds",
                    _said(graph, given[name]), "make it an initializer, or fold the constants")  # fmt: skip
        weights[name] = array
    if not {"W", "R"} <= weights.keys():
        _refuse(graph, operator, "a recurrent node must have W and R", "neither or one", "give a valid model")
    try:
        return RecurrentNode(operator, kind, weights)
    except ValueError as error:
        _refuse(graph, operator, "a recurrent node must have the attributes and activations of ONNX's text",
                str(error), "declare a cell that computes this")  # fmt: skip


def _steps(graph: Reading, node: RecurrentNode, steps: Any) -> Flow | None:
    """The steps as (time, batch, feature), or None where the operand is no such steps."""
    if not isinstance(steps, Flow) or len(steps.axes) != 3:
        return None
    flow = graph.bound(steps.transposed((1, 0, 2)) if node.batch_first else steps, 2, node.inputs)
    if flow is None or flow.axes[0] is None or flow.axes[1] is None:
        return None
    if graph.time is None:
        graph.time, graph.batch = flow.axes[:2]
    return flow if (graph.time, graph.batch) == flow.axes[:2] else None


def _take_lengths(graph: Reading, operator: Operator, value: Any) -> None:
    """Check that all nodes have the same lengths, those that are an input or numbers."""
    if isinstance(value, Unread) or (isinstance(value, Flow) and not graph.input_of(value)):
        _refuse(graph, operator, "sequence_lens must be an input of its own, or numbers", _said(graph, value),
                "make it an input of the graph, and give it to `run` as lengths")  # fmt: skip
    name = graph.input_of(value) if isinstance(value, Flow) else _constant_lengths(graph, value)
    if graph.lengths not in (name, "") or (name and not graph.lengths and graph.has_layers):
        _refuse(graph, operator, "every recurrent node must be given the same sequence_lens",
                f"{name or 'none'} after {graph.lengths or 'none'}", "give all of them the same input")  # fmt: skip
    graph.has_layers = True
    if name and not graph.lengths:
        graph.lengths = name
        constant = not isinstance(value, Flow)
        graph.note("", Note.FIXED_LENGTHS if constant else Note.LENGTHS, name)


def _constant_lengths(graph: Reading, value: Any) -> str:
    """The text of lengths that are numbers; the empty text where every row has all steps."""
    array = np.array([]) if value is None else np.atleast_1d(value.value if isinstance(value, Filled) else value.array)
    whole = graph.sizes.of(graph.time)
    if (array == whole).all() or (graph.sizes.is_free(graph.time) and getattr(value, "free", False)):
        return ""
    return str(array.tolist())


def _check_turn(graph: Reading, operator: Operator, flow: Flow) -> None:
    """Time may stand in reverse order: within the lengths of rows, where the graph has any."""
    if flow.turned and flow.turned != {(*graph.time, graph.lengths)}:
        _refuse(graph, operator, "steps in reverse order must be all steps of each row, within the same sequence_lens",
                f"{sorted(flow.turned)}", "turn them by ReverseSequence with these lengths")  # fmt: skip


def _take_state(graph: Reading, operator: Operator, name: str, value: Any, halves: Sequence[Half]) -> None:
    """Take an initial state that is an input of its own, or the same numbers for every row."""
    if is_zero(value):
        return
    for i, half in enumerate(halves):
        if graph.is_input(value):
            graph.initials.append(Initial(operator, name, half, graph.input_of(value) or "several inputs"))
        elif isinstance(value, Known | Filled) and (row := _row(value, half, i)) is not None:
            graph.initials.append(Initial(operator, name, half, "", row))
        else:
            _refuse(graph, operator, f"{name} must be an input of its own, or the same numbers for every row",
                    _said(graph, value), "cut the graph there: name it among the inputs, and give it to `run` as state")


def _row(value: Known | Filled, half: Half, index: int) -> Any:
    width = half.node.width
    if isinstance(value, Filled):
        return np.full(width, value.value, np.float32)
    array = value.array.swapaxes(0, 1) if half.node.batch_first else value.array
    own = np.broadcast_to(array, np.broadcast_shapes(array.shape, (len(half.node.directions), 1, width)))[index]
    return np.array(own[0]) if (own == own[0]).all() else None


def _outputs(graph: Reading, flow: Flow, halves: Sequence[Half]) -> list[Flow]:
    node, width = halves[0].node, halves[0].node.width
    own = [graph.features.new(half, width) for half in halves]
    times = {"forward": END, "reverse": START}
    ends = [graph.features.new(Select(half.operator, numbers, times[half.direction], half), width)
            for half, numbers in zip(halves, own, strict=True)]  # fmt: skip
    cells = [graph.features.new(State(half), width) for half in halves]
    time, batch = flow.axes[:2]

    def stacked(numbers: list[Any], *axes: Any) -> Flow:
        shape = [len(halves), *[1] * (len(axes) - 2), width]
        return Flow(np.zeros(()), ()).moved(np.array(numbers).reshape(shape), axes)

    states = [stacked(numbers, None, batch, None) for numbers in (ends, cells)]
    steps = stacked(own, None, time, batch, None)
    steps = replace(steps.transposed((2, 1, 0, 3) if node.batch_first else (1, 0, 2, 3)), turned=flow.turned)
    return [steps, *(each.transposed((1, 0, 2)) if node.batch_first else each for each in states)]


def _said(graph: Reading, value: Any) -> str:
    """The text for a value in errors."""
    if isinstance(value, Unread):
        return f"what comes from {value.operator}" if value.operator else f"{value.name!r}, which nothing gives"
    if isinstance(value, Known | Filled):
        return "numbers that differ from row to row, or depend on lengths"
    name = graph.input_of(value)
    return f"the input {name!r}, or a part of it," if name else "a value made from the steps"


def _refuse(graph: Reading, operator: Operator, must: str, got: str, do: str) -> NoReturn:
    raise UnsupportedError(graph.call, must, f"{got} in {operator}", do)
