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
from rnnspec.contract.kernel import Call, Kernel
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.control.recurrence import HOOKS, STEP, Recurrence, trace_hook
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree, leaves, named_map, tree_map

__all__ = ["Recomputing", "Saved"]

INPUTS, OUTPUTS = ".inputs", ".outputs"
"""The arguments of a segment beside states, under names that no state can have."""


@dataclass(frozen=True)
class Saved:
    """The values that a run keeps: inputs, lengths, and the states at the beginning of segments.

    Where segments are not run again, also their results by first step.
    """

    inputs: Array
    lengths: Array | None
    begins: Values
    rest: Values
    runs: Mapping[int, LayerResult]


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

    A subclass with `keeps` keeps each segment's result and pulls that back instead.
    """

    keeps = False

    def __init__(self, kernel: Kernel, arrays: Arrays, every: int | None) -> None:
        self.kernel, self.arrays, self.every = kernel, arrays, every

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call
    ) -> LayerResult:
        """The outputs and the final state of the kernel."""
        n, whole = self.sizes(call)
        paths, runs = [""], dict[int, LayerResult]()

        def run(values: Values, carried: Values, first: Any, steps: int) -> LayerResult:
            part = replace(call, steps=steps, pullback=self.keeps and call.pullback)
            ends = self.left(lengths, first, steps)
            found = self.kernel.layer(cell, params, values[INPUTS], carried, ends, part)
            paths[0] = found.path
            if part.pullback:
                runs[first] = found
            return found

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            found = run(now, carried, t * n, n)
            return found.state, {**carried, "": found.outputs}

        now, kept = self._scan(None)(body, dict(state), self._segments({INPUTS: inputs}, n, whole), whole, False)
        outputs, final = [self._flat(kept.pop(""))], now
        if call.steps > whole * n:
            last = run({INPUTS: inputs[whole * n :]}, now, whole * n, call.steps - whole * n)
            outputs, final = [*outputs, last.outputs], last.state
        path = paths[0] if self.keeps else f"{paths[0]}, run again every {n} steps"
        return LayerResult(self._joined(outputs), final, path, Saved(inputs, lengths, kept, now, runs))

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call,
        sums: Tree = None,
    ) -> Gradients:
        """The kernel's pullback, segment by segment from the last; the gradients of parameters are added up."""
        saved: Saved = result.saved
        n, whole = self.sizes(call)
        edge = trace_hook(call.policy, "carry", cell.states) if call.policy else None

        def pull(now: Values, begin: Values, carried: Values, first: Any, steps: int) -> Gradients:
            part = replace(call, steps=steps, policy=_counted_from(call.policy, cell, first))
            ends = self.left(saved.lengths, first, steps)
            kept = saved.runs.get(first) if self.keeps else None
            again = kept or self.kernel.layer(cell, params, now[INPUTS], begin, ends, part)
            cotangent = {s: carried[s] for s in cell.states}
            added = named_map(lambda name, _: carried[name], params, name="params")
            found = self.pulled(cell, params, again, now[OUTPUTS], cotangent, part, added)
            return replace(found, state=self._passed(edge, found.state, first, saved.lengths))

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            found = pull(now, {s: now[s] for s in cell.states}, carried, t * n, n)
            return {**found.state, **dict(leaves(found.params, "params"))}, {"": found.inputs}

        begun = sums or tree_map(lambda a: self.arrays.zeros(tuple(a.shape)), params)
        carried, inputs = {**state_cotangent, **dict(leaves(begun, "params"))}, []
        given = {INPUTS: saved.inputs, OUTPUTS: output_cotangent}
        if call.steps > whole * n:
            rest = {name: a[whole * n :] for name, a in given.items()}
            found = pull(rest, saved.rest, carried, whole * n, call.steps - whole * n)
            carried, inputs = {**found.state, **dict(leaves(found.params, "params"))}, [found.inputs]
        values = {**self._segments(given, n, whole), **saved.begins}
        done, kept = self._scan(_counting(call.policy, cell))(body, carried, values, whole, True)
        own = named_map(lambda name, _: done[name], params, name="params")
        return Gradients(own, self._joined([self._flat(kept[""]), *inputs]), {s: done[s] for s in cell.states})

    # Methods that a backend may override.

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
        return replace(found, params=tree_map(self.arrays.functions["add"], sums, found.params))

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

    def _passed(self, edge: Graph | None, cotangents: Values, first: Any, lengths: Array | None) -> Values:
        """The cotangents on the edge into a segment's first step, unless it is step 0, in rows with that step."""
        if edge is None:
            return cotangents
        where, step = self.arrays.functions["where"], self.arrays.as_scalar(first)
        cut = evaluate_graph(self.arrays, edge, {**cotangents, STEP: step})
        inner = self.arrays.functions["greater"](step, self.arrays.scalar(0.5))
        cut = {s: where(inner, cut[s], d) for s, d in cotangents.items()}
        running = None if lengths is None else (lengths > first)[:, None]
        return cut if running is None else {s: where(running, cut[s], d) for s, d in cotangents.items()}


def _counting(policy: Recurrence | None, cell: Cell) -> Recurrence | None:
    """The policy where it reads the step index, else None."""
    graphs = (trace_hook(policy, hook, cell.states) for hook in HOOKS) if policy else ()
    return policy if any(graph is not None and graph.names("scalar") for graph in graphs) else None


def _counted_from(policy: Recurrence | None, cell: Cell, first: Any) -> Recurrence | None:
    return policy if policy is None or _counting(policy, cell) is None else _From(policy, first)
