"""A stage of states that are affine entry by entry: their values over all steps, and their cotangents, by scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.parallel import Factors, Scan
from rnnspec.derivation.schedule import Schedule
from rnnspec.derivation.semirings import LINEAR, Semiring
from rnnspec.running.marks import Marks
from rnnspec.running.scans import scan
from rnnspec.tracing.graph import iterate
from rnnspec.tracing.ranks import MATRIX

__all__ = ["ScanStage"]

Valued = Callable[[int, Values], Array]
"""The value of a node over all steps, with all axes."""
Terms = tuple[dict[tuple[str, str], Array], dict[str, Array]]
"""The factors and the rests of all steps."""


@dataclass(frozen=True)
class ScanStage:
    """Runs scans among the values of a schedule's nodes."""

    arrays: Arrays
    plan: Schedule
    marks: Marks
    steps: int

    def run(self, stage: Scan, values: Values, initial: Values, valued: Valued) -> Values:
        """Add the states before each step, and after it, to `values`; return the last ones."""
        graph, semiring = self.plan.cell.graph, stage.semiring
        a, u = self._terms(stage.factors, stage.rest, semiring, values, initial, valued)
        a, u = self._real(*self._fresh(a, u, semiring), semiring, initial)
        after, last = scan(self.arrays, semiring, a, u, initial)
        leaves = {node.name: index for index, node in iterate(graph.nodes, "state")}
        for state in stage.states:
            if state in leaves:
                before = self.arrays.concatenate([initial[state][None], after[state][:-1]], 0)
                values[leaves[state]] = self.marks.going_on(self._rank(state), before)
            values.setdefault(graph.result(state), after[state])
        return last

    def pull(
        self, stage: Scan, values: Values, carried: Values, direct: Mapping[str, Array], seeds: Mapping[str, int],
        valued: Valued,
    ) -> Values:
        """Add the cotangents of the states after each step to `values`; return those of the first states.

        `carried` are the cotangents of the last states, `direct` those of an output that is a state.
        """
        a, u = self._terms(stage.back, stage.back_rest, LINEAR, values, carried, valued)
        a = {(s, t): self.marks.going_on(self._rank(s), v) for (s, t), v in a.items()}
        u = {s: self.marks.going_on(self._rank(s), v) for s, v in u.items()}
        a, u = self._real(a, u, LINEAR, carried)
        reached = {s: self._reached(u, s, d, direct.get(s)) for s, d in carried.items()}
        before, first = scan(self.arrays, LINEAR, a, u, reached, reverse=True)
        for s, d in reached.items():
            values[seeds[s]] = self.arrays.concatenate([before[s][1:], d[None]], 0)
        return first

    def _reached(self, u: dict[str, Array], state: str, carried: Array, direct: Array | None) -> Array:
        """The cotangent of the last state with that of its output; those of earlier outputs are added to `u`.

        They join the cotangents of the states before these are multiplied: two that cancel leave no rounding behind.
        """
        if direct is None:
            return carried
        add, none = self.arrays.functions["add"], self.arrays.zeros((1, *carried.shape))
        u[state] = add(u[state], self.arrays.concatenate([none, direct[:-1]], 0))
        return add(carried, direct[-1])

    def _terms(
        self, factors: Factors, rests: tuple[tuple[str, int], ...], semiring: Semiring, values: Values, like: Values,
        valued: Valued,
    ) -> Terms:
        def fitting(state: str, index: int) -> Array:
            """The value of a node with the axes of a state: a number times a matrix has none of its two."""
            a = valued(index, values)
            return a[..., None] if self._rank(state) == MATRIX != self.plan.ranks[index] else a

        own = dict(rests)
        a = {pair: fitting(pair[0], index) for pair, index in factors}
        return a, {s: fitting(s, own[s]) if s in own else self._filled(like[s], semiring.zero) for s in like}

    def _fresh(self, a: dict[tuple[str, str], Array], u: dict[str, Array], semiring: Semiring) -> Terms:
        """The terms where steps that start afresh read a state of zeros."""
        if self.marks.resets is None:
            return a, u
        f = self.arrays.functions
        if semiring.zero != 0.0:
            for (s, _), factor in a.items():
                of_zero = f[semiring.plus](u[s], f[semiring.times](factor, self.arrays.scalar(0.0)))
                u[s] = self.marks.going_on(self._rank(s), u[s], of_zero)
        none = self.arrays.scalar(semiring.zero)
        return {(s, t): self.marks.going_on(self._rank(s), v, none) for (s, t), v in a.items()}, u

    def _real(
        self, a: dict[tuple[str, str], Array], u: dict[str, Array], semiring: Semiring, like: Values
    ) -> Terms:
        """The terms where padded steps change no state."""
        if self.marks.mask is None:
            return a, u
        a = {(s, s): self._filled(like[s], semiring.zero) for s in like} | a
        kept = {(s, t): self.marks.real(self._rank(s), v, semiring.one if s == t else semiring.zero)
                for (s, t), v in a.items()}  # fmt: skip
        return kept, {s: self.marks.real(self._rank(s), v, semiring.zero) for s, v in u.items()}

    def _rank(self, state: str) -> int:
        return self.plan.cell.ranks[state]

    def _filled(self, like: Array, value: float) -> Array:
        zeros = self.arrays.zeros((self.steps, *like.shape))
        return zeros if value == 0.0 else self.arrays.functions["add"](zeros, self.arrays.scalar(value))
