"""The values of an ONNX graph that a network is read from: numbers, and arrays whose axes are followed.

An axis is None where features lie along it, or a tuple of the axes of inputs that are one in it: ("x.0",) is the first
axis of x, ("x.0", "x.1") the first two as one, and () an axis of length 1, which is any axis of length 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rnnspec.convert.onnx_operator import Operator

__all__ = ["Axis", "Filled", "Fixed", "Flow", "Known", "NotFollowed", "Sizes", "Turn", "Unread", "is_zero", "plain"]

Axis = tuple[str, ...] | None
Turn = tuple[str, str]
"""An axis in reverse order, and the name of the lengths within which it is, or the empty name."""
FREE = (1009, 2003, 1013, 2011, 1019, 2017, 1021, 2027, 1031, 2029, 1033, 2039, 1039, 2053, 1049, 2063, 1051, 2069)
"""Lengths that stand for those that a graph leaves free: primes, which no width of a layer is a multiple of, so that
numbers computed from lengths show what they were computed from."""


@dataclass(frozen=True, eq=False)
class Known:
    """Numbers that the graph determines.

    `free` says that they depend on lengths that the graph leaves free, `quantised` names the operator that made them
    from whole numbers.
    """

    array: Any
    free: bool = False
    quantised: Operator | None = None


@dataclass(frozen=True)
class Filled:
    """One number everywhere, in an array of any shape."""

    value: float


@dataclass(frozen=True, eq=False)
class Unread:
    """A value that is not read: the first operator on the way to it that is not, or the name of a missing value."""

    operator: Operator | None
    name: str = ""
    why: str = ""
    do: str = ""


class NotFollowed(Exception):
    """An operator does what no network does: `why` says what, `do` what to do about it besides a cut of the graph."""

    def __init__(self, why: str, do: str = "") -> None:
        super().__init__(why)
        self.why, self.do = why, do


@dataclass(frozen=True, eq=False)
class Fixed(Exception):
    """Lengths that the graph leaves free in its inputs, by name, but has as numbers elsewhere."""

    lengths: Mapping[str, int]


class Sizes:
    """The lengths of the axes of inputs; `fixed` are those of free lengths that are known from elsewhere."""

    def __init__(self, fixed: Mapping[str, int]) -> None:
        self._fixed = fixed
        self._lengths: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._free: dict[str, str] = {}

    def axis(self, name: str, given: Any) -> Axis:
        """A new axis of a length that is a number, or a name, or None."""
        if given == 1:
            return ()
        if isinstance(given, int) and given > 0:
            self._lengths[name] = given
            return (name,)
        symbol = given if isinstance(given, str) and given else name
        if symbol in self._fixed:
            return self.axis(name, self._fixed[symbol])
        self._lengths[name] = self._length(symbol)
        self._free[name] = symbol
        return (name,)

    def _length(self, name: str) -> int:
        if name not in self._names:
            self._names[name] = FREE[len(self._names) % len(FREE)]
        return self._names[name]

    def of(self, axis: Sequence[str]) -> int:
        """The length of an axis where no features lie."""
        return math.prod(self._lengths[name] for name in axis)

    def is_free(self, axis: Axis) -> bool:
        """Whether the graph leaves the length free."""
        return axis is not None and any(name in self._free for name in axis)

    def fitting(self, factors: Sequence[tuple[str | None, int]], shape: Sequence[int]) -> dict[str, int]:
        """The free lengths with which an array would have this shape, as far as they differ from those now."""
        found: dict[str, int] = {}
        middle = list(shape).index(-1) if -1 in shape else len(shape)
        for some, lengths in ((list(factors), shape[:middle]), (list(factors)[::-1], shape[:middle:-1])):
            for length in lengths:
                left = length
                while left > 1 and some:
                    name, size = some.pop(0)
                    if name in self._free and left % size:
                        found[self._free[str(name)]] = size = left
                    if name is None and size > left and size % left == 0:
                        some.insert(0, (None, size // left))
                        size = left
                    left = left // size if left % size == 0 else 1
        return found

    def factors(self, axis: Axis, width: int) -> list[tuple[str | None, int]]:
        """The axes of inputs in an axis with their lengths; None stands for features."""
        return [(None, width)] if axis is None else [(name, self._lengths[name]) for name in axis]


@dataclass(frozen=True, eq=False)
class Flow:
    """An array computed from inputs: `numbers` are those of its features, with length 1 along all other axes.

    `turned` are the axes that stand in reverse order.
    """

    numbers: Any
    axes: tuple[Axis, ...]
    turned: frozenset[Turn] = field(default=frozenset())

    def shape(self, sizes: Sizes) -> tuple[int, ...]:
        """The lengths of all axes."""
        return tuple(n if axis is None else sizes.of(axis)
                     for axis, n in zip(self.axes, self.numbers.shape, strict=True))  # fmt: skip

    def moved(self, numbers: Any, axes: Sequence[Axis]) -> Flow:
        """These numbers in the same order of time; an axis of length 1 is any such axis."""
        plain = tuple(() if axis is None and n == 1 else axis for axis, n in zip(axes, numbers.shape, strict=True))
        return replace(self, numbers=numbers, axes=plain)

    def transposed(self, order: Sequence[int]) -> Flow:
        """The same with its axes in another order."""
        return self.moved(self.numbers.transpose(order), [self.axes[i] for i in order])

    def factors(self, sizes: Sizes) -> list[tuple[str | None, int]]:
        """The axes of inputs in all axes, with their lengths, in order; None stands for features."""
        found = [f for axis, n in zip(self.axes, self.numbers.shape, strict=True) for f in sizes.factors(axis, n)]
        return [f for f in found if f[1] > 1]

    def regrouped(self, shape: Sequence[int], sizes: Sizes) -> Flow | None:
        """The same in another shape, or None where an axis would be cut or hold both features and others."""
        left, axes = self.factors(sizes), list[Axis]()
        lengths = list[int]()
        for length in shape:
            taken = _taken(left, length)
            if taken is None or len({name is None for name in taken}) > 1:
                return None
            axes.append(None if None in taken else tuple(name for name in taken if name is not None))
            lengths.append(length if axes[-1] is None else 1)
        return None if left else self.moved(self.numbers.reshape(lengths), axes)


def _taken(left: list[tuple[str | None, int]], length: int) -> list[str | None] | None:
    """The names of the first factors that make up a length, taken off the list; features may be split."""
    taken: list[str | None] = []
    while length > 1:
        if not left:
            return None
        name, size = left.pop(0)
        if name is None and size > length and size % length == 0:
            left.insert(0, (None, size // length))
            size = length
        if length % size:
            return None
        length //= size
        taken.append(name)
    return taken if length == 1 else None


def is_zero(value: Any, kinds: str = "f") -> bool:
    """Whether a value is zeros, of these kinds of numbers."""
    if isinstance(value, Filled):
        return value.value == 0
    return isinstance(value, Known) and value.array.dtype.kind in kinds and not value.array.any()


def plain(options: Mapping[str, Any], value: Any, name: str) -> list[int] | None:
    """Whole numbers that are an attribute in older operator sets and an operand in newer ones."""
    if isinstance(value, Known):
        return [int(i) for i in np.atleast_1d(value.array)]
    return None if value is not None else options.get(name)
