"""Numbers for use in equations, and the tape that carries cotangents back through them.

A number is an array `(runs, rows, features)`, or `(runs, rows, m, n)` for a matrix of m rows and n columns; an axis of
size 1 is broadcast. An operand that a choice did not take is `unreached`: it receives no cotangent and hands none on,
even where a derivative is not finite.

What is made of parameters and constants alone is `fixed`: it is rounded once, equally in all rows at all steps, so that
its rounding adds up over the steps. Its cotangents are of one row each, as those of all numbers.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from conformance.oracle.arithmetic import Array, Rounding
from conformance.oracle.rules import CORNERS, RULES
from rnnspec.primitives import Expression

__all__ = ["MapTape", "Number", "Parameter", "Rows", "Tape", "uninterrupted"]


@dataclass(frozen=True)
class Rows:
    """A cotangent of some rows only."""

    rows: Array | slice
    cotangent: Array


@dataclass(frozen=True)
class Outer:
    """A cotangent of a map, in factors: `cotangent' operand`, summed over rows; `use` is one of the map's in a step."""

    cotangent: Array
    operand: Array
    use: int


Key = tuple[Any, ...]
"""What a fixed number is made of."""


class Number(Expression):
    """A value on a tape, and its cotangent once the tape is pulled back."""

    __slots__ = ("cotangent", "fixed", "size", "tape", "unreached", "value")

    def __init__(self, tape: Tape, value: Array) -> None:
        self.tape, self.value = tape, value
        self.cotangent: Array | None = None
        self.size: Array | None = None
        self.unreached: Array = False
        self.fixed: Key | None = None

    def apply(self, op: str, *operands: Any) -> Number:
        return self.tape.apply(op, operands)

    def receive(self, part: Any, unreached: Array = False) -> None:
        """Add a part of the cotangent, except where it is unreached."""
        rounding = self.tape.rounding
        if unreached is not False and np.any(unreached):
            part = np.where(unreached, 0, part)
        if isinstance(part, Rows):
            if self.cotangent is None:
                self.cotangent = rounding.array(np.zeros((rounding.runs, *self.value.shape[1:])))
            here = self.cotangent[:, part.rows]
            known = np.count_nonzero(here)
            self.cotangent[:, part.rows] = rounding.add(here, part.cotangent) if known else part.cotangent
            return
        if part.shape[1:] != self.value.shape[1:]:
            part, unreached = self._summed(part, unreached)
        self.unreached = unreached if self.cotangent is None else self.unreached & unreached
        begun = self.cotangent is not None and np.count_nonzero(self.cotangent)
        self.cotangent = self._with(part) if begun else part

    def _summed(self, part: Array, unreached: Array) -> tuple[Array, Array]:
        """A part and where it is unreached, summed over the axes in which the value is broadcast."""
        for axis in range(1, self.value.ndim):
            if self.value.shape[axis] == 1 and part.shape[axis] != 1:
                part = self.tape.rounding.total(part, axis)
                unreached = np.all(unreached, axis, keepdims=True) if np.ndim(unreached) else unreached
        return part, unreached

    def _with(self, part: Array) -> Array:
        """The cotangent plus another part.

        The rounding of three parts, or of two that cancel, is relative to their sizes, since the specification fixes
        neither their order nor that equal ones are rounded alike.
        """
        assert self.cotangent is not None
        found, begun = self.cotangent + part, np.abs(self.cotangent[:1]) if self.size is None else self.size
        several, self.size = self.size is not None, begun + np.abs(part[:1])
        own = found[:1]
        return self.tape.rounding.sum(found, self.size if several else np.where(own == 0, self.size, np.abs(own)))

    def gradient(self) -> Array:
        """The cotangent; zeros where no part arrived."""
        shape = (self.tape.rounding.runs, *self.value.shape[1:])
        if self.cotangent is None:
            return np.zeros(shape, self.value.dtype)
        return self.cotangent if self.cotangent.shape == shape else np.broadcast_to(self.cotangent, shape)


