"""Numbers that a graph computes from numbers: each operator is run by ONNX's own reference implementation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from rnnspec.convert.onnx_flow import Filled, Known
from rnnspec.convert.onnx_operator import Operator

__all__ = ["folded"]

MOST = 1 << 24
"""The most numbers that an array may have to be computed; larger ones are all the same number, or not read."""
KEEPS = ("Expand", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Slice", "Gather", "Flatten",
         "Tile", "Split", "Concat", "ConstantOfShape")  # fmt: skip
"""The operators that keep an array of one number everywhere such an array."""
PLAIN: dict[str, Callable[..., Any]] = {
    "Not": lambda a: not a, "Mul": lambda a, b: a * b, "Add": lambda a, b: a + b, "Sub": lambda a, b: a - b,
    "And": lambda a, b: a and b, "Or": lambda a, b: a or b,
}  # fmt: skip
"""Operators on arrays of one number everywhere."""
DRAWN = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")


def folded(operator: Operator, operands: Sequence[Any]) -> list[Any] | None:
    """The values of an operator on numbers, or None where it draws them, is not ONNX's own, or gives too many."""
    if operator.kind in DRAWN or operator.node.domain not in ("", "ai.onnx") or operator.graphs:
        return None
    if operator.kind == "Constant":
        return [Known(_constant(operator))]
    if operator.kind in ("ConstantOfShape", "Expand") or any(isinstance(each, Filled) for each in operands):
        return _filled(operator, operands)
    arrays = [None if each is None else each.array for each in operands]
    free = any(each is not None and each.free for each in operands)
    source = next((each.quantised for each in operands if each is not None and each.quantised), None)
    if operator.kind == "DequantizeLinear":
        return [Known(_dequantised(operator, *arrays), free, operator)]
    try:
        return [Known(np.asarray(array), free, source) for array in _run(operator, arrays)]
    except RuntimeError:  # the reference implementation lacks some operators, or their older forms
        return None


def _dequantised(operator: Operator, whole: Any, scale: Any, zero: Any = None) -> Any:
    """The numbers that whole numbers stand for, with one scale, or one for each place along an axis."""
    axis = operator.option("axis", 1) if scale.ndim else 0
    wide = [a.reshape([-1 if i == axis else 1 for i in range(whole.ndim)]) if scale.ndim else a
            for a in (scale, np.zeros_like(scale) if zero is None else zero)]  # fmt: skip
    return ((whole.astype(np.float32) - wide[1].astype(np.float32)) * wide[0]).astype(scale.dtype)


def _run(operator: Operator, arrays: Sequence[Any]) -> list[Any]:
    names = [f"given{i}" if a is not None else "" for i, a in enumerate(arrays)]
    outputs = [name or f"none{i}" for i, name in enumerate(operator.node.output)]
    node = helper.make_node(operator.node.op_type, names, outputs)
    node.attribute.extend(operator.node.attribute)
    inputs, results = ([helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in some if name]
                       for some in (names, outputs))  # fmt: skip
    graph = helper.make_graph([node], "one", inputs, results)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", operator.opset)])
    given = {name: array for name, array in zip(names, arrays, strict=True) if name}
    return list(ReferenceEvaluator(model).run(None, given))


def _filled(operator: Operator, operands: Sequence[Any]) -> list[Any] | None:
    """The values of an operator on an array of one number everywhere, whose shape may not be known."""
    if operator.kind in PLAIN:
        numbers = [_one(each) for each in operands]
        return None if None in numbers else [Filled(float(PLAIN[operator.kind](*numbers)))]
    fill = _number(operator, operands)
    if operator.kind not in KEEPS:
        return None
    shape = operands[-1] if operator.kind in ("ConstantOfShape", "Expand") else None
    if not isinstance(shape, Known):
        return None if fill is None else [Filled(fill)] * len(operator.node.output)
    lengths = [int(n) for n in shape.array]
    if operator.kind == "Expand" and isinstance(operands[0], Known):
        own = operands[0]
        wide = np.broadcast_shapes(own.array.shape, tuple(lengths))
        return [Known(np.broadcast_to(own.array, wide), own.free or shape.free, own.quantised)]
    if fill is not None and math.prod(lengths) > MOST:
        return [Filled(fill)]
    value = numpy_helper.to_array(operator.options["value"]) if "value" in operator.options else np.zeros(1, np.float32)
    value = value if operator.kind == "ConstantOfShape" else np.full(1, fill, np.float32)
    return [Known(np.broadcast_to(value.ravel()[0], lengths), shape.free)]


def _number(operator: Operator, operands: Sequence[Any]) -> float | None:
    """The one number of all operands that hold numbers, or None."""
    if operator.kind == "ConstantOfShape":
        value = operator.options.get("value")
        return float(numpy_helper.to_array(value).ravel()[0]) if value is not None else 0.0
    found = set()
    for each in operands if operator.kind == "Concat" else operands[:1]:
        values = {each.value} if isinstance(each, Filled) else set(np.unique(each.array).tolist()) if each else set()
        found |= values
    return float(found.pop()) if len(found) == 1 else None


def _one(value: Any) -> float | None:
    """The one number of a value, or None."""
    if isinstance(value, Filled):
        return value.value
    return float(value.array.flat[0]) if value.array.size and (value.array == value.array.flat[0]).all() else None


def _constant(operator: Operator) -> Any:
    options = operator.options
    if "value" in options:
        return numpy_helper.to_array(options["value"])
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    name = next((name for name in kinds if name in options), None)
    return np.array(options[name], kinds[name]) if name else np.array(next(iter(options.values())))
