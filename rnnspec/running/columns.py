"""Steps on columns: a row's features lie one below the other, so that products read maps without transposing them.

The lowering still sees values (row, feature). Each function transposes its operands and its result, and the compiler
removes pairs of transpositions that cancel. Only the transpositions of values that a step reads or records remain.

>>> import numpy as np
>>> from rnnspec.contract.arrays import NumpyArrays
>>> arrays = columns(NumpyArrays("float64"))
>>> a, maps = np.array([[1.0, 2.0]]), np.array([[1.0, 1.0], [0.0, 3.0], [2.0, 0.0]])
>>> arrays.projection(maps, 1)(a)
array([[3., 6., 2.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from rnnspec.contract.arrays import Array, Arrays, Scan, Values

__all__ = ["columns"]


def columns(arrays: Arrays) -> Arrays:
    """The same array operations, with steps on columns."""
    return cast(Arrays, _Columns(arrays))


class _Columns:
    """Array operations that delegate to others, except within a step."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self.functions = {name: self._on_columns(function) for name, function in arrays.functions.items()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arrays, name)

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        arrays = self._arrays
        return lambda a: arrays.transpose(arrays.matmul(maps, arrays.transpose(a)))

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        def step(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            new, recorded = body(self._transposed(carried), now, t)
            return self._transposed(new), recorded

        last, recorded = self._arrays.scan(step, self._transposed(carried), values, count, backwards)
        return self._transposed(last), recorded

    def _transposed(self, values: Values) -> Values:
        return {key: self._arrays.transpose(a) for key, a in values.items()}

    def _on_columns(self, function: Callable[..., Array]) -> Callable[..., Array]:
        """The function on columns where an operand belongs to one step; a vector is a column already."""

        def apply(*operands: Array) -> Array:
            if max(len(a.shape) for a in operands) != 2:
                return function(*operands)
            return self._arrays.transpose(function(*map(self._column, operands)))

        return apply

    def _column(self, a: Array) -> Array:
        if len(a.shape) == 2:
            return self._arrays.transpose(a)
        return self._arrays.reshape(a, (-1, 1)) if len(a.shape) == 1 else a