class Parameter(Number):
    """A parameter `(runs, 1 or out, in)`: its cotangent is one sum over all rows of all steps, in any order.

    That of a map is such a sum for each of its uses in a step, added up.
    """

    __slots__ = ("parts",)

    def __init__(self, tape: Tape, value: Array) -> None:
        super().__init__(tape, value)
        self.parts: list[Any] = []

    def receive(self, part: Any, unreached: Array = False) -> None:
        self.parts.append(np.where(unreached, 0, part) if unreached is not False and np.any(unreached) else part)

    def gradient(self) -> Array:
        rounding = self.tape.rounding
        uses: dict[int, list[Outer]] = {}
        for part in self.parts:
            if isinstance(part, Outer):
                uses.setdefault(part.use, []).append(part)
        sums = [part for part in self.parts if not isinstance(part, Outer)]
        for outer in uses.values():
            left = _stacked(rounding, [part.cotangent for part in outer])
            right = _stacked(rounding, [part.operand for part in outer])
            super().receive(rounding.dot(np.swapaxes(left, 1, 2), right))
        if sums:
            super().receive(rounding.total(_stacked(rounding, sums), 1))
        self.parts = []
        return super().gradient()


Pull = Callable[..., Sequence[Any]]
Unreached = Callable[[Array], Sequence[Array]]
"""For each operand, where it is unreached if the cotangent does not reach all of the result."""


class Record(NamedTuple):
    """A recorded operation: its results, its operands, and its pullback; a tuple, since a tape makes so many.

    Without `unreached` every operand is reached.
    """

    results: Sequence[Number]
    operands: Sequence[Number]
    pull: Pull
    unreached: Unreached | None

    def pull_back(self) -> None:
        """Hand the cotangents of the results to the operands."""
        if all(result.cotangent is None for result in self.results):
            return
        parts = self.pull(*[result.gradient() for result in self.results])
        masks = self.unreached(self.results[0].unreached) if self.unreached else repeat(False, len(self.operands))
        for operand, part, mask in zip(self.operands, parts, masks, strict=True):
            if part is not None:
                operand.receive(part, mask)


