"""The operations on arrays that the specification needs of a framework.

A backend supplies an `Arrays`. The generic lowering of `rnnspec.running.lowering` and everything around a layer
(reversal, masks, output layer, losses, rules) is written once against this protocol. `NumpyArrays` is for every backend
whose arrays are NumPy arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["Arrays", "NumpyArrays", "Scan"]

Array = Any
Values = dict[Any, Array]
Scan = Callable[[Values, Values, Any], tuple[Values, Values]]
"""One step: from carried values, the step's values and its index to new carried values and values to record."""

_ERF = np.frompyfunc(math.erf, 1, 1)


class Arrays(Protocol):
    """The operations of a framework's arrays. None modifies its operands, and all are called inside programs only.

    `functions` holds the elementwise primitives by name, `where` and comparisons included.
    """

    functions: Mapping[str, Callable[..., Array]]

    def scalar(self, value: float) -> Array:
        """A number in the backend's precision, on its device."""

    def as_scalar(self, index: Any) -> Array:
        """A step index, as a number in the backend's precision."""

    def zeros(self, shape: Sequence[int]) -> Array:
        """Zeros in the backend's precision."""

    def copy(self, a: Array) -> Array:
        """A copy in new memory."""

    def steps(self, count: int) -> Array:
        """The integers 0..count-1."""

    def matmul(self, a: Array, b: Array) -> Array:
        """The matrix product of two matrices, or of each two of stacks of them, which broadcast."""

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        """The function from `rows` rows (row, in) to their product with a transposed map (out, in), for many calls.

        A stack of maps (heads, out, in) multiplies a stack of rows (..., heads, row, in).
        """

    def transpose(self, a: Array) -> Array:
        """The transposed matrix."""

    def permute(self, a: Array, axes: Sequence[int]) -> Array:
        """The array with its axes in another order."""

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        """The same numbers in row-major order, in another shape."""

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """The arrays joined along an axis."""

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        """The sum over axes, or over all where `axes` is None."""

    def largest(self, a: Array) -> Array:
        """The largest feature, with the axis kept."""

    def flip(self, a: Array) -> Array:
        """The array in reverse order of time."""

    def take(self, a: Array, index: Array) -> Array:
        """`a[index[s, n], n]` for a (time, batch, feature) and an index (steps, batch)."""

    def gather(self, table: Array, index: Array) -> Array:
        """The rows `table[index]` (..., feature) of a table (row, feature), without a product.

        A number below 0 is the first row's, one above all rows the last row's: both can be in traced programs only. A
        backend without the capability `embedding` need not have it, nor `scatter`.
        """

    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        """The table (row, feature) of so many rows, each the sum of the values (..., feature) at its number in `index`.

        Numbers beyond the rows are as in `gather`.
        """

    def one_hot(self, labels: Array, classes: int) -> Array:
        """Ones at the labels, zeros elsewhere, in the backend's precision; the features are the last axis."""

    def choose(self, holds: Array, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        """What the first function returns where a number of truth `holds`, else what the second one returns.

        Both return trees of arrays of the same shapes. A backend without `Path.PARALLEL` need not have it.
        """

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        """The last carried values, and the recorded ones over time, of `count` steps forwards or backwards."""


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
            "softplus": lambda a: np.maximum(a, 0) + np.log1p(np.exp(-np.abs(a))),  # a tenth of logaddexp's time
            "exp": np.exp,
            "log": np.log,
            "sqrt": np.sqrt,
            "cos": np.cos,
            "sin": np.sin,
            "erf": self._erf,
            "stop": lambda a: a,
            "maximum": np.maximum,
            "minimum": np.minimum,
            "remainder": np.remainder,
            "greater": np.greater,
            "greater_equal": np.greater_equal,
            "where": np.where,
        }

    def _erf(self, a: Array) -> Array:
        """The error function of each number by itself, since NumPy has none: about 0.1 microseconds a number."""
        return np.asarray(_ERF(a), self.dtype)

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
        turned = maps.swapaxes(-1, -2)
        return lambda a: a @ turned

    def transpose(self, a: Array) -> Array:
        return a.T

    def permute(self, a: Array, axes: Sequence[int]) -> Array:
        return a.transpose(axes)

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

    def gather(self, table: Array, index: Array) -> Array:
        return table.take(index, 0, mode="clip")

    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = np.zeros((rows, values.shape[-1]), self.dtype)
        np.add.at(found, index.clip(0, rows - 1), values)
        return found

    def one_hot(self, labels: Array, classes: int) -> Array:
        return (labels[..., None] == np.arange(classes)).astype(self.dtype)

    def choose(self, holds: Array, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        return one() if holds else other()

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        steps = range(count)
        records = []
        for t in reversed(steps) if backwards else steps:
            carried, record = body(carried, {key: a[t] for key, a in values.items()}, t)
            records.append(record)
        if backwards:
            records.reverse()
        return carried, {key: np.stack([record[key] for record in records]) for key in records[0]}
