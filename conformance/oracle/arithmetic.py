"""The arithmetic of the oracle: exact up to its dtype, or perturbed as a declared precision rounds."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["EXACT", "EXTENDED", "Arithmetic", "Kinks", "Rounding"]

Array = Any


@dataclass
class Kinks:
    """What a calculation met: conditions too near to call, poles within rounding, and its largest finite number."""

    near: int = 0
    poles: int = 0
    largest: float = 0.0


@dataclass(frozen=True)
class Arithmetic:
    """The oracle's dtype, and the number and rounding of the perturbed runs beside run 0.

    `unit` is the unit roundoff of stored numbers, `accumulator` that of sums, `function` the error of an elementary
    function in such units of its range, all of the simulated precision. `lost` is the most that underflow may take
    from a number. `seed` is the seed of the perturbations.
    """

    dtype: Any = np.float64
    runs: int = 0
    unit: float = 0.0
    accumulator: float = 0.0
    function: float = 0.0
    lost: float = 0.0
    seed: int = 0
    kinks: Kinks = field(default_factory=Kinks, compare=False)


EXACT = Arithmetic()
EXTENDED = Arithmetic(np.longdouble)
"""80-bit numbers on x86, as reference for float64."""

NEAR = 8.0
"""Rounding could turn a condition whose margin is below this multiple of its spread over the runs."""

TURNED = 4
"""Such a condition is turned in one perturbed run of so many."""

MEDIAN = 1.5
"""The spread of normal numbers over the median of their sizes."""

REACH = 4.0
"""Rounding hardly ever moves a number by more than this multiple of its spread."""

FEW_BITS = 2.0**-12
"""With a greater unit roundoff a state often repeats itself, and so do its roundings, which then add up."""

STORED = slice(1, None, 8)
"""The runs that round to the nearest number of a precision of few bits, as a backend does."""

BLOCK = 2**15
"""The random numbers of one draw."""


class Rounding:
    """Arithmetic on plain arrays `(runs, rows, features)`, each result rounded as the arithmetic says.

    The rounding of an operation is uniform on +-unit times its gauge. The gauge of a sum is that of the BLAS testers,
    the sum of the absolute terms, which does not depend on their order; independent roundings of partial sums grow as
    the square root of their number (Higham and Mary, 2019).
    """

    def __init__(self, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.runs = arithmetic.runs + 1
        self._rng = np.random.default_rng(arithmetic.seed)
        self._drawn, self._used = np.empty(0, np.float32), 0

    def array(self, values: Any) -> Array:
        """Numbers in the oracle's dtype."""
        return np.asarray(values, self.arithmetic.dtype)

    def round(self, y: Array, gauge: Array | None = None) -> Array:
        """`y`, perturbed in every run but run 0 by up to unit * gauge; the gauge is |y| if None."""
        if not self.arithmetic.runs:
            return y
        size = np.abs(y)
        finite = self._note(size)
        grown = self.arithmetic.unit * size if gauge is None else gauge
        if self.arithmetic.lost:
            grown = grown + self.arithmetic.lost * np.sign(size)
        found = self._draw((self.runs, *y.shape[1:]))
        found *= grown
        found += y
        found[0] = y[0]
        if self.arithmetic.unit > FEW_BITS:
            found[STORED] = self._stored(y[STORED] if len(y) > 1 else y)
        return found if finite else np.where(np.isfinite(y), found, y)

    def _stored(self, y: Array) -> Array:
        """The numbers of the precision that are nearest to `y`."""
        _, exponent = np.frexp(y)
        apart = np.maximum(np.ldexp(self.arithmetic.unit, exponent), 2 * self.arithmetic.lost)
        return np.rint(y / apart) * apart

    def _draw(self, shape: tuple[int, ...]) -> Array:
        """Uniform numbers on +-1 from a block that serves many small arrays; the caller may modify them."""
        begin, end = self._used, self._used + math.prod(shape)
        if end > len(self._drawn):
            begin, end = 0, end - begin
            self._drawn = self.array(2.0 * self._rng.random(max(end, BLOCK), np.float32) - 1.0)
        self._used = end
        return self._drawn[begin:end].reshape(shape)

    def function(self, y: Array, span: Array, inner: int = 0) -> Array:
        """The value of an elementary function, accurate to some units of `span` and rounded.

        Its units are those of sums, since sixteen bits compute it in float32. But a function that is composed of others
        may store `inner` values in between.
        """
        own = self.arithmetic
        units = own.function * own.accumulator + inner * (own.unit - own.accumulator)
        return self.round(y, units * span + own.unit * np.abs(y))

    def add(self, a: Array, b: Array) -> Array:
        return self.round(a + b)

    def sum(self, y: Array, size: Array) -> Array:
        """A sum, perturbed by the roundings of partial sums of some size, which has one run."""
        return self.round(y, self.arithmetic.unit * size)

    def subtract(self, a: Array, b: Array) -> Array:
        return self.round(a - b)

    def multiply(self, a: Array, b: Array) -> Array:
        return self.round(a * b)

    def divide(self, a: Array, b: Array) -> Array:
        """`a / b`; where b is 0, every second perturbed run takes it for -0, since zero has no sign."""
        zero = b == 0
        if self.arithmetic.runs and zero.any():
            signs = np.where(np.arange(self.runs) % 2, -0.0, 0.0).reshape(-1, *[1] * (b.ndim - 1))
            b = np.where(zero, signs, b)
        return self.round(a / b)

    def zeroed(self, a: Array) -> Array:
        """`a`, which is 0 in one perturbed run of some where rounding could make it 0.

        Roundings that are drawn make no number exactly 0, but those of a few bits do, and there a function may be
        infinite.
        """
        runs = self.arithmetic.runs
        if not runs or a.shape[0] == 1:
            return a
        near = (a[0] != 0) & (np.abs(a[0]) < REACH * self._usual_spread(a))
        self.arithmetic.kinks.poles += int(near.sum())
        return np.where(self._in_some_runs(near), 0.0, a) if near.any() else a

    def dot(self, a: Array, b: Array) -> Array:
        """`a @ b`, run by run. The size of all sums is that of run 0, since a product of sizes takes as long."""
        y = _product(a, b)
        if not self.arithmetic.runs:
            return y
        grown = self.arithmetic.accumulator * math.sqrt(max(a.shape[-1], 1))
        sizes = _product(np.abs(a[:1]), np.abs(b[:1]))
        return self.round(y, grown * sizes + self.arithmetic.unit * np.abs(y))

    def total(self, a: Array, axis: int) -> Array:
        """The sum over an axis, which stays with size 1."""
        y = a.sum(axis, keepdims=True)
        if not self.arithmetic.runs:
            return y
        grown = self.arithmetic.accumulator * math.sqrt(max(a.shape[axis], 1))
        return self.round(y, grown * np.abs(a).sum(axis, keepdims=True) + self.arithmetic.unit * np.abs(y))

    def turned(self, margin: Array) -> Any:
        """Where a run finds the contrary of `margin > 0`: in one run of some, if rounding could turn it; else False.

        That is the contrary of what run 0 finds: a run that by itself finds another side than run 0 is left there.
        Margins just beyond the spread of few runs turn in none of them, but may turn in a backend. Without rounding
        none turns: the runs are then calculations of their own.
        """
        if not self.arithmetic.runs or margin.shape[0] == 1:
            return False
        near = np.abs(margin[0]) < NEAR * self._spread(margin)
        self.arithmetic.kinks.near += int(near.sum())
        return self._in_some_runs(near) & ((margin > 0) == (margin[:1] > 0)) if near.any() else False

    def _spread(self, a: Array) -> Array:
        return np.sqrt(np.mean((a[1:] - a[:1]) ** 2, axis=0))

    def _usual_spread(self, a: Array) -> Array:
        """The spread of most runs, beside which a few that took another branch do not count."""
        return MEDIAN * np.median(np.abs(a[1:] - a[:1]), axis=0)

    def _in_some_runs(self, near: Array) -> Array:
        """Each of these places in one perturbed run of some."""
        runs, count = self.arithmetic.runs, int(near.sum())
        order = self._rng.permuted(np.broadcast_to(np.arange(runs)[:, None], (runs, count)), axis=0)
        found = np.zeros((self.runs, *near.shape), bool)
        found[1:, near] = order < max(1, runs // TURNED)
        return found

    def _note(self, size: Array) -> bool:
        """Record the largest finite number; return whether all are finite."""
        flat = size.ravel("K")
        largest = float(flat[flat.argmax()]) if flat.size else 0.0  # several times as fast as the maximum itself
        finite = math.isfinite(largest)
        if not finite:
            largest = float(size.max(initial=0.0, where=np.isfinite(size)))
        self.arithmetic.kinks.largest = max(self.arithmetic.kinks.largest, largest)
        return finite


def _product(a: Array, b: Array) -> Array:
    if b.shape[0] == 1:
        return (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) @ b[0]).reshape(*a.shape[:-1], b.shape[-1])
    return a @ b