class Tape:
    """Operations in their order of execution; without `recording` they are not kept."""

    def __init__(self, rounding: Rounding, recording: bool) -> None:
        self.rounding, self.recording = rounding, recording
        self.records: list[Record] = []
        self.constants: dict[float, Number] = {}
        self.once: dict[Key, tuple[Array, Any]] = {}

    def record(
        self, value: Array, operands: Sequence[Number], pull: Pull, unreached: Unreached | None = None
    ) -> Number:
        """A new number; `pull(cotangent)` returns a part for each operand, or None."""
        found = Number(self, value)
        if self.recording:
            self.records.append(Record((found,), operands, pull, unreached))
        return found

    def record_all(
        self, values: Sequence[Array], operands: Sequence[Number], pull: Pull, unreached: Unreached | None = None
    ) -> list[Number]:
        """New numbers with one pullback."""
        results = [Number(self, value) for value in values]
        if self.recording:
            self.records.append(Record(results, operands, pull, unreached))
        return results

    def apply(self, op: str, operands: Sequence[Any]) -> Number:
        """A primitive."""
        if op == "reduce":
            return Number(self, operands[1](operands[0].value))
        numbers = self._aligned(op, [self.lift(operand) for operand in operands])
        key, (y, turned) = self._evaluated(op, numbers)
        a, rule = [number.value for number in numbers], RULES[op]
        found = self.record(y, numbers, lambda d: rule.pull(self.rounding, d, y, *a),
                            lambda u: rule.unreached(u, turned, *a))  # fmt: skip
        found.fixed = key
        return found

    def _evaluated(self, op: str, numbers: Sequence[Number]) -> tuple[Key | None, tuple[Array, Any]]:
        """The key of a primitive's value, None where it is not fixed; the value, and where its condition is turned."""
        if op == "width":
            count = np.prod(numbers[0].value.shape[2:], dtype=int)
            return self._once((op, int(count)), 1, lambda: self._value(op, [numbers[0].value[:, :1]]))
        known = [number.fixed for number in numbers]
        if None in known:
            return None, self._value(op, [number.value for number in numbers])
        rows = max(number.value.shape[1] for number in numbers)
        return self._once((op, *known), rows, lambda: self._value(op, [self.once[key][0] for key in known if key]))

    def _once(
        self, key: Key, rows: int, compute: Callable[[], tuple[Array, Any]]
    ) -> tuple[Key, tuple[Array, Any]]:
        """A fixed value, computed when it is first asked for, in each of `rows` rows."""
        if key not in self.once:
            self.once[key] = compute()
        y, turned = self.once[key]
        return key, (_in_rows(y, rows), turned if turned is False else _in_rows(turned, rows))

    def _value(self, op: str, a: Sequence[Array]) -> tuple[Array, Any]:
        rule, turned = RULES[op], False
        y = rule.value(self.rounding, *a)
        if rule.margin is not None and (self.recording or op not in CORNERS):
            turned = self.rounding.turned(rule.margin(*a))
            y = y if rule.turn is None else rule.turn(turned, y, *a)
        return y, turned

    def _aligned(self, op: str, numbers: list[Number]) -> list[Number]:
        """The operands of a primitive; a number beside a matrix is one too, of one row and one column."""
        ranks = {number.value.ndim for number in numbers}
        rank = max(ranks)
        if len(ranks) == 1 or op in ("outer", "matmul"):
            return numbers
        return [number if number.value.ndim == rank else self.shaped(number, (1, 1)) for number in numbers]

    def lift(self, operand: Any) -> Number:
        """A number as it is; a constant rounded to the precision, equally at every use."""
        if isinstance(operand, Number):
            return operand
        value = float(operand)
        if value not in self.constants:
            array = self.rounding.array(np.full((1, 1, 1), value))
            held = not np.isfinite(value) or float(np.float32(value)) == value
            number = self.constants[value] = Number(self, array if held else self.rounding.round(array))
            number.fixed, _ = self._once(("constant", value), 1, lambda: (number.value, False))
        return self.constants[value]

    def learned(self, parameter: Parameter, rows: int) -> Number:
        """A vector or matrix of the parameters in each of `rows` rows, whose cotangents are numbers of these rows."""
        key, (value, _) = self._once(("parameter", id(parameter)), rows, lambda: (parameter.value, False))
        found = self.record(value, [parameter], lambda d: [d])
        found.fixed = key
        return found

    def affine(self, matrix: Parameter, bias: Parameter | None, v: Number, use: int = 0) -> Number:
        """`W v + b`, for each row."""
        turned = np.swapaxes(matrix.value, 1, 2)

        def pull(d: Array) -> tuple[Outer, Array]:
            return Outer(d, v.value, use), self.rounding.dot(d, matrix.value)

        product = self._mapped(("map", id(matrix)), turned, matrix, v, pull)
        return product if bias is None else product + bias

    def transposed(self, matrix: Parameter, v: Number, use: int = 0) -> Number:
        """`U' v`, for each row."""
        turned = np.swapaxes(matrix.value, 1, 2)

        def pull(d: Array) -> tuple[Outer, Array]:
            return Outer(v.value, d, use), self.rounding.dot(d, turned)

        return self._mapped(("transposed", id(matrix)), matrix.value, matrix, v, pull)

    def _mapped(self, name: Key, factor: Array, matrix: Parameter, v: Number, pull: Pull) -> Number:
        """The product with a factor, for each row."""
        if v.fixed is None:
            return self.record(self.rounding.dot(v.value, factor), [matrix, v], pull)
        given, rows = self.once[v.fixed][0], v.value.shape[1]
        key, (y, _) = self._once((*name, v.fixed), rows, lambda: (self.rounding.dot(given, factor), False))
        found = self.record(y, [matrix, v], pull)
        found.fixed = key
        return found

    def features(self, number: Number, part: slice) -> Number:
        """Some features."""

        def pull(d: Array) -> list[Array]:
            whole = np.zeros((d.shape[0], *number.value.shape[1:]), d.dtype)
            whole[..., part] = d
            return [whole]

        return self.record(number.value[..., part], [number], pull)

    def shaped(self, number: Number, shape: Sequence[int]) -> Number:
        """The same entries of each row in another shape."""
        value, own = number.value, number.value.shape[2:]
        found = self.record(_shaped(value, shape), [number], lambda d: [_shaped(d, own)])
        if number.fixed is not None:
            one = self.once[number.fixed][0]
            found.fixed, _ = self._once(("shaped", *shape, number.fixed), 1, lambda: (_shaped(one, shape), False))
        return found

    def take(self, number: Number, rows: Array | slice) -> Number:
        """Some rows, in the order given."""
        return self.record(number.value[:, rows], [number], lambda d: [Rows(rows, d)])

    def put(self, pieces: Sequence[tuple[Number, Array]], rows: int, width: int) -> Number:
        """Pieces put into their rows, zeros in all others."""
        value = self.rounding.array(np.zeros((self.rounding.runs, rows, width)))
        for number, places in pieces:
            value[:, places] = number.value
        return self.record(value, [n for n, _ in pieces], lambda d: [d[:, places] for _, places in pieces])

    def reached(self, number: Number) -> Number:
        """A copy of the number at the end of a step or layer, where a cotangent always arrives, even if zeros."""
        anew = self.record(number.value, [number], lambda d: [d])
        if self.recording:
            anew.cotangent = self.rounding.array(np.zeros((self.rounding.runs, *number.value.shape[1:])))
        return anew

    def in_rows(self, number: Number, rows: int) -> Number:
        """The number in each of `rows` rows, also where it is a state made of vectors, equal in all rows."""
        if number.value.shape[1] == rows:
            return number
        return self.record(_in_rows(number.value, rows), [number], lambda d: [d])

    def join(self, numbers: Sequence[Number]) -> Number:
        """The numbers joined along features."""
        ends = np.cumsum([number.value.shape[-1] for number in numbers])
        value = np.concatenate([number.value for number in numbers], -1)
        return self.record(value, numbers, lambda d: np.split(d, ends[:-1], -1))

    def add_up(self, number: Number) -> Number:
        """The sum over rows."""

        def pull(d: Array) -> list[Array]:
            return [np.broadcast_to(d, (d.shape[0], *number.value.shape[1:]))]

        return self.record(self.rounding.total(number.value, 1), [number], pull)

    def pull_back(self, seeds: Sequence[tuple[Number, Array]]) -> None:
        """Hand the cotangents of some numbers back through all records, which are no longer needed then."""
        for number, cotangent in seeds:
            number.receive(cotangent)
        while self.records:
            self.records.pop().pull_back()


