"""Tensors of unknown sizes in a traced graph: their shapes hold scalar tensors for the unknown sizes.

Keras traces a model with an unknown batch, and with an unknown time where each batch is padded to its own length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import tensorflow as tf

from rnnspec.contract.arrays import Array, Arrays, Scan, Values
from rnnspec.tree import Tree, tree_map

__all__ = ["Sized", "sized", "sized_arrays", "tensors"]


class Sized:
    """A tensor whose shape has a scalar `Sized`, which equals no number, for each unknown size."""

    def __init__(self, tensor: Array) -> None:
        self.tensor = tensor

    @property
    def shape(self) -> tuple[Any, ...]:
        """The shape: numbers for known sizes, scalars for others."""
        sizes = tf.shape(self.tensor)
        return tuple(Sized(sizes[axis]) if size is None else size for axis, size in enumerate(self.tensor.shape))

    def __getitem__(self, key: Any) -> Sized:
        return Sized(self.tensor[key])

    def __add__(self, other: Any) -> Sized:
        return Sized(self.tensor + tensors(other))

    def __sub__(self, other: Any) -> Sized:
        return Sized(self.tensor - tensors(other))

    def __mul__(self, other: Any) -> Sized:
        return Sized(self.tensor * tensors(other))

    def __rmul__(self, other: Any) -> Sized:
        return Sized(self.tensor * other)

    def __lt__(self, other: Any) -> Sized:
        return Sized(self.tensor < tensors(other))

    def __gt__(self, other: Any) -> Sized:
        return Sized(self.tensor > tensors(other))

    def __ge__(self, other: Any) -> Sized:
        return Sized(self.tensor >= tensors(other))

    def __and__(self, other: Any) -> Sized:
        return Sized(self.tensor & tensors(other))

    def __invert__(self) -> Sized:
        return Sized(~self.tensor)


def sized(tree: Tree) -> Tree:
    """The tree with `Sized` tensors."""
    return tree_map(lambda a: Sized(a) if tf.is_tensor(a) else a, tree)


def tensors(tree: Tree) -> Tree:
    """The tree with plain tensors."""
    return tree_map(lambda a: a.tensor if isinstance(a, Sized) else a, tree)


def sized_arrays(arrays: Arrays) -> Arrays:
    """The same array operations on `Sized` tensors."""
    return cast("Arrays", _SizedArrays(arrays))


class _SizedArrays:
    def __init__(self, arrays: Arrays) -> None:
        self.arrays = arrays
        self.functions = {name: _lifted(function) for name, function in arrays.functions.items()}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return _lifted(getattr(self.arrays, name))

    def projection(self, maps: Array, rows: Any) -> Callable[[Array], Array]:
        return _lifted(self.arrays.projection(tensors(maps), tensors(rows)))

    def scan(self, body: Scan, carried: Values, values: Values, count: Any, backwards: bool) -> tuple[Values, Values]:
        def step(carried: Values, now: Values, t: Array) -> tuple[Values, Values]:
            new, record = body(sized(carried), sized(now), Sized(t))
            return tensors(new), tensors(record)

        last, recorded = self.arrays.scan(step, tensors(carried), tensors(values), tensors(count), backwards)
        return sized(last), sized(recorded)


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arguments: sized(function(*tensors(list(arguments))))
