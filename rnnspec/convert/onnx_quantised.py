"""Quantised operators: whole numbers with a scale, read as the numbers that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.convert.onnx_features import Affine
from rnnspec.convert.onnx_flow import Flow, Known
from rnnspec.convert.onnx_operator import Operator

if TYPE_CHECKING:
    from rnnspec.convert.onnx_state import Reading

__all__ = ["LSTM", "QUANTISED", "recurrent_weights"]

LSTM = "com.microsoft.DynamicQuantizeLSTM"
SCALES = {"W": (8, 9), "R": (10, 11)}
"""The operands of a quantised LSTM that hold the scale and the zero of each map."""


def recurrent_weights(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Mapping[str, Any]:
    """W and R of a quantised LSTM, which stores them as (direction, in, out); empty where they are no numbers."""
    graph.quantised()
    found = {}
    for i, (name, places) in enumerate(SCALES.items(), start=1):
        given: list[Any] = [operands[place] if place < len(operands) else None for place in (i, *places)]
        if not all(isinstance(each, Known) and not each.free for each in given[:2]):
            return {}
        whole, scale = given[0].array.astype(np.float32), given[1].array
        zero = given[2].array.astype(np.float32) if isinstance(given[2], Known) else np.zeros(1, np.float32)
        wide = [a.reshape(len(a) if a.ndim else 1, 1, -1) for a in (scale, zero)]
        found[name] = ((whole - wide[1]) * wide[0]).astype(np.float32).transpose(0, 2, 1)
    return found


def _rounded(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Any:
    """QuantizeLinear or DequantizeLinear of features: the network does not round them."""
    if not isinstance(operands[0], Flow):
        return None
    graph.quantised()
    return operands[0]


def _dynamic(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Any:
    """DynamicQuantizeLinear: the features, then a scale and a zero that stand for 1 and 0."""
    flow = _rounded(graph, operator, operands)
    return flow and [flow, Known(np.ones((), np.float32), quantised=operator), Known(np.zeros((), np.uint8))]


def _matmul_integer(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Any:
    """A map by whole numbers, whose scale the graph multiplies later."""
    flow, weight = operands[:2]
    zero = operands[3] if len(operands) > 3 else None
    if not isinstance(flow, Flow) or not isinstance(weight, Known) or weight.array.ndim != 2:
        return None
    graph.quantised()
    whole = weight.array.astype(np.float32) - (0 if zero is None else zero.array.astype(np.float32))
    bound = graph.bound(flow, -1, len(whole))
    if bound is None or any(axis is None for axis in bound.axes[:-1]) or bound.numbers.size != len(whole):
        return None
    numbers = graph.features.new(Affine(operator, bound.numbers.ravel(), whole.T), whole.shape[1])
    return bound.moved(numbers.reshape((*bound.numbers.shape[:-1], -1)), (*bound.axes[:-1], None))


QUANTISED: dict[str, Callable[[Any, Operator, Sequence[Any]], Any]] = {
    "QuantizeLinear": _rounded, "DequantizeLinear": _rounded, "DynamicQuantizeLinear": _dynamic,
    "MatMulInteger": _matmul_integer,
}  # fmt: skip
