"""The arrays of TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from rnnspec.arrays import Array, Scan, Values

__all__ = ["TensorflowArrays"]


class TensorflowArrays:
    """Tensors of one dtype; loops are `tf.while_loop` over `tf.TensorArray`s."""

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
            "relu": tf.nn.relu,
            "softplus": lambda a: tf.nn.relu(a) + tf.math.log1p(tf.exp(-tf.abs(a))),
            "exp": tf.exp,
            "log": tf.math.log,
            "sqrt": tf.sqrt,
            "maximum": tf.maximum,
            "minimum": tf.minimum,
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
        if self.dtype == tf.float32:
            return tf.matmul(a, b)
        # A MatMul of 64 bits that a sum follows makes the graph's optimiser warn on standard error; an Einsum does not.
        return tf.raw_ops.Einsum(inputs=[a, b], equation="ij,jk->ik")

    def transpose(self, a: Array) -> Array:
        return tf.transpose(a)

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        return tf.reshape(a, shape)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return tf.concat(arrays, axis)

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return tf.reduce_sum(a, axes, keepdims=keep)

    def largest(self, a: Array) -> Array:
        return tf.reduce_max(a, -1, keepdims=True)

    def flip(self, a: Array) -> Array:
        return tf.reverse(a, [0])

    def take(self, a: Array, index: Array) -> Array:
        rows = tf.broadcast_to(self.steps(a.shape[1])[None, :], index.shape)
        return tf.gather_nd(a, tf.stack([index, rows], -1))

    def one_hot(self, labels: Array, classes: int) -> Array:
        return tf.cast(labels[..., None] == self.steps(classes), self.dtype)

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        # The first step stands before the loop, since it alone tells what is recorded, and in which shapes.
        first, move = (count - 1, -1) if backwards else (0, 1)
        state, record = body(carried, {key: a[first] for key, a in values.items()}, first)
        kept = [tf.TensorArray(a.dtype, count, element_shape=a.shape).write(first, a) for a in record.values()]

        def step(done: Array, state: list[Array], kept: list[Any]) -> tuple[Array, list[Array], list[Any]]:
            t = first + move * done
            now = {key: a[t] for key, a in values.items()}
            new, recorded = body(dict(zip(carried, state, strict=True)), now, t)
            written = [array.write(t, recorded[key]) for array, key in zip(kept, record, strict=True)]
            return done + 1, [new[key] for key in carried], written

        start = (tf.constant(1), [state[key] for key in carried], kept)
        _, last, kept = tf.while_loop(lambda done, *_: done < count, step, start)
        return dict(zip(carried, last, strict=True)), {key: k.stack() for key, k in zip(record, kept, strict=True)}
