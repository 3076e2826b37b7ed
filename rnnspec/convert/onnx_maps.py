"""Operators of ONNX that compute features from those of the same row and step: maps, factors, norms and sums.

Each takes the graph, the operator and its operands, one of which is a flow, and returns the value that the operator
gives, or None where it is none of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.convert.onnx_features import Affine, End, Function, Lookup, Norm, Sum
from rnnspec.convert.onnx_flow import Filled, Flow, Known, NotFollowed, is_zero
from rnnspec.convert.onnx_operator import Operator
from rnnspec.convert.onnx_pointwise import combined, common

if TYPE_CHECKING:
    from rnnspec.convert.onnx_state import Reading

__all__ = ["MAPS", "lookup"]

Values = Any


def _matmul(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, weight = operands
    return _mapped(graph, operator, flow, graph.weight(operator, weight), None)


def lookup(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """Gather of the rows of a table, by class numbers that are an input."""
    table, numbers = graph.weight(operator, operands[0]), operands[1]
    if table is None or table.ndim != 2 or operator.option("axis", 0) not in (0, -2) or not graph.is_whole(numbers):
        return None
    found = graph.features.new(Lookup(operator, graph.input_of(numbers), table))
    return numbers.moved(found.reshape((*numbers.numbers.shape, -1)), (*numbers.axes, None))


def _gemm(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, weight, bias = operands[0], graph.weight(operator, operands[1]), None
    if operator.option("alpha", 1.0) != 1.0 or operator.option("beta", 1.0) != 1.0 or operator.option("transA", 0):
        return None
    if weight is None:
        return None
    if len(operands) > 2 and operands[2] is not None:
        bias = _vector(graph.weight(operator, operands[2]), weight.shape[0 if operator.option("transB", 0) else 1])
        if bias is None:
            return None
    return _mapped(graph, operator, flow, weight.T if operator.option("transB", 0) else weight, bias)


def _mapped(graph: Reading, operator: Operator, flow: Any, weight: Any, bias: Any) -> Flow | None:
    """The flow mapped by `weight` (in, out) along its last axis."""
    if not isinstance(flow, Flow) or weight is None or weight.ndim != 2:
        return None
    wide = graph.bound(flow, -1, weight.shape[0])
    if wide is None or any(axis is None for axis in wide.axes[:-1]) or wide.numbers.size != len(weight):
        return None
    numbers = graph.features.new(Affine(operator, wide.numbers.ravel(), weight.T, bias), weight.shape[1])
    return wide.moved(numbers.reshape((*wide.numbers.shape[:-1], -1)), (*wide.axes[:-1], None))


def _convolution(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """Conv whose kernel is one step: a map of the features, which are the second axis."""
    flow, weight = operands[0], graph.weight(operator, operands[1])
    if weight is None or max(weight.shape[2:]) > 1:
        raise NotFollowed("it computes a step from several")
    bias = graph.weight(operator, operands[2]) if len(operands) > 2 and operands[2] is not None else None
    moves = [n for name in ("pads", "strides") for n in operator.option(name, ())]
    if operator.option("group", 1) != 1 or not set(moves) <= {0, 1} or any(operator.option("pads", ())):
        return None
    order = [0, *range(2, len(flow.axes)), 1]
    mapped = _mapped(graph, operator, flow.transposed(order), weight.reshape(weight.shape[:2]).T, bias)
    return None if mapped is None else mapped.transposed(np.argsort(order).tolist())


def _vector(array: Any, width: int) -> Any:
    """An array that is the same for every row and step, as one number for each of so many features, or None."""
    if array is None or (array.ndim and max(array.shape[:-1], default=1) > 1) or array.size not in (1, width):
        return None
    return np.broadcast_to(array.ravel(), (width,))


def _add(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, other = operands if isinstance(operands[0], Flow) else operands[::-1]
    if isinstance(other, Flow):
        return _sum(graph, operator, flow, other)
    if is_zero(other) and getattr(getattr(other, "array", None), "size", 1) == 1:
        return flow
    return _shifted(graph, operator, flow, other, 1)


def _sum(graph: Reading, operator: Operator, flow: Flow, other: Flow) -> Flow | None:
    if flow.axes != other.axes and graph.is_input(flow) != graph.is_input(other):
        given, full = (flow, other) if graph.is_input(flow) else (other, flow)
        bound = graph.bound(given, -1, full.numbers.shape[-1])
        flow, other = (bound, full) if bound else (flow, other)
    if flow.axes != other.axes or flow.turned != other.turned or flow.numbers.shape != other.numbers.shape:
        return None
    one, two = flow.numbers.ravel(), other.numbers.ravel()
    found = common(graph, one, two, lambda a, b: a + b)
    if found is not None:
        return graph.staged(flow, Function(operator, *found))
    return graph.staged(flow, Sum(operator, one, two))


def _subtract(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    if isinstance(operands[0], Flow) and isinstance(operands[1], Flow):
        return combined(graph, operator, operands[0], operands[1], lambda a, b: a - b)
    return _shifted(graph, operator, operands[0], operands[1], -1) if isinstance(operands[0], Flow) else None


def _shifted(graph: Reading, operator: Operator, flow: Flow, other: Any, sign: int) -> Flow | None:
    found = _of_features(graph, operator, flow, other)
    if found is None:
        return None
    flow, shift = found
    shift = shift if sign == 1 else -shift
    numbers = flow.numbers.ravel()
    origin = graph.features.origin(numbers)
    stage = origin.stages[0]
    whole = len(origin.stages) == 1 and isinstance(stage, Affine) and stage.bias is None
    if whole and np.array_equal(origin.columns, np.arange(len(stage.weight))):
        return graph.staged(flow, Affine(stage.operator, stage.source, stage.weight, shift))
    return graph.staged(flow, Affine(operator, numbers, np.ones(len(numbers), shift.dtype), shift))


def _multiply(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, other = operands if isinstance(operands[0], Flow) else operands[::-1]
    if isinstance(other, Flow):
        return combined(graph, operator, flow, other, lambda a, b: a * b)
    if isinstance(other, Filled) and other.value == 1:
        return flow
    found = _of_features(graph, operator, flow, other)
    if found is None:
        return None
    return found[0] if (found[1] == 1).all() else graph.staged(found[0], Affine(operator, found[0].numbers.ravel(),
                                                                              found[1]))  # fmt: skip


def _divide(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    if isinstance(operands[0], Flow) and isinstance(operands[1], Flow):
        return combined(graph, operator, operands[0], operands[1], lambda a, b: a / b)
    if not isinstance(operands[0], Flow) or not isinstance(operands[1], Known):
        return None
    return _multiply(graph, operator, (operands[0], Known(1 / operands[1].array, operands[1].free)))


def _of_features(graph: Reading, operator: Operator, flow: Flow, other: Any) -> tuple[Flow, Any] | None:
    """The flow with its features along its last axis, and one number for each of them."""
    array = graph.weight(operator, other)
    if array is None or not flow.axes:
        return None
    bound = graph.bound(flow, -1, array.size) if array.size > 1 else flow
    if bound is None or any(axis is None for axis in bound.axes[:-1]) or graph.is_input(bound):
        return None
    vector = _vector(array, bound.numbers.size)
    return None if vector is None else (bound, vector)


def _batch_norm(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """BatchNormalization in inference, whose features are the second axis."""
    flow, *given = operands
    scale, shift, mean, variance = (graph.weight(operator, each) for each in given)
    if operator.option("training_mode", 0) or any(a is None for a in (scale, shift, mean, variance)):
        return None
    flow = graph.bound(flow, 1, scale.size)
    if flow is None or len(flow.axes) < 2 or any(axis is None for i, axis in enumerate(flow.axes) if i != 1):
        return None
    if flow.numbers.size != scale.size:
        return None
    factor = scale / np.sqrt(variance.astype(np.float64) + operator.option("epsilon", 1e-5))
    moved = (shift - mean * factor).astype(scale.dtype)
    return graph.staged(flow, Affine(operator, flow.numbers.ravel(), factor.astype(scale.dtype), moved))


def _layer_norm(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, *given = operands
    arrays = [graph.weight(operator, each) for each in given if each is not None]
    axis = operator.option("axis", -1)
    if any(a is None or a.ndim > 1 for a in arrays) or axis not in (-1, len(flow.axes) - 1):
        return None
    flow = graph.bound(flow, -1, arrays[0].size)
    if flow is None or any(each is None for each in flow.axes[:-1]) or arrays[0].size != flow.numbers.size:
        return None
    scale, shift = (*arrays, None)[:2]
    return graph.staged(flow, Norm(operator, flow.numbers.ravel(), scale, shift, operator.option("epsilon", 1e-5)))


def _end(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow = operands[0]
    axis = operator.option("axis", -1 if operator.opset >= 13 else 1)
    last = axis in (-1, len(flow.axes) - 1) and not any(each is None for each in flow.axes[:-1])
    return graph.staged(flow, End(operator, flow.numbers.ravel())) if last and not graph.is_input(flow) else None


MAPS: dict[str, Callable[[Any, Operator, Sequence[Any]], Values]] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _convolution, "Add": _add, "Sub": _subtract, "Mul": _multiply,
    "Div": _divide, "BatchNormalization": _batch_norm, "LayerNormalization": _layer_norm, "Softmax": _end,
    "LogSoftmax": _end,
}  # fmt: skip
