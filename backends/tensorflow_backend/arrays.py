"""The arrays of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from rnnspec.contract.arrays import Array, Scan, Values

__all__ = ["TensorflowArrays"]


class TensorflowArrays:
    """Tensors of one dtype; loops are `tf.while_loop` over `tf.TensorArray`s.

    In 16 bits each operation rounds its result, and products and sums are accumulated in 32 bits.
    """

    functions: Mapping[str, Callable[..., Array]]

    def __init__(self, dtype: str) -> None:
        self.dtype = tf.as_dtype(dtype)
        self.functions = {
            "add": tf.add,
            "subtract": tf.subtract,
            "multiply": tf.multiply,
            "divide": tf.divide,
            "negate": tf.negative,
            "tanh": tf.tanh,
            "sigmoid": tf.sigmoid,
            "relu": lambda a: tf.where(a <= self.scalar(0.0), self.scalar(0.0), a),
            "softplus": lambda a: tf.maximum(a, self.scalar(0.0)) + tf.math.log1p(tf.exp(-tf.abs(a))),
            "exp": tf.exp,
            "log": tf.math.log,
            "sqrt": tf.sqrt,
            "cos": tf.cos,
            "sin": tf.sin,
            # XLA's erf in 64 bits is NaN where the square of its argument overflows; from 30 on it is 1, its slope 0.
            "erf": lambda a: tf.where(tf.abs(a) < self.scalar(30.0), tf.math.erf(a), tf.sign(a)),
            "stop": tf.stop_gradient,
            # XLA's maximum and minimum drop NaN in the second operand, and equal operands must give a.
            "maximum": lambda a, b: tf.where((a >= b) | tf.math.is_nan(a), a, b),
            "minimum": lambda a, b: tf.where((a <= b) | tf.math.is_nan(a), a, b),
            "remainder": tf.math.floormod,
            "greater": tf.greater,
            "greater_equal": tf.greater_equal,
            "where": tf.where,
        }

    def scalar(self, value: float) -> Array:
        return tf.constant(value, self.dtype)

    def as_scalar(self, index: Any) -> Array:
        return tf.cast(index, self.dtype)

    def zeros(self, shape: Sequence[int]) -> Array:
        return tf.zeros(shape, self.dtype)

    def copy(self, a: Array) -> Array:
        return tf.raw_ops.DeepCopy(x=a)

    def steps(self, count: int) -> Array:
        return tf.range(count, dtype=tf.int32)

    def matmul(self, a: Array, b: Array) -> Array:
        if self.dtype == tf.float64:
            # A 64-bit MatMul followed by a sum makes the graph optimiser warn on standard error; this form does not.
            return tf.raw_ops.Einsum(inputs=[a, b], equation="...ij,...jk->...ik")
        return self._rounded(tf.matmul(self._widened(a), self._widened(b)))

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        if self.dtype == tf.float64:
            return lambda a: tf.raw_ops.Einsum(inputs=[a, maps], equation="...ij,...kj->...ik")
        return lambda a: self._rounded(tf.matmul(self._widened(a), self._widened(maps), transpose_b=True))

    def transpose(self, a: Array) -> Array:
        return tf.transpose(a)

    def permute(self, a: Array, axes: Sequence[int]) -> Array:
        return tf.transpose(a, axes)

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        return tf.reshape(a, shape)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return tf.concat(arrays, axis)

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return self._rounded(tf.reduce_sum(self._widened(a), axes, keepdims=keep))

    def largest(self, a: Array) -> Array:
        return tf.reduce_max(a, -1, keepdims=True)

    def flip(self, a: Array) -> Array:
        return tf.reverse(a, [0])

    def take(self, a: Array, index: Array) -> Array:
        rows = tf.broadcast_to(tf.range(tf.shape(index)[1])[None, :], tf.shape(index))
        return tf.gather_nd(a, tf.stack([index, rows], -1))

    def gather(self, table: Array, index: Array) -> Array:
        return self._rounded(tf.gather(self._widened(table), _within(index, table.shape[0])))

    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        each = tf.reshape(self._widened(values), (-1, values.shape[-1]))
        places = tf.reshape(_within(index, rows), (-1,))
        return self._rounded(tf.math.unsorted_segment_sum(each, places, rows))

    def one_hot(self, labels: Array, classes: int) -> Array:
        return tf.cast(labels[..., None] == self.steps(classes), self.dtype)

    def _widened(self, a: Array) -> Array:
        return a if self.dtype.size > 2 else tf.cast(a, tf.float32)

    def _rounded(self, a: Array) -> Array:
        return a if self.dtype.size > 2 else tf.cast(a, self.dtype)

    def choose(self, holds: Array, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        return tf.cond(holds, one, other)

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        names: list[Any] = []

        def one(t: Array, state: list[Array], now: list[Array]) -> tuple[list[Array], list[Array]]:
            new, record = body(dict(zip(carried, state, strict=True)), dict(zip(values, now, strict=True)), t)
            names[:] = record
            for key, a in carried.items():
                new[key].set_shape(a.shape)
            return [new[key] for key in carried], list(record.values())

        # A step is traced by itself first, to learn the names and shapes of the recorded values.
        now = [tf.TensorSpec(a.shape[1:], a.dtype) for a in values.values()]
        kept = [tf.TensorSpec(a.shape, a.dtype) for a in carried.values()]
        traced = tf.function(one, autograph=False).get_concrete_function(tf.TensorSpec((), tf.int32), kept, now)
        _, shapes = traced.structured_outputs
        records = [tf.TensorArray(a.dtype, count, element_shape=a.shape) for a in shapes]

        def step(done: Array, state: list[Array], records: list[Any]) -> tuple[Array, list[Array], list[Any]]:
            t = count - 1 - done if backwards else done
            new, recorded = traced(t, state, [a[t] for a in values.values()])
            return done + 1, new, [array.write(t, a) for array, a in zip(records, recorded, strict=True)]

        start = (tf.constant(0), list(carried.values()), records)
        _, last, records = tf.while_loop(lambda done, *_: done < count, step, start)
        return dict(zip(carried, last, strict=True)), {key: a.stack() for key, a in zip(names, records, strict=True)}


def _within(index: Array, rows: int) -> Array:
    """Whole numbers moved to those of the rows."""
    return tf.clip_by_value(tf.cast(index, tf.int64), 0, rows - 1)
