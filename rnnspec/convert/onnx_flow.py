"""The values of an ONNX graph that a network is read from: inputs, steps of layers, logits, each with named axes.

Operators such as Transpose, Reshape, Squeeze, Gather and Concat only move axes. Operators that compute are not read
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["PLUMBING", "Flow", "Given", "Logits", "Unread", "Zeros", "is_zero", "plumbed"]


@dataclass(frozen=True)
class Given:
    """An input of the graph and the order of its axes; `axes` is empty where the value is only part of the input."""

    name: str
    axes: tuple[int, ...] = (0, 1, 2)


@dataclass(frozen=True)
class Flow:
    """The steps of layers, or their last steps.

    `axes` names the axes. `halves` is the (layer, half) of each entry of the axis `half`, or of each part of the
    features where that axis is missing. `state` marks a final state that is no output. `ragged` says that the graph
    has lengths.
    """

    axes: tuple[str, ...]
    halves: tuple[tuple[int, str], ...]
    state: bool = False
    ragged: bool = False

    @property
    def last(self) -> bool:
        """Whether these are last steps."""
        return "time" not in self.axes


@dataclass(frozen=True)
class Logits:
    """The outputs of the output layer; its bias may not have been added yet."""

    flow: Flow
    weight: Any
    bias: Any = None


@dataclass(frozen=True)
class Zeros:
    """Zeros of any shape."""


@dataclass(frozen=True)
class Unread:
    """A value computed from sizes or numbers, which no network is read from."""

    operator: str


PLUMBING = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Gather", "Slice", "Concat", "Expand", "Cast", "Identity")


def plumbed(operator: str, options: Mapping[str, Any], operands: Sequence[Any]) -> Any:
    """The value that an operator returns, or None where it cannot be read."""
    data = operands[0]
    if operator == "Identity":
        return data
    if isinstance(data, Flow):
        move = MOVES.get(operator)
        return move(data, options, operands) if move else None
    if operator not in PLUMBING:
        return Unread(operator)
    parts = operands if operator == "Concat" else operands[:1]
    if all(map(is_zero, parts)):
        return Zeros()
    return _turned(operator, options, data) if len(parts) == 1 else Unread(operator)


def _turned(operator: str, options: Mapping[str, Any], data: Any) -> Any:
    turns = operator == "Transpose"
    if isinstance(data, np.ndarray) and turns:
        return data.transpose(options.get("perm"))
    if isinstance(data, Given):
        axes = tuple(data.axes[i] for i in _order(options, data.axes)) if turns and data.axes else ()
        return replace(data, axes=axes)
    return Unread(operator)


def _order(options: Mapping[str, Any], axes: Sequence[Any]) -> list[int]:
    return list(options.get("perm", range(len(axes))[::-1]))


def is_zero(value: Any) -> bool:
    """Whether a value is zeros: numbers, or `Zeros()`."""
    return isinstance(value, Zeros) or (isinstance(value, np.ndarray) and value.dtype.kind == "f" and not value.any())


def _transpose(flow: Flow, options: Mapping[str, Any], operands: Sequence[Any]) -> Flow | None:
    return replace(flow, axes=tuple(flow.axes[i] for i in _order(options, flow.axes)))


def _reshape(flow: Flow, options: Mapping[str, Any], operands: Sequence[Any]) -> Flow | None:
    """Concatenate halves: the last two axes become one, all others stay."""
    kept = isinstance(operands[1], np.ndarray) and operands[1].tolist() == [0] * (len(flow.axes) - 2) + [-1]
    kept = kept and not options.get("allowzero", 0)
    return replace(flow, axes=(*flow.axes[:-2], "feature")) if kept and flow.axes[-2:] == ("half", "feature") else None


def _squeeze(flow: Flow, options: Mapping[str, Any], operands: Sequence[Any]) -> Flow | None:
    given = operands[1] if len(operands) > 1 else np.array(options.get("axes", []))
    if not isinstance(given, np.ndarray) or given.size != 1 or len(flow.halves) != 1:
        return None
    return _without(flow, int(given.item())) if flow.axes[int(given.item())] == "half" else None


def _gather(flow: Flow, options: Mapping[str, Any], operands: Sequence[Any]) -> Flow | None:
    """Take one half, or the last processed step of every half."""
    axis, index = options.get("axis", 0), operands[1]
    if not isinstance(index, np.ndarray) or index.ndim:
        return None
    if flow.axes[axis] == "half" and -len(flow.halves) <= int(index) < len(flow.halves):
        return replace(_without(flow, axis), halves=(flow.halves[int(index)],))
    ends = {"forward": None if flow.ragged else -1, "reverse": 0}  # at time -1 a shorter row holds zeros
    if flow.axes[axis] == "time" and all(ends[half] == int(index) for _, half in flow.halves):
        return _without(flow, axis)
    return None


def _without(flow: Flow, axis: int) -> Flow:
    axes = list(flow.axes)
    del axes[axis]
    return replace(flow, axes=tuple(axes))


def _concat(flow: Flow, options: Mapping[str, Any], operands: Sequence[Any]) -> Flow | None:
    """Join halves along their axis, or along the features."""
    alike = all(isinstance(o, Flow) and (o.axes, o.state) == (flow.axes, flow.state) for o in operands)
    along = "half" if "half" in flow.axes else "feature"
    if not alike or flow.axes[options["axis"]] != along:
        return None
    return replace(flow, halves=tuple(half for operand in operands for half in operand.halves))


MOVES = {"Transpose": _transpose, "Reshape": _reshape, "Squeeze": _squeeze, "Gather": _gather, "Concat": _concat}
