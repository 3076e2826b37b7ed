"""The arrays of one framework, as far as the specification needs them.

A backend gives an `Arrays`; the generic lowering of `rnnspec.lowering` and everything around a layer (reversal, masks,
output layer, losses, rules) is written against it, once. `NumpyArrays` serves every backend whose arrays are NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Arrays", "NumpyArrays", "Scan"]

Array = Any
Values = dict[Any, Array]
Scan = Callable[[Values, Values, Any], tuple[Values, Values]]
"""One step: carried values, this step's values and its index give the new carried values and what is recorded."""


class Arrays(Protocol):
    """What a framework's arrays can do. Nothing here modifies its operands, and it is called in programs only.

    `functions` holds the elementwise primitives by name, `where` and the comparisons among them.
    """

    functions: Mapping[str, Callable[..., Array]]

    def scalar(self, value: float) -> Array:
        """A number in the backend's precision, on its device."""

    def as_scalar(self, index: Any) -> Array:
        """A step index, as a number in the backend's precision."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros in the backend's precision."""

    def copy(self, a: Array) -> Array:
        """The same numbers in memory of their own."""

    def steps(self, count: int) -> Array:
        """The integers 0..count-1."""

    def matmul(self, a: Array, b: Array) -> Array:
        """The matrix product of two matrices."""

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        """What takes so many rows (row, in) through a map (out, in), time and again: the product with it transposed."""

    def transpose(self, a: Array) -> Array:
        """A matrix, transposed."""

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        """The same numbers in row-major order, in another shape."""

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Arrays one after the other along an axis."""

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        """The sum over axes, or over all of them."""

    def largest(self, a: Array) -> Array:
        """The largest feature, the axis kept."""

    def flip(self, a: Array) -> Array:
        """Time reversed."""

    def take(self, a: Array, index: Array) -> Array:
        """`a[index[s, n], n]` for a (time, batch, feature) and an index (steps, batch)."""

    def one_hot(self, labels: Array, classes: int) -> Array:
        """Ones at the labels, zeros elsewhere, in the backend's precision; the features are the last axis."""

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        """`count` steps in order of time, or backwards: the last carried values, and what was recorded, over time."""


class NumpyArrays:
    """Arrays of NumPy."""

    functions: Mapping[str, Callable[..., Array]]

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self.functions = {
            "add": np.add,
            "subtract": np.subtract,
            "multiply": np.multiply,
            "divide": np.divide,
            "negate": np.negative,
            "tanh": np.tanh,
            "sigmoid": lambda a: 0.5 * np.tanh(0.5 * a) + 0.5,
            "relu": lambda a: np.maximum(a, 0),
            "softplus": lambda a: np.logaddexp(a, self.dtype.type(0)),
            "exp": np.exp,
            "log": np.log,
            "sqrt": np.sqrt,
            "maximum": np.maximum,
            "minimum": np.minimum,
            "remainder": np.remainder,
            "greater": np.greater,
            "greater_equal": np.greater_equal,
            "where": np.where,
        }

    def scalar(self, value: float) -> Array:
        return self.dtype.type(value)

    as_scalar = scalar

    def zeros(self, shape: Sequence[int]) -> Array:
        return np.zeros(shape, self.dtype)

    def copy(self, a: Array) -> Array:
        return np.array(a)

    def steps(self, count: int) -> Array:
        return np.arange(count)

    def matmul(self, a: Array, b: Array) -> Array:
        return a @ b

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        return lambda a: a @ maps.T

    def transpose(self, a: Array) -> Array:
        return a.T

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        return a.reshape(shape)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return np.concatenate(arrays, axis)

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return a.sum(axes, keepdims=keep)

    def largest(self, a: Array) -> Array:
        return a.max(-1, keepdims=True)

    def flip(self, a: Array) -> Array:
        return a[::-1]

    def take(self, a: Array, index: Array) -> Array:
        return np.take_along_axis(a, index[:, :, None], 0)

    def one_hot(self, labels: Array, classes: int) -> Array:
        return (labels[..., None] == np.arange(classes)).astype(self.dtype)

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        steps = range(count)
        records = []
        for t in reversed(steps) if backwards else steps:
            carried, record = body(carried, {key: a[t] for key, a in values.items()}, t)
            records.append(record)
        if backwards:
            records.reverse()
        return carried, {key: np.stack([record[key] for record in records]) for key in records[0]}
