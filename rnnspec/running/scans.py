"""A recurrence `s' = sum over t of a[s, t] * t + u[s]` over all steps, entry by entry, in a semiring.

All blocks of about the square root of all steps run side by side from 0; then the states at their beginnings are found
one after the other, and what becomes of them within each block is added. That takes about twice the square root of all
steps in calls, and two and a half times the arithmetic. No step divides, and nothing is summed over all steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.semirings import LINEAR, Semiring

__all__ = ["Block", "linear_scan", "scan"]

Block = Mapping[tuple[str, str], Array]
"""The factors a[s, t], each (time, ...); one that is missing is the semiring's zero."""

SHORT = 16
"""Up to so many steps a scan goes step by step."""


def linear_scan(
    arrays: Arrays, a: Block, u: Mapping[str, Array], initial: Values, reverse: bool = False
) -> tuple[Values, Values]:
    """The states after each step (time, ...), and the last ones, of `s' = sum over t of a[s, t] * t + u[s]`.

    `u[s]` and the states' shapes are (time, ...) and (...); what is missing is 0. In reverse the last step is the first
    one, so that with `a` turned around the cotangents of a scan are a scan.
    """
    return scan(arrays, LINEAR, a, u, initial, reverse)


def scan(
    arrays: Arrays, semiring: Semiring, a: Block, u: Mapping[str, Array], initial: Values, reverse: bool = False
) -> tuple[Values, Values]:
    """As `linear_scan`, with the sums and products of a semiring."""
    count = next(iter([*a.values(), *u.values()])).shape[0]
    run = _Recurrence(arrays, semiring, tuple(initial))
    if count <= SHORT:
        return run.stepwise(a, u, initial, count, reverse)
    if reverse:
        turned, last = run.by_blocks(
            {pair: arrays.flip(f) for pair, f in a.items()}, {s: arrays.flip(r) for s, r in u.items()}, initial, count
        )
        return {s: arrays.flip(t) for s, t in turned.items()}, last
    return run.by_blocks(a, u, initial, count)


@dataclass(frozen=True)
class _Recurrence:
    """The steps of states in a semiring."""

    arrays: Arrays
    semiring: Semiring
    states: tuple[str, ...]

    def stepwise(
        self, a: Block, u: Mapping[str, Array], initial: Values, count: int, reverse: bool
    ) -> tuple[Values, Values]:
        """The states of all steps, one after the other."""

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            new = {s: self._sum(s, self._given(now, a), carried, now.get(s), carried[s]) for s in self.states}
            return new, dict(new)

        last, found = self.arrays.scan(body, initial, {**a, **u}, count, reverse)
        return found, last

    def by_blocks(
        self, a: Block, u: Mapping[str, Array], initial: Values, count: int
    ) -> tuple[Values, Values]:
        """The states of all steps, by blocks that run side by side."""
        length = math.isqrt(count - 1) + 1
        blocks = -(-count // length)
        split = self._splitter(count, blocks, length)
        factors = {pair: split(f, self.semiring.one if pair[0] == pair[1] else self.semiring.zero)
                   for pair, f in self._squared(a, u).items()}  # fmt: skip
        rests = {s: split(r, self.semiring.zero) for s, r in u.items()}
        within, through = self._within(factors, rests, initial, blocks, length)
        starts, last = self._starts(within, through, initial, blocks)
        found = {s: self._sum(s, through, starts, within[s], within[s]) for s in self.states}
        return {s: self._joined(t, count) for s, t in found.items()}, last

    def _squared(self, a: Block, u: Mapping[str, Array]) -> Block:
        """The factors with those that pad a block: a state that is never its own factor stays in padded steps."""
        some = next(iter([*a.values(), *u.values()]))
        zeros = self._filled((*some.shape[:-1], 1), self.semiring.zero)
        return {**{(s, s): zeros for s in self.states}, **a}

    def _within(
        self, a: Block, u: Mapping[str, Array], initial: Values, blocks: int, length: int
    ) -> tuple[Values, Values]:
        """The states of each block from 0, and the factors of its beginning: each (position, block, ...)."""
        zeros = {s: self._filled((blocks, *h.shape), self.semiring.zero) for s, h in initial.items()}
        pairs = [(s, t) for s in self.states for t in self.states]
        widths = {pair: self._like(a, pair) for pair in pairs}
        first = {pair: self._filled(shape, self.semiring.one if pair[0] == pair[1] else self.semiring.zero)
                 for pair, shape in widths.items()}  # fmt: skip

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            own = self._given(now, a)
            new = {s: self._sum(s, own, carried, now.get(s), carried[s]) for s in self.states}
            factors: Values = {}
            for s, begun in pairs:
                column: Values = {other: carried[other, begun] for other in self.states}
                factors[s, begun] = self._sum(s, own, column, None, carried[s, begun])
            return {**new, **factors}, {**new, **factors}

        _, found = self.arrays.scan(body, {**zeros, **first}, {**a, **u}, length, False)
        return {s: found[s] for s in self.states}, {pair: found[pair] for pair in pairs}

    def _starts(self, within: Values, through: Values, initial: Values, blocks: int) -> tuple[Values, Values]:
        """The states at the beginning of each block, and the last ones."""
        ends = {**{s: w[-1] for s, w in within.items()}, **{pair: f[-1] for pair, f in through.items()}}

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            new = {s: self._sum(s, self._given(now, through), carried, now[s], carried[s]) for s in self.states}
            return new, dict(carried)

        last, starts = self.arrays.scan(body, initial, ends, blocks, False)
        return starts, last

    def _like(self, a: Block, pair: tuple[str, str]) -> tuple[int, ...]:
        """The shape of the factors of a block, which is that of the widest factor."""
        shapes = [tuple(f.shape[1:]) for f in a.values()]
        return max(shapes, key=math.prod)

    def _sum(self, state: str, a: Mapping[Any, Array], values: Values, rest: Array | None, like: Array) -> Array:
        f = self.arrays.functions
        parts = [f[self.semiring.times](a[state, t], v) for t, v in values.items()
                 if isinstance(t, str) and (state, t) in a]  # fmt: skip
        parts += [] if rest is None else [rest]
        found = parts[0] if parts else self._filled(tuple(like.shape), self.semiring.zero)
        for part in parts[1:]:
            found = f[self.semiring.plus](found, part)
        return found

    def _given(self, now: Values, a: Mapping[Any, Array]) -> Block:
        return {pair: now[pair] for pair in a}

    def _splitter(self, count: int, blocks: int, length: int) -> Callable[[Array, float], Array]:
        """What splits (time, ...) into (position, block, ...), padded at the end."""

        def split(a: Array, pad: float) -> Array:
            shape = tuple(a.shape[1:])
            if blocks * length > count:
                a = self.arrays.concatenate([a, self._filled((blocks * length - count, *shape), pad)], 0)
            cut = self.arrays.reshape(a, (blocks, length, *shape))
            return self.arrays.permute(cut, (1, 0, *range(2, len(shape) + 2)))

        return split

    def _joined(self, a: Array, count: int) -> Array:
        """The inverse of a split."""
        length, blocks, *shape = a.shape
        turned = self.arrays.permute(a, (1, 0, *range(2, len(shape) + 2)))
        return self.arrays.reshape(turned, (blocks * length, *shape))[:count]

    def _filled(self, shape: tuple[int, ...], value: float) -> Array:
        zeros = self.arrays.zeros(shape)
        return zeros if value == 0.0 else self.arrays.functions["add"](zeros, self.arrays.scalar(value))
