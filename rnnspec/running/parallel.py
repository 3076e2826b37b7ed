"""The kernel that runs a layer in parallel over time: the stages of a cell's parallel form, all steps at once.

Between the stages the equations are computed for all steps together. The pullback goes through the stages in reverse
order; a scan's cotangents are a scan, and a matrix's chunks are pulled back from the states at their beginnings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.contract.kernel import Call
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.derivation.parallel import Form, Scan
from rnnspec.running import padding
from rnnspec.running.axes import Axes
from rnnspec.running.evaluation import Evaluator
from rnnspec.running.gradients import map_gradients
from rnnspec.running.maps import Maps
from rnnspec.running.marks import Marks
from rnnspec.running.matrix_stage import MatrixStage
from rnnspec.running.scan_stage import ScanStage
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import iterate
from rnnspec.tree import Tree

__all__ = ["Parallel"]

GIVEN = ("constant", "vector", "width")
"""The operations whose values are the same for all steps."""


@dataclass(frozen=True)
class Tape:
    """What the pullback reads: the values of all nodes, what each chunked state ran, the inputs, mask and resets."""

    values: Values
    ran: dict[str, Any]
    inputs: Array
    mask: Array | None
    resets: Resets | None


@dataclass(frozen=True)
class Parallel:
    """The parallel form of a cell, with chunks of `chunk` steps."""

    arrays: Arrays
    form: Form
    chunk: int
    path: str = field(default="parallel")

    def length(self, steps: int) -> int:
        """The steps of a chunk: `chunk`, or the least power of 2 that holds all steps."""
        return min(self.chunk, 1 << (steps - 1).bit_length())

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """The outputs and the final state."""
        run = _Run(self, params, inputs, state, padding.mask(self.arrays, inputs.shape[0], lengths), resets)
        return run.forward(state)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""
        tape: Tape = result.saved
        run = _Run(self, params, tape.inputs, state_cotangent, tape.mask, tape.resets)
        return run.backward(tape, output_cotangent, state_cotangent)


class _Run:
    """One run of a layer, forward or backward."""

    def __init__(
        self, kernel: Parallel, params: Tree, inputs: Array, state: Values, mask: Array | None, resets: Resets | None
    ) -> None:
        self.kernel, self.arrays, self.plan = kernel, kernel.arrays, kernel.form.schedule
        self.inputs, self.mask, self.resets = inputs, mask, resets
        self.maps = Maps(self.arrays, self.plan, params, state, inputs)
        self.axes = Axes(self.arrays, self.plan, inputs)
        self.evaluator = Evaluator(self.arrays, self.plan, self.maps)
        self.marks, steps = Marks(self.axes, mask, resets), inputs.shape[0]
        self.scans = ScanStage(self.arrays, self.plan, self.marks, steps)
        self.matrices = MatrixStage(self.arrays, self.plan, self.marks, steps, kernel.length(steps))

    def forward(self, state: Values) -> LayerResult:
        """The result, with what the pullback needs."""
        graph, values, final, ran = self.plan.cell.graph, self.axes.given(), dict[str, Array](), dict[str, Any]()
        for stage in self.kernel.form.stages:
            if isinstance(stage, Scan):
                self.evaluate((i for _, i in (*stage.factors, *stage.rest)), values)
                final |= self.scans.run(stage, values, {s: state[s] for s in stage.states}, self.value)
            else:
                self.evaluate(map(graph.result, stage.streams), values)
                ran[stage.state] = self.matrices.run(stage, values, state[stage.state], self.value)
                final[stage.state] = self.matrices.last(stage, ran[stage.state])
        output = graph.result(OUTPUT)
        self.evaluate([output], values)
        outputs = self.axes.beside(self.marks.real(self.plan.ranks[output], self.value(output, values)))
        return LayerResult(outputs, final, self.kernel.path, Tape(values, ran, self.inputs, self.mask, self.resets))

    def backward(self, tape: Tape, output_cotangent: Array, state_cotangent: Values) -> Gradients:
        """The cotangents of parameters, inputs and initial state."""
        plan, values, initial = self.plan, dict(tape.values), dict[str, Array]()
        seeds = {node.name: index for index, node in iterate(plan.nodes, "cotangent")}
        reached = self.axes.heads.apart(output_cotangent, OUTPUT)
        shown = next((name for name, i in plan.cell.graph.results if i == plan.cell.graph.result(OUTPUT) and name), "")
        if shown == OUTPUT:
            values[seeds[OUTPUT]] = reached
        for stage in reversed(self.kernel.form.stages):
            if isinstance(stage, Scan):
                self.evaluate((i for _, i in (*stage.back, *stage.back_rest)), values)
                direct = {shown: reached} if shown in stage.states else {}
                carried = {s: state_cotangent[s] for s in stage.states}
                initial |= self.scans.pull(stage, values, carried, direct, seeds, self.value)
            else:
                leaves = {read.leaf: plan.adjoint.leaf("state", read.leaf) for read in stage.reads}
                self.evaluate((i for i in leaves.values() if i is not None), values)
                found, first = self.matrices.pull(stage, tape.ran[stage.state], values, leaves,
                                                  state_cotangent[stage.state], self.value)  # fmt: skip
                if shown in found:
                    found[shown] = self.arrays.functions["add"](found[shown], reached)
                values |= {seeds[name]: a for name, a in found.items()}
                initial[stage.state] = first
        gradients = {i for (op, _), i in plan.adjoint.leaves if op != "state"} | plan.factors
        self.evaluate(gradients, values)
        real = {i: self.marks.real(self.plan.ranks[i], self.value(i, values)) for i in gradients}
        own, inputs = map_gradients(self.arrays, plan, self.maps, self.inputs, real)
        return Gradients(own, inputs, initial)

    def evaluate(self, wanted: Iterable[int], values: Values) -> None:
        """Add the values of nodes and of all that they need to `values`."""
        nodes, left, needed = self.plan.nodes, list(wanted), set[int]()
        while left:
            index = left.pop()
            if index not in values and index not in needed and nodes[index].op not in GIVEN:
                needed.add(index)
                left.extend(nodes[index].args)
        self.evaluator.run(sorted(needed), values)

    def value(self, index: int, values: Values) -> Array:
        """The value of a node whose operands have values, with all axes."""
        return self.axes.wide(index, self.evaluator.value(index, values))
