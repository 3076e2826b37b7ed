"""A layer of a cell that is not affine, solved over all steps at once by Newton's method: an experiment.

Each iteration linearises every step at the present states, and solves that linear recurrence by a scan. The entries of
the Jacobian are the factors of the cell's cotangents, which are derived. So a cell will do whose cotangents a scan can
run: one whose units see their own states alone. What is found counts only as far as its residual is small, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.adjoint import Adjoint, derive
from rnnspec.derivation.affine import Affinity
from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.running.axes import Axes
from rnnspec.running.evaluation import Evaluator
from rnnspec.running.gradients import map_gradients
from rnnspec.running.maps import Maps
from rnnspec.running.scans import linear_scan
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import GraphBuilder, ancestors, descendants, iterate
from rnnspec.tree import Tree

__all__ = ["Equations", "Solved", "Solver", "gradients"]

GIVEN = ("constant", "vector", "width")
"""The operations whose values are the same for all steps."""
Compiled = Callable[[Callable[..., Any]], Callable[..., Any]]
"""What compiles a function of arrays, or returns it as it is."""


@dataclass(frozen=True)
class Solved:
    """The states before each step (time, batch, ...) and the outputs that were found.

    `residual` is the largest distance of a state from the step of the state before it, over 1 plus its size. Only with
    `converged` is it below the bound everywhere; `failed` are the steps where it is not, or where it is no number.
    """

    before: Values
    outputs: Array
    iterations: int
    residual: float
    converged: bool
    failed: tuple[int, ...]


class Equations:
    """A cell with the factors of its cotangents; raises NotAffine where its units see one another."""

    def __init__(self, cell: Cell) -> None:
        adjoint = derive(cell.graph)
        builder = GraphBuilder(list(adjoint.nodes))
        seeds = {node.name: i for i, node in iterate(builder.nodes, "cotangent")}
        affinity = Affinity(builder, {seeds[state] for state in cell.states})
        self.leaves = {node.name: i for i, node in iterate(cell.graph.nodes, "state")}
        self.results = {state: cell.graph.result(state) for state in cell.states}
        forms = {s: affinity.of(i) for s in cell.states if (i := adjoint.leaf("state", s)) is not None}
        self.factors = {(t, s): form.factors[seeds[t]] for s, form in forms.items() for t in cell.states
                        if seeds[t] in form.factors}  # fmt: skip
        self.rests = {s: form.rest for s, form in forms.items() if form.rest is not None}
        self.seeds, self.shown = seeds, cell.output_state
        complete = Adjoint(tuple(builder.nodes), adjoint.forward, adjoint.leaves, adjoint.maps)
        self.plan = Schedule(cell, complete, Phases((), (), ()), Phases((), (), ()))

    @property
    def fixed(self) -> list[int]:
        """The nodes of the steps and of their factors that depend on no state, so that they are computed once."""
        nodes, wanted = self.plan.nodes, [*self.results.values(), *self.factors.values()]
        moving = descendants(nodes, [*self.leaves.values(), *self.seeds.values()])
        return sorted(i for i in ancestors(nodes, wanted) - moving if nodes[i].op not in (*GIVEN, "x"))


class _Steps:
    """The equations at the states before all steps, with the parameters and inputs of one layer."""

    def __init__(self, arrays: Arrays, equations: Equations, params: Tree, inputs: Array, initial: Values) -> None:
        self.arrays, self.equations, self.inputs, self.initial = arrays, equations, inputs, initial
        self.maps = Maps(arrays, equations.plan, params, initial, inputs)
        self.axes = Axes(arrays, equations.plan, inputs)
        self.evaluator = Evaluator(arrays, equations.plan, self.maps)

    def fixed(self) -> list[Array]:
        """The values of the nodes that depend on no state."""
        values = self.axes.given()
        self.evaluate(self.equations.fixed, values)
        return [values[i] for i in self.equations.fixed]

    def values(self, fixed: list[Array], before: Values) -> Values:
        """The values to begin with at some states."""
        found = self.axes.given() | dict(zip(self.equations.fixed, fixed, strict=True))
        return found | {self.equations.leaves[s]: a for s, a in before.items() if s in self.equations.leaves}

    def evaluate(self, wanted: Iterable[int], values: Values) -> None:
        """Add the values of nodes and of all that they need."""
        nodes, left, needed = self.equations.plan.nodes, list(wanted), set[int]()
        while left:
            index = left.pop()
            if index not in values and index not in needed and nodes[index].op not in GIVEN:
                needed.add(index)
                left.extend(nodes[index].args)
        self.evaluator.run(sorted(needed), values)

    def value(self, index: int, values: Values) -> Array:
        """The value of a node over all steps and rows."""
        return self.axes.wide(index, self.evaluator.value(index, values))

    def linearised(self, values: Values) -> tuple[Values, dict[tuple[str, str], Array]]:
        """The states after each step, and the factors of the states before in them."""
        wanted = self.equations
        self.evaluate([*wanted.results.values(), *wanted.factors.values()], values)
        after: Values = {s: self.value(i, values) for s, i in wanted.results.items()}
        return after, {pair: self.value(i, values) for pair, i in wanted.factors.items()}

    def shifted(self, after: Values) -> Values:
        """The states before each step from those after it."""
        return {s: self.arrays.concatenate([self.initial[s][None], a[:-1]], 0) for s, a in after.items()}

    def iterate(self, fixed: list[Array], before: Values) -> tuple[Array, Values, Array]:
        """The residual of each step, the states before each step of the next iteration, and the outputs."""
        f = self.arrays.functions
        values = self.values(fixed, before)
        after, factors = self.linearised(values)
        rest = dict(after)
        for (t, s), factor in factors.items():
            rest[t] = f["subtract"](rest[t], f["multiply"](factor, before[s]))
        found, _ = linear_scan(self.arrays, factors, rest, self.initial)
        output = self.equations.plan.cell.graph.result(OUTPUT)
        self.evaluate([output], values)
        return self.residual(before, after), self.shifted(found), self.value(output, values)

    def residual(self, before: Values, after: Values) -> Array:
        """How far the state before each step is from the step before that, over 1 plus its size: (time)."""
        f, worst = self.arrays.functions, None
        for s, a in self.shifted(after).items():
            apart = f["subtract"](before[s], a)
            size = f["add"](f["maximum"](a, f["negate"](a)), self.arrays.scalar(1.0))
            found = f["divide"](f["maximum"](apart, f["negate"](apart)), size)
            worst = found if worst is None else f["maximum"](worst, found)
        flat = self.arrays.reshape(worst, (self.inputs.shape[0], -1))
        return self.arrays.largest(flat)[:, 0]


class Solver:
    """Solves layers of one cell on one backend; `compiled` compiles a function of arrays, or returns it as it is."""

    def __init__(self, backend: Any, equations: Equations, compiled: Compiled = lambda f: f) -> None:
        self.backend, self.equations = backend, equations
        self.start, self.step = compiled(self._start), compiled(self._step)

    def solve(self, params: Tree, inputs: Array, initial: Values, bound: float, most: int) -> Solved:
        """The states and outputs of a layer by Newton's method from states that stay as they begin.

        It ends when no residual is above `bound`, or one is no number, or after `most` iterations.
        """
        arrays = self.backend.arrays
        fixed = self.start(params, inputs, initial)
        zeros = {s: arrays.zeros((inputs.shape[0], *a.shape)) for s, a in initial.items()}
        before = {s: arrays.functions["add"](zeros[s], a) for s, a in initial.items()}
        iterations = 0
        while True:
            residuals, following, outputs = self.step(params, inputs, initial, fixed, before)
            each = np.asarray(self.backend.to_numpy(residuals))
            failed = np.flatnonzero(~(each <= bound))
            if not len(failed) or np.isnan(each).any() or iterations == most:
                return Solved(before, outputs, iterations, float(each.max()), not len(failed), tuple(failed.tolist()))
            before, iterations = following, iterations + 1

    def _start(self, params: Tree, inputs: Array, initial: Values) -> list[Array]:
        """The values that depend on no state."""
        return _Steps(self.backend.arrays, self.equations, params, inputs, initial).fixed()

    def _step(self, params: Tree, inputs: Array, initial: Values, fixed: list[Array], before: Values) -> Any:
        """One iteration."""
        return _Steps(self.backend.arrays, self.equations, params, inputs, initial).iterate(fixed, before)


def gradients(
    arrays: Arrays, equations: Equations, params: Tree, inputs: Array, initial: Values, before: Values, cotangent: Array
) -> tuple[Tree, Array, Values]:
    """The cotangents of parameters, inputs and initial state from those of the outputs, by one scan backward.

    `before` are the states before each step, of any forward run.
    """
    steps = _Steps(arrays, equations, params, inputs, initial)
    f, seeds, values = arrays.functions, equations.seeds, steps.values(steps.fixed(), before)
    if equations.shown is None:
        values[seeds[OUTPUT]] = cotangent
    steps.evaluate([*equations.factors.values(), *equations.rests.values()], values)
    a = {(s, t): steps.value(i, values) for (t, s), i in equations.factors.items()}
    u: Values = {s: steps.value(i, values) for s, i in equations.rests.items()}
    for (s, t), factor in a.items():
        if t == equations.shown:
            direct = f["multiply"](factor, cotangent)
            u[s] = f["add"](u[s], direct) if s in u else direct
    none = {s: arrays.zeros(tuple(state.shape)) for s, state in initial.items()}
    found, first = linear_scan(arrays, a, u, none, reverse=True)
    for s in initial:
        after = arrays.concatenate([found[s][1:], none[s][None]], 0)
        values[seeds[s]] = f["add"](after, cotangent) if s == equations.shown else after
    wanted = {i for (op, _), i in equations.plan.adjoint.leaves if op != "state"} | equations.plan.factors
    steps.evaluate(wanted, values)
    real = {i: steps.value(i, values) for i in wanted}
    own, into = map_gradients(arrays, equations.plan, steps.maps, inputs, real)
    return own, into, first
