"""Recomputation: the pullback runs segments of a sequence again, so that it needs the memory of one segment only.

The forward run keeps the states at the ends of segments. The pullback goes from the last segment to the first, runs
each again, and pulls it back. This takes about a third more time (Chen et al., 2016, section 4.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Scan, Values
from rnnspec.contract.kernel import Call, Kernel, run_layer
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import STEP, Recurrence, reads_step, trace_hook
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.running.widening import Cast
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree, leaves, named_map, tree_map

__all__ = ["Recomputing", "Saved"]

INPUTS, OUTPUTS, HERE, STEPS = ".inputs", ".outputs", ".here", ".steps"
"""The arguments of a segment beside states, under names that no state can have."""


def _as_it_is(a: Array) -> Array:
    """The default cast."""
    return a


@dataclass(frozen=True)
class Saved:
    """The values that a run keeps: inputs, lengths, resets, and the states at the beginning of segments.

    Where segments are not run again, also their results by first step.
    """

    inputs: Array
    lengths: Array | None
    begins: Values
    rest: Values
    runs: Mapping[int, LayerResult]
    resets: Resets | None = None


@dataclass(frozen=True)
class _From(Recurrence):
    """A policy that gets the step index of the sequence, where a segment counts from its own first step."""

    policy: Recurrence
    first: int

    def carry(self, step: Any, cotangents: Any) -> Any:
        return self.policy.carry(step + self.first, cotangents)

    def total(self, step: Any, cotangents: Any) -> Any:
        return self.policy.total(step + self.first, cotangents)


class Recomputing:
    """A kernel that runs segments of `every` steps, or of about the square root of all, and runs them again.

    The gradients of parameters are added up as `wide` numbers, of which `narrow` makes the result. A subclass with
    `keeps` keeps each segment's result and pulls that back instead.
    """

    keeps = False

    def __init__(
        self, kernel: Kernel, arrays: Arrays, every: int | None, wide: Cast = _as_it_is, narrow: Cast = _as_it_is
    ) -> None:
        self.kernel, self.arrays, self.every = kernel, arrays, every
        self.wide, self.narrow = wide, narrow

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """The outputs and the final state of the kernel."""
        n, whole = self.sizes(call)
        paths, runs = [""], dict[int, LayerResult]()

        def run(values: Values, carried: Values, first: Any, steps: int) -> LayerResult:
            part = replace(call, steps=steps, pullback=self.keeps and call.pullback)
            ends = self.left(lengths, first, steps)
            found = run_layer(self.kernel, cell, params, values[INPUTS], carried, ends, part, _resets(values))
            paths[0] = paths[0] or found.path  # a last segment of few steps has another
            if part.pullback:
                runs[first] = found
            return found

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            found = run(now, carried, t * n, n)
            return found.state, {**carried, "": found.outputs}

        given = {INPUTS: inputs, **_marks(resets)}
        now, kept = self._scan(None)(body, dict(state), self._segments(given, n, whole), whole, False)
        outputs, final = [self._flat(kept.pop(""))], now
        if call.steps > whole * n:
            rest = {name: a[whole * n :] for name, a in given.items()}
            last = run(rest, now, whole * n, call.steps - whole * n)
            outputs, final = [*outputs, last.outputs], last.state
        saved = Saved(inputs, lengths, kept, now, runs, resets)
        return LayerResult(self._joined(outputs), final, self.said(paths[0], n), saved)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The kernel's pullback, segment by segment from the last; the gradients of parameters are added up."""
        saved: Saved = result.saved
        n, whole = self.sizes(call)
        edge = trace_hook(call.policy, "carry", cell.states) if call.policy else None
        counting = call.policy if saved.resets is None and _reads_step(call.policy, cell) else None

        def pull(now: Values, begin: Values, carried: Values, first: Any, steps: int) -> Gradients:
            part = replace(call, steps=steps, policy=_From(counting, first) if counting else call.policy)
            ends = self.left(saved.lengths, first, steps)
            kept = saved.runs.get(first) if self.keeps else None
            again = kept or run_layer(self.kernel, cell, params, now[INPUTS], begin, ends, part, _resets(now))
            cotangent = {s: carried[s] for s in cell.states}
            added = named_map(lambda name, _: carried[name], params, name="params")
            found = self.pulled(cell, params, again, now[OUTPUTS], cotangent, part, added)
            return replace(found, state=self._passed(edge, found.state, first, saved.lengths, _resets(now)))

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            found = pull(now, {s: now[s] for s in cell.states}, carried, t * n, n)
            return {**found.state, **dict(leaves(found.params, "params"))}, {"": found.inputs}

        begun = sums or tree_map(lambda a: self.wide(self.arrays.zeros(tuple(a.shape))), params)
        carried, inputs = {**state_cotangent, **dict(leaves(begun, "params"))}, []
        given = {INPUTS: saved.inputs, OUTPUTS: output_cotangent, **_marks(saved.resets)}
        if call.steps > whole * n:
            rest = {name: a[whole * n :] for name, a in given.items()}
            found = pull(rest, saved.rest, carried, whole * n, call.steps - whole * n)
            carried, inputs = {**found.state, **dict(leaves(found.params, "params"))}, [found.inputs]
        values = {**self._segments(given, n, whole), **saved.begins}
        done, kept = self._scan(counting)(body, carried, values, whole, True)
        own = named_map(lambda name, _: self.narrow(done[name]), params, name="params")
        return Gradients(own, self._joined([self._flat(kept[""]), *inputs]), {s: done[s] for s in cell.states})

    # Methods that a backend may override.

    def said(self, path: str, n: int) -> str:
        """The path of the result, by that of the kernel and the steps of a segment."""
        return path if self.keeps else f"{path}, run again every {n} steps"

    def sizes(self, call: Call) -> tuple[int, int]:
        """The steps of a segment, and the number of full segments."""
        n = min(self.every or math.ceil(math.sqrt(call.steps)), call.steps)
        return n, call.steps // n

    def left(self, lengths: Array | None, first: Any, steps: int) -> Array | None:
        """The lengths of the rows within the segment of `steps` steps from `first`."""
        if lengths is None:
            return None
        left, where = lengths - first, self.arrays.functions["where"]
        return where(left < 0, lengths - lengths, where(left > steps, lengths - lengths + steps, left))

    def pulled(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree,
        call: Call, sums: Tree,
    ) -> Gradients:
        """The pullback of a segment, with the gradients of parameters added to those of later segments."""
        found = self.kernel.layer_pullback(cell, params, result, output_cotangent, state_cotangent, call)
        add = self.arrays.functions["add"]
        return replace(found, params=tree_map(lambda a, b: add(a, self.wide(b)), sums, found.params))

    def _segments(self, values: Values, n: int, whole: int) -> Values:
        return {name: self.arrays.reshape(a[: whole * n], (whole, n, *a.shape[1:])) for name, a in values.items()}

    def _flat(self, segments: Array) -> Array:
        whole, n, *shape = segments.shape
        return self.arrays.reshape(segments, (whole * n, *shape))

    def _joined(self, parts: list[Array]) -> Array:
        return parts[0] if len(parts) == 1 else self.arrays.concatenate(parts, 0)

    def _scan(self, counting: Recurrence | None) -> Callable[..., tuple[Values, Values]]:
        """The framework's loop, or a Python loop where a policy reads the step index."""
        return self.arrays.scan if counting is None else self._written_out

    def _written_out(
        self, body: Scan, carried: Values, values: Values, count: int, backwards: bool
    ) -> tuple[Values, Values]:
        records = []
        for t in reversed(range(count)) if backwards else range(count):
            carried, record = body(carried, {key: a[t] for key, a in values.items()}, t)
            records.append({key: self.arrays.reshape(a, (1, *a.shape)) for key, a in record.items()})
        ordered = records[::-1] if backwards else records
        return carried, {key: self._joined([record[key] for record in ordered]) for key in records[0]}

    def _passed(
        self, edge: Graph | None, cotangents: Values, first: Any, lengths: Array | None, resets: Resets | None
    ) -> Values:
        """The cotangents on the edge into a segment's first step, unless a part begins there, in rows with that step.

        A part begins at step 0, and at a reset, from which no cotangent comes.
        """
        if edge is None:
            return cotangents
        shapes = {s: tuple(d.shape) for s, d in cotangents.items()}
        seen = {s: self._as_vector(d) for s, d in cotangents.items()}
        found = self._cut(edge, seen, first, lengths, resets)
        return {s: d if len(shapes[s]) == 2 else self.arrays.reshape(d, shapes[s]) for s, d in found.items()}

    def _as_vector(self, state: Array) -> Array:
        """A state as a policy sees it: one vector of a row."""
        return state if len(state.shape) == 2 else self.arrays.reshape(state, (state.shape[0], -1))

    def _cut(
        self, edge: Graph, cotangents: Values, first: Any, lengths: Array | None, resets: Resets | None
    ) -> Values:
        where, begun = self.arrays.functions["where"], self.arrays.as_scalar(first)
        step = begun if resets is None or resets.steps is None else resets.steps[0]
        cut = evaluate_graph(self.arrays, edge, {**cotangents, STEP: step})
        inner = self.arrays.functions["greater"](begun, self.arrays.scalar(0.5))
        cut = {s: where(inner, cut[s], d) for s, d in cotangents.items()}
        if resets is not None:
            cut = {s: where(resets.here[0], d, cut[s]) for s, d in cotangents.items()}
        running = None if lengths is None else (lengths > first)[:, None]
        return cut if running is None else {s: where(running, cut[s], d) for s, d in cotangents.items()}


def _reads_step(policy: Recurrence | None, cell: Cell) -> bool:
    return policy is not None and reads_step(policy, cell.states)


def _marks(resets: Resets | None) -> Values:
    """Resets among the values of segments."""
    given = {} if resets is None else {HERE: resets.here, STEPS: resets.steps}
    return {name: a for name, a in given.items() if a is not None}


def _resets(values: Values) -> Resets | None:
    """The resets of a segment."""
    return Resets(values[HERE], values.get(STEPS)) if HERE in values else None
