"""Operators of ONNX that compute each feature by a function of one feature: activations, and what is made of them.

A graph may write an activation out, as in x * sigmoid(x). Two flows that are functions of the same features are
combined to one function of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.convert.onnx_features import Affine, Function, Stage
from rnnspec.convert.onnx_flow import Flow, Known, plain
from rnnspec.convert.onnx_functions import ACTIVATIONS, Activation
from rnnspec.convert.onnx_operator import Operator
from rnnspec.primitives import cos, erf, exp, log, maximum, mean, minimum, sigmoid, sin, softplus, sqrt, tanh

if TYPE_CHECKING:
    from rnnspec.convert.onnx_state import Reading

__all__ = ["FUNCTIONS", "combined", "common"]

Values = Any
Plain = Callable[[Any], Any]


def _pointwise(graph: Reading, numbers: Any) -> list[tuple[Any, Plain]]:
    """The features that these are functions of, each by itself, from these on back, with the functions."""
    found: list[tuple[Any, Plain]] = [(numbers, lambda a: a)]
    while True:
        origin = graph.features.origin(found[-1][0])
        stage, width = origin.stages[0], len(found[-1][0])
        if len(origin.stages) > 1 or not np.array_equal(origin.columns, np.arange(width)):
            return found
        step = _step(stage)
        if step is None:
            return found
        found.append((step[0], _after(found[-1][1], step[1])))


def _after(then: Plain, first: Plain) -> Plain:
    return lambda a: then(first(a))


def _step(stage: Stage) -> tuple[Any, Plain] | None:
    """What a stage reads and its function of each feature, where it is the same function of all."""
    if isinstance(stage, Function):
        return stage.source, stage.function
    if not isinstance(stage, Affine) or stage.weight.ndim > 1:
        return None
    pair = [stage.weight, np.zeros(1) if stage.bias is None else stage.bias]
    if any((each != each[0]).any() for each in pair):
        return None
    factor, shift = (float(each[0]) for each in pair)
    return stage.source, lambda a: (a if factor == 1 else factor * a) + shift if shift else factor * a


def common(
    graph: Reading, one: Any, other: Any, combined: Callable[[Any, Any], Any]
) -> tuple[Any, Plain] | None:
    """The features that both are functions of, and the function that combines the two."""
    for numbers, f in _pointwise(graph, one):
        for others, g in _pointwise(graph, other):
            if np.array_equal(numbers, others):
                return numbers, lambda a, f=f, g=g: combined(f(a), g(a))
    return None


def combined(graph: Reading, operator: Operator, flow: Flow, other: Flow, by: Callable[[Any, Any], Any]) -> Flow | None:
    """Two flows that are functions of the same features, combined feature by feature."""
    wide, narrow = (flow, other) if flow.numbers.size >= other.numbers.size else (other, flow)
    if wide.axes[:-1] != narrow.axes[:-1] or narrow.axes[-1:] not in (wide.axes[-1:], ((),)):
        return None
    if flow.turned != other.turned or graph.is_input(flow) or graph.is_input(other):
        return None
    found = common(graph, flow.numbers.ravel(), other.numbers.ravel(), by)
    return found and graph.staged(wide, Function(operator, *found))


def _function(activation: Activation) -> Callable[[Reading, Operator, Sequence[Any]], Values]:
    def read(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
        options = {name: value for name, value in operator.options.items() if name in activation.defaults}
        return graph.staged(operands[0], Function(operator, operands[0].numbers.ravel(), activation.of(options)))

    return read


def _clip(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """Clip, whose bounds are attributes in older operator sets."""
    given = {name: operands[i] if len(operands) > i else None for i, name in ((1, "min"), (2, "max"))}
    if any(value is not None and not isinstance(value, Known) for value in given.values()):
        return None
    bounds = {name: operator.option(name) if value is None else float(value.array) for name, value in given.items()}

    def function(a: Any) -> Any:
        a = a if bounds["min"] is None else maximum(a, bounds["min"])
        return a if bounds["max"] is None else minimum(a, bounds["max"])

    return graph.staged(operands[0], Function(operator, operands[0].numbers.ravel(), function))


def _mean(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """The mean over the features, which stays an axis of length 1."""
    flow, axes = operands[0], plain(operator.options, operands[1] if len(operands) > 1 else None, "axes")
    last = axes in ([-1], [len(flow.axes) - 1]) and not any(axis is None for axis in flow.axes[:-1])
    if not last or not operator.option("keepdims", 1) or graph.is_input(flow):
        return None
    numbers = graph.features.new(Function(operator, flow.numbers.ravel(), mean), 1)
    return flow.moved(numbers.reshape((*flow.numbers.shape[:-1], 1)), (*flow.axes[:-1], ()))


POWERS = {2.0: lambda a: a * a, 3.0: lambda a: a * a * a, 0.5: sqrt, 1.0: lambda a: a}


def _power(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    flow, exponent = operands
    number = float(exponent.array.ravel()[0]) if isinstance(exponent, Known) and exponent.array.size == 1 else 0.0
    if not isinstance(flow, Flow) or number not in POWERS or graph.is_input(flow):
        return None
    return graph.staged(flow, Function(operator, flow.numbers.ravel(), POWERS[number]))


def _prelu(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    """PRelu with one slope for all features."""
    slope = graph.weight(operator, operands[1])
    if slope is None or slope.size != 1 or not isinstance(operands[0], Flow) or graph.is_input(operands[0]):
        return None
    alpha = float(slope.ravel()[0])
    return graph.staged(operands[0], Function(operator, operands[0].numbers.ravel(),
                                               ACTIVATIONS["LeakyRelu"].of({"alpha": alpha})))  # fmt: skip


def _hard_swish(a: Any) -> Any:
    return a * maximum(minimum(a / 6 + 0.5, 1), 0)


OWN = {
    "Exp": exp, "Log": log, "Sqrt": sqrt, "Sin": sin, "Cos": cos, "Erf": erf, "Neg": lambda a: -a,
    "Reciprocal": lambda a: 1 / a, "Abs": lambda a: maximum(a, -a), "HardSwish": _hard_swish,
    "Mish": lambda a: a * tanh(softplus(a)),
}  # fmt: skip
GELU = {"none": lambda a: a * (0.5 * (1 + erf(a / 2**0.5))),
        "tanh": lambda a: a * sigmoid(1.5957691216057308 * (a + 0.044715 * (a * a * a)))}  # fmt: skip


def _gelu(graph: Reading, operator: Operator, operands: Sequence[Any]) -> Values:
    function = GELU[operator.option("approximate", "none")]
    return graph.staged(operands[0], Function(operator, operands[0].numbers.ravel(), function))


NAMED = {name: one for name, one in ACTIVATIONS.items() if None not in one.defaults.values()}
NAMED |= {name: Activation({}, function) for name, function in OWN.items()}
FUNCTIONS: dict[str, Callable[[Any, Operator, Sequence[Any]], Values]] = {
    "Clip": _clip, "ReduceMean": _mean, "Pow": _power, "PRelu": _prelu, "Gelu": _gelu, "com.microsoft.Gelu": _gelu,
} | {name: _function(activation) for name, activation in NAMED.items()}  # fmt: skip