class MapTape(Tape):
    """A tape for rules: maps `(runs, out, in)` or `(runs, heads, out, in)`, vectors `(runs, out, 1)` and numbers.

    It records nothing.
    """

    def __init__(self, rounding: Rounding) -> None:
        super().__init__(rounding, recording=False)

    def apply(self, op: str, operands: Sequence[Any]) -> Number:
        """A primitive; a total sums over all of a map, or over one of its axes, and a width counts all of it."""
        a = self.lift(operands[0]).value
        if op in ("total", "width"):
            return super().apply(op, [Number(self, a.reshape(len(a), 1, -1))])
        if op in ("total_in", "total_out"):
            alone = op == "total_in" and a.shape[-1] == 1
            return Number(self, a if alone else self.rounding.total(a, a.ndim - 1 if op == "total_in" else a.ndim - 2))
        return super().apply(op, operands)

    def _value(self, op: str, a: Sequence[Array]) -> tuple[Array, Any]:
        """A rule divides by norms and the like, which are 0 only where what they divide is."""
        return (self.rounding.divide(*a), False) if op == "divide" else super()._value(op, a)


def _in_rows(a: Array, rows: int) -> Array:
    return np.broadcast_to(a, (a.shape[0], rows, *a.shape[2:]))


def _shaped(a: Array, shape: Sequence[int]) -> Array:
    return a.reshape(*a.shape[:2], *shape)


def _stacked(rounding: Rounding, arrays: list[Array]) -> Array:
    return np.concatenate([np.broadcast_to(a, (rounding.runs, *a.shape[1:])) for a in arrays], 1)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """No search for garbage, which would take a quarter of the time: a tape needs all of its numbers to the end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
