"""The arrays of ONNX: each operation adds nodes to a graph, so that our own lowering writes a model.

>>> from rnnspec.convert.onnx_scan.graph import Dim, Graph
>>> graph = Graph("float32")
>>> arrays = OnnxArrays(graph)
>>> a = graph.input("a", (Dim("batch"), 3))
>>> arrays.sum(arrays.functions["tanh"](a), (-1,), True).shape
(Dim(name='batch'), 1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Arrays, Scan, Values
from rnnspec.convert.onnx_scan.functions import functions
from rnnspec.convert.onnx_scan.graph import Dim, Graph, Shape, Value, broadcast

__all__ = ["OnnxArrays"]


class OnnxArrays(Arrays):
    """The operations on the values of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.functions = functions(graph)

    def scalar(self, value: float) -> Value:
        return self.graph.constant(value)

    def as_scalar(self, index: Any) -> Value:
        return self.scalar(index)

    def zeros(self, shape: Sequence[Any]) -> Value:
        return self._spread(self.scalar(0.0), tuple(shape))

    def copy(self, a: Value) -> Value:
        return a

    def steps(self, count: Any) -> Value:
        if not isinstance(count, Dim):
            return self.graph.constant(np.arange(count), np.int64)
        first, step = self.graph.constant(0, np.int64), self.graph.constant(1, np.int64)
        return self.graph.node("Range", [first, self.graph.sizes((count,))[0], step], (count,), np.int64)

    def matmul(self, a: Value, b: Value) -> Value:
        shape = (*broadcast(a.shape[:-2], b.shape[:-2], ()), a.shape[-2], b.shape[-1])
        return self.graph.node("MatMul", [a, b], shape)

    def projection(self, maps: Value, rows: Any) -> Callable[[Value], Value]:
        turned = self.transpose(maps)
        return lambda a: self.matmul(a, turned)

    def transpose(self, a: Value) -> Value:
        rank = len(a.shape)
        return self.permute(a, (*range(rank - 2), rank - 1, rank - 2))

    def permute(self, a: Value, axes: Sequence[int]) -> Value:
        return self.graph.node("Transpose", [a], tuple(a.shape[axis] for axis in axes), a.dtype, perm=list(axes))

    def reshape(self, a: Value, shape: Sequence[Any]) -> Value:
        """As NumPy has it; an axis that the call alone knows is left to the operator where there is one only."""
        full = _completed(a.shape, tuple(shape))
        if full == a.shape:
            return a
        if full == (1, *a.shape):
            return a[None]
        free = [size for size in full if isinstance(size, Dim)]
        if len(free) > 1:
            return self.graph.node("Reshape", [a, self.graph.sizes(full)], full, a.dtype, allowzero=1)
        written = self.graph.sizes(tuple(-1 if isinstance(size, Dim) else size for size in full))
        return self.graph.node("Reshape", [a, written], full, a.dtype)

    def concatenate(self, arrays: Sequence[Value], axis: int) -> Value:
        if len(arrays) == 1:
            return arrays[0]
        shape = list(arrays[0].shape)
        shape[axis] = sum(a.shape[axis] for a in arrays)
        return self.graph.node("Concat", arrays, tuple(shape), arrays[0].dtype, axis=axis)

    def sum(self, a: Value, axes: tuple[int, ...] | None, keep: bool) -> Value:
        return self._reduced("ReduceSum", a, tuple(range(len(a.shape))) if axes is None else axes, keep)

    def largest(self, a: Value) -> Value:
        return self._reduced("ReduceMax", a, (-1,), True)

    def flip(self, a: Value) -> Value:
        return a[::-1]

    def take(self, a: Value, index: Value) -> Value:
        shape = (*index.shape, a.shape[-1])
        return self.graph.node("GatherElements", [a, self._spread(index[:, :, None], shape)], shape, a.dtype, axis=0)

    def gather(self, table: Value, index: Value) -> Value:
        last = self.graph.constant(table.shape[0] - 1, index.dtype)
        within = self.graph.elementwise("Max", self.graph.elementwise("Min", index, last), 0)
        return self.graph.node("Gather", [table, within], (*index.shape, *table.shape[1:]), table.dtype, axis=0)

    def scatter(self, values: Value, index: Value, rows: int) -> Value:
        """No pass forwards asks for it."""
        raise NotImplementedError

    def one_hot(self, labels: Value, classes: int) -> Value:
        where = self.graph.elementwise("Equal", labels[..., None], self.steps(classes), dtype=np.bool_)
        found: Value = self.functions["where"](where, self.scalar(1.0), self.scalar(0.0))
        return found

    def choose(self, holds: Value, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        """No pass forwards asks for it."""
        raise NotImplementedError

    def scan(
        self, body: Scan, carried: Values, values: Values, count: Any, backwards: bool
    ) -> tuple[Values, Values]:
        """A Scan, or the body itself for one step; every pass forwards runs so, and so does ONNX's reference."""
        if count == 1:
            last, made = body(carried, {key: a[0] for key, a in values.items()}, None)
            return last, {key: a[None] for key, a in made.items()}
        over_time = values or {None: self.steps(count)}
        recorded: list[Any] = []

        def step(given: list[Value]) -> list[Value]:
            first, now = given[: len(carried)], given[len(carried) :]
            new, record = body(dict(zip(carried, first, strict=True)), dict(zip(over_time, now, strict=True)), None)
            recorded[:] = record
            return [*(new[key] for key in carried), *record.values()]

        found = self.graph.loop(step, list(carried.values()), list(over_time.values()))
        return (dict(zip(carried, found, strict=False)), dict(zip(recorded, found[len(carried) :], strict=True)))

    def _reduced(self, op: str, a: Value, axes: Sequence[int], keep: bool) -> Value:
        own = {axis % len(a.shape) for axis in axes}
        shape = tuple(1 if axis in own else size for axis, size in enumerate(a.shape) if keep or axis not in own)
        return self.graph.node(op, [a, self.graph.constant(list(axes), np.int64)], shape, a.dtype, keepdims=int(keep))

    def _spread(self, a: Value, shape: Shape) -> Value:
        """The value broadcast to a shape."""
        return a if a.shape == shape else self.graph.node("Expand", [a, self.graph.sizes(shape)], shape, a.dtype)


def _completed(old: Shape, shape: Shape) -> Shape:
    """The shape with the number in the place of -1."""
    if -1 not in shape:
        return shape
    dims = [size for size in old if isinstance(size, Dim)]
    for size in shape:
        if size in dims:
            dims.remove(size)
    own = [[size for size in sizes if not isinstance(size, Dim)] for sizes in (old, shape)]
    number = prod(own[0]) // -prod(own[1])
    left = number if not dims else dims[0] if (len(dims), number) == (1, 1) else Dim("*".join(
        [*(size.name for size in dims), str(number)]))  # fmt: skip
    return tuple(left if size == -1 else size for size in shape)
