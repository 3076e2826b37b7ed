"""Operators of ONNX that move, join, part or select whole axes, and compute nothing.

Each takes the reading, the operator and its operands, the first of which is a flow, and returns the values that the
operator gives, or None where it does not keep axes whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.convert.onnx_features import END, START, Select
from rnnspec.convert.onnx_flow import Axis, Fixed, Flow, Known, NotFollowed, plain
from rnnspec.convert.onnx_operator import Operator

if TYPE_CHECKING:
    from rnnspec.convert.onnx_state import Reading

__all__ = ["MOVES"]

Values = Any
FLOATS = (1, 10, 11, 16)
"""The numbers of the floating-point types."""


def _transpose(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow = operands[0]
    return flow.transposed(operator.option("perm", list(range(len(flow.axes)))[::-1]))


def _reshape(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, shape = operands[0], plain(operator.options, operands[1] if len(operands) > 1 else None, "shape")
    if shape is None:
        return None
    own = flow.shape(graph.sizes)
    if not operator.option("allowzero", 0):
        shape = [own[i] if n == 0 and i < len(own) else n for i, n in enumerate(shape)]
    rest = math.prod(n for n in shape if n != -1)
    whole = [math.prod(own) // max(rest, 1) if n == -1 else n for n in shape]
    fits = min(whole, default=1) > 0 and math.prod(whole) == math.prod(own)
    found = flow.regrouped(whole, graph.sizes) if fits else None
    lengths = graph.sizes.fitting(flow.factors(graph.sizes), shape) if found is None else {}
    if lengths:
        raise Fixed(lengths)
    return found


def _flatten(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, axis = operands[0], operator.option("axis", 1)
    own = flow.shape(graph.sizes)
    return flow.regrouped((math.prod(own[:axis]), math.prod(own[axis:])), graph.sizes)


def _squeeze(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, given = operands[0], plain(operator.options, operands[1] if len(operands) > 1 else None, "axes")
    if len(operands) > 1 and operands[1] is not None and given is None:
        return None
    rank = len(flow.axes)
    gone = {i for i, axis in enumerate(flow.axes) if axis == ()} if given is None else {_place(i, rank) for i in given}
    if any(flow.axes[i] != () for i in gone):
        return None
    return flow.moved(np.squeeze(flow.numbers, tuple(gone)), [a for i, a in enumerate(flow.axes) if i not in gone])


def _unsqueeze(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, given = operands[0], plain(operator.options, operands[1] if len(operands) > 1 else None, "axes")
    if given is None:
        return None
    rank = len(flow.axes) + len(given)
    added = sorted(_place(i, rank) for i in given)
    axes = list(flow.axes)
    for i in added:
        axes.insert(i, ())
    return flow.moved(np.expand_dims(flow.numbers, tuple(added)), axes)


def _gather(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, index = operands
    if not isinstance(index, Known) or (index.array.ndim > 1 and index.array.size != 1):
        return None
    axis = _place(operator.option("axis", 0), len(flow.axes))
    places = [int(i) for i in index.array.ravel()]
    found = _picked(graph, operator, flow, axis, [i + flow.shape(graph.sizes)[axis] * (i < 0) for i in places])
    if found is None or index.array.ndim == 1:
        return found
    shape = (*found.numbers.shape[:axis], *index.array.shape, *found.numbers.shape[axis + 1:])
    axes: list[Axis] = [*found.axes[:axis], *[()] * index.array.ndim, *found.axes[axis + 1:]]
    return found.moved(found.numbers.reshape(shape), axes)


def _slice(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow = operands[0]
    given = [plain(operator.options, operands[i] if len(operands) > i else None, name)
             for i, name in enumerate(("", "starts", "ends", "axes", "steps")) if i]  # fmt: skip
    starts, ends = given[:2]
    if starts is None or ends is None:
        return None
    axes, steps = given[2] or list(range(len(starts))), given[3] or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = _place(axis, len(flow.axes))
        length = flow.shape(graph.sizes)[place]
        flow = _picked(graph, operator, flow, place, list(range(length)[start:end:step]))
        if flow is None:
            return None
    return flow


def _picked(graph: Reading, operator: Operator, flow: Flow, axis: int, places: list[int]) -> Flow | None:
    """These places along an axis, which stays: any features, but of times the whole or one of the two ends."""
    length, own = flow.shape(graph.sizes)[axis], flow.axes[axis]
    if any(not 0 <= i < length for i in places):
        raise IndexError(f"{operator} reads place {max(places)} of an axis of length {length}")
    if places == list(range(length)):
        return flow
    if own is None:
        return flow.moved(flow.numbers.take(places, axis), flow.axes)
    if not own:
        return None
    if places == list(range(length))[::-1]:
        return _turned(flow, own, "") if len(own) == 1 else None
    if len(places) == 1 and own == graph.time and places[0] in (0, length - 1):
        return _selected(graph, operator, flow, axis, places[0] > 0)
    if own == graph.time:
        raise NotFollowed("it takes steps other than the last one, or all of them in reverse order")
    bound = graph.bound(flow, axis, length) if graph.is_whole(flow) else None
    return bound and bound.moved(bound.numbers.take(places, axis), bound.axes)


def _selected(graph: Reading, operator: Operator, flow: Flow, axis: int, at_end: bool) -> Flow | None:
    """One end of time; that of rows with lengths is no last step."""
    turned = dict(flow.turned)
    own = flow.axes[axis]
    last = at_end != bool(own and own[0] in turned)
    if graph.lengths and (last or turned):
        raise NotFollowed("at the last time, rows that end before it have no step: Y_h selects the last step of each "
                          "direction")  # fmt: skip
    flow = replace(flow, turned=frozenset(turn for turn in flow.turned if turn[0] not in (own or ())))
    numbers = graph.features.new(Select(operator, flow.numbers.ravel(), END if last else START), flow.numbers.size)
    axes = [() if i == axis else each for i, each in enumerate(flow.axes)]
    return flow.moved(numbers.reshape(flow.numbers.shape), axes)


def _turned(flow: Flow, axis: tuple[str, ...], lengths: str) -> Flow:
    return replace(flow, turned=flow.turned ^ {(axis[0], lengths)})


def _reverse_sequence(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, lengths = operands
    time, batch = operator.option("time_axis", 0), operator.option("batch_axis", 1)
    axis = flow.axes[time]
    if not axis or len(axis) != 1 or flow.axes[batch] is None:
        return None
    if isinstance(lengths, Known):
        whole = lengths.array.size and (lengths.array == graph.sizes.of(axis)).all()
        return _turned(flow, axis, "") if whole else None
    name = graph.input_of(lengths)
    return _turned(flow, axis, name) if name else None


def _split(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, axis = operands[0], _place(operator.option("axis", 0), len(operands[0].axes))
    length, parts = flow.shape(graph.sizes)[axis], len(operator.node.output)
    even = [-(-length // parts)] * (parts - 1)
    given = plain(operator.options, operands[1] if len(operands) > 1 else None, "split") or [*even, length - sum(even)]
    ends = np.cumsum(given).tolist()
    found = [_picked(graph, operator, flow, axis, list(range(end - n, end)))
             for n, end in zip(given, ends, strict=True)]  # fmt: skip
    return None if any(each is None for each in found) else found


def _concat(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    if not all(isinstance(operand, Flow) for operand in operands):
        return None
    if len(operands) == 1:
        return operands[0]
    axis, first = _place(operator.option("axis", 0), len(operands[0].axes)), operands[0]
    axes: list[Axis] = [None if i == axis else each for i, each in enumerate(first.axes)]
    alike = all(o.turned == first.turned and len(o.axes) == len(axes) and not o.axes[axis]
                and [None if i == axis else a for i, a in enumerate(o.axes)] == axes for o in operands)  # fmt: skip
    return first.moved(np.concatenate([o.numbers for o in operands], axis), axes) if alike else None


def _expand(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, shape = operands[0], plain(operator.options, operands[1], "shape")
    if shape is None:
        return None
    own = flow.shape(graph.sizes)
    more = max(len(shape) - len(own), 0)
    wide = (*[1] * more, *own)
    if any(n not in (1, there) for n, there in zip(shape[::-1], wide[::-1], strict=False)):
        return None
    return flow.moved(flow.numbers.reshape((1,) * more + flow.numbers.shape), [()] * more + list(flow.axes))


def _cast(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """Numbers stay what they are, except where features become whole numbers."""
    (flow,) = operands[:1]
    whole = operator.option("to", FLOATS[0]) not in FLOATS
    return None if whole and not graph.is_input(flow) else flow


def _dropout(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """A dropout outside training."""
    training = operands[2] if len(operands) > 2 else None
    if training is not None and not (isinstance(training, Known) and not training.array.any()):
        return None
    return [operands[0], None]


def _identity(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    return operands[0]


def _shape(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow = operands[0]
    part = slice(operator.option("start", 0), operator.option("end"))
    return Known(np.array(flow.shape(graph.sizes)[part], np.int64), any(map(graph.sizes.is_free, flow.axes[part])))


def _size(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    shape = _shape(graph, operator, operands)
    return Known(np.array(math.prod(shape.array.tolist())), shape.free)


def _place(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise IndexError(f"axis {axis} of an array with {rank} axes")
    return axis % rank if rank else 0


MOVES: dict[str, Callable[[Any, Operator, Sequence[Any]], Values]] = {
    "Transpose": _transpose, "Reshape": _reshape, "Flatten": _flatten, "Squeeze": _squeeze, "Unsqueeze": _unsqueeze,
    "Gather": _gather, "Slice": _slice, "ReverseSequence": _reverse_sequence, "Split": _split, "Concat": _concat,
    "Expand": _expand, "Cast": _cast, "CastLike": _identity, "Dropout": _dropout, "Identity": _identity,
    "Shape": _shape, "Size": _size,
}  # fmt: skip
