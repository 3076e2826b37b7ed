"""The arrays of JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from backends.jax_backend.mesh import axes, varying
from rnnspec.contract.arrays import Array, Scan, Values

__all__ = ["JaxArrays"]


class JaxArrays:
    """JAX arrays of one dtype; loops are `lax.scan`. Use them within the settings of the backend only."""

    functions: Mapping[str, Callable[..., Array]]

    def __init__(self, dtype: str) -> None:
        self.dtype = jnp.dtype(dtype)
        self.accumulated = self.dtype if self.dtype.itemsize > 4 else jnp.dtype(jnp.float32)
        self.functions = {
            "add": jnp.add,
            "subtract": jnp.subtract,
            "multiply": jnp.multiply,
            "divide": jnp.divide,
            "negate": jnp.negative,
            "tanh": jnp.tanh,
            "sigmoid": jax.nn.sigmoid,
            "relu": lambda a: jnp.maximum(a, self.scalar(0.0)),
            "softplus": lambda a: jnp.logaddexp(a, self.scalar(0.0)),
            "exp": jnp.exp,
            "log": jnp.log,
            "sqrt": _sqrt,
            "cos": jnp.cos,
            "sin": jnp.sin,
            "erf": lax.erf,
            "stop": lax.stop_gradient,
            "maximum": jnp.maximum,
            "minimum": jnp.minimum,
            "remainder": jnp.remainder,
            "greater": jnp.greater,
            "greater_equal": jnp.greater_equal,
            "where": jnp.where,
        }

    def scalar(self, value: float) -> Array:
        return self.dtype.type(value)

    def as_scalar(self, index: Any) -> Array:
        return jnp.asarray(index, self.dtype)

    def zeros(self, shape: Sequence[int]) -> Array:
        return jnp.zeros(shape, self.dtype)

    def copy(self, a: Array) -> Array:
        return jnp.array(a, copy=True)

    def steps(self, count: int) -> Array:
        return jnp.arange(count, dtype=jnp.int32)

    def matmul(self, a: Array, b: Array) -> Array:
        product = jnp.matmul(a, b, precision=lax.Precision.HIGHEST, preferred_element_type=self.accumulated)
        return product.astype(self.dtype)

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        if not isinstance(rows, int) or rows > 1 or maps.ndim > 2:
            laid_out = _laid_out(maps)
            return lambda a: self.matmul(a, laid_out)

        def project(a: Array) -> Array:
            product = lax.dot_general(a, maps, (((1,), (1,)), ((), ())), precision=lax.Precision.HIGHEST,
                                      preferred_element_type=self.accumulated)  # fmt: skip
            return product.astype(self.dtype)

        return project

    def transpose(self, a: Array) -> Array:
        return a.T

    def permute(self, a: Array, axes: Sequence[int]) -> Array:
        return a.transpose(axes)

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        return a.reshape(shape)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return jnp.concatenate(arrays, axis)

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return a.sum(axes, keepdims=keep)

    def largest(self, a: Array) -> Array:
        return a.max(-1, keepdims=True)

    def flip(self, a: Array) -> Array:
        return a[::-1]

    def take(self, a: Array, index: Array) -> Array:
        return jnp.take_along_axis(a, index[:, :, None], 0)

    def gather(self, table: Array, index: Array) -> Array:
        wide = table.astype(self.accumulated)  # so that JAX's own derivative adds up wider numbers too
        return wide[_within(index, len(wide))].astype(self.dtype)

    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = jnp.zeros((rows, values.shape[-1]), self.accumulated)
        return found.at[_within(index, rows)].add(values.astype(self.accumulated)).astype(self.dtype)

    def one_hot(self, labels: Array, classes: int) -> Array:
        return (labels[..., None] == self.steps(classes)).astype(self.dtype)

    def choose(self, holds: Array, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        return lax.cond(holds, one, other)

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        # The loop carries lists: JAX sorts the keys of dicts, and these are numbers and names.
        recorded: list[object] = []
        over = axes([*carried.values(), *values.values()])

        def step(arrays: list[Array], now: tuple[Array, list[Array]]) -> tuple[list[Array], list[Array]]:
            t, slices = now
            new, record = body(dict(zip(carried, arrays, strict=True)), dict(zip(values, slices, strict=True)), t)
            recorded[:] = record
            return varying([new[key] for key in carried], over), list(record.values())

        over_time = (self.steps(count), list(values.values()))
        last, stacked = lax.scan(step, varying(list(carried.values()), over), over_time, reverse=backwards)
        return dict(zip(carried, last, strict=True)), dict(zip(recorded, stacked, strict=True))


def _within(index: Array, rows: int) -> Array:
    """Whole numbers moved to those of the rows."""
    return jnp.clip(index, 0, min(rows - 1, jnp.iinfo(index.dtype).max))


@jax.custom_jvp  # type: ignore[untyped-decorator]
def _laid_out(maps: Array) -> Array:
    """The maps transposed once, behind a barrier; without it XLA would transpose them in every step.

    The derivative has no barrier: under `vmap` of the maps, XLA as of JAX 0.10 aborts on the product that it leaves.
    """
    return lax.optimization_barrier(maps.mT)


@_laid_out.defjvp  # type: ignore[untyped-decorator]
def _laid_out_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _laid_out(*primals), tangents[0].mT


def _sqrt(a: Array) -> Array:
    """The square root, kept from XLA, which turns sqrt(x * x) into |x|, finite where x * x overflows."""
    return jnp.sqrt(lax.optimization_barrier(a))
