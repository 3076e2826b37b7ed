"""The kernel that runs a layer in parallel over time: the stages of a cell's parallel form, all steps at once.

Between the stages the equations are computed for all steps together. The pullback goes through the stages in reverse
order; a scan's cotangents are a scan, and a matrix's chunks are pulled back from the states at their beginnings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.contract.kernel import Call, Path
from rnnspec.contract.resets import Resets
from rnnspec.contract.results import Gradients, LayerResult
from rnnspec.derivation.parallel import Chunks, Form, Scan, parallel
from rnnspec.derivation.schedule import schedule
from rnnspec.running import lowering, padding
from rnnspec.running.axes import Axes
from rnnspec.running.evaluation import Evaluator
from rnnspec.running.gradients import map_gradients
from rnnspec.running.maps import Maps
from rnnspec.running.marks import Marks
from rnnspec.running.matrix_stage import MatrixStage
from rnnspec.running.recomputation import Recomputing
from rnnspec.running.scan_stage import ScanStage
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import iterate
from rnnspec.tree import Tree, flat

__all__ = ["CHUNK", "SEGMENT", "InSegments", "Parallel", "parallel_kernel"]

CHUNK = 64
"""The steps of a chunk, unless a backend is told another number."""
SEGMENT = 2048
"""The most steps of a matrix that run at once. A longer call keeps the states in between, and runs each segment again
in its pullback."""

GIVEN = ("constant", "vector", "width")
"""The operations whose values are the same for all steps."""


@dataclass(frozen=True)
class Start:
    """What a run is given beside parameters: the inputs, the first state, the mask and the resets."""

    inputs: Array
    state: Values
    mask: Array | None
    resets: Resets | None


@dataclass(frozen=True)
class Tape:
    """What the pullback reads: the values of all nodes, what each chunked state ran, and what the call was given."""

    values: Values
    ran: dict[str, Any]
    given: Start
    finite: Array


@dataclass(frozen=True)
class Parallel:
    """The parallel form of a cell, with chunks of `chunk` steps, a power of 2, and at most `at_once` numbers of each
    stream of a matrix at a time, None for all. At most `segment` steps of a matrix run at once, or four times as many
    of vectors.

    Products over many steps mix a value that is not finite with others, and 0 times infinity is NaN. So where a result
    is not finite, what counts is the result of the steps one by one.
    """

    arrays: Arrays
    form: Form
    chunk: int
    at_once: int | None = None
    segment: int = SEGMENT
    scans: ClassVar[type[ScanStage]] = ScanStage
    matrices: ClassVar[type[MatrixStage]] = MatrixStage

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        """The outputs and the final state."""
        given = Start(inputs, state, padding.mask(self.arrays, inputs.shape[0], lengths), resets)
        outputs, final, values, ran = _Run(self, params, given).forward()
        finite = self._finite((outputs, final))

        def stepwise() -> tuple[Array, Values]:
            return self._stepwise(cell, params, given)[:2]

        outputs, final = self.arrays.choose(finite, lambda: (outputs, final), stepwise)
        nodes = {i: a for i, a in values.items() if isinstance(i, int)}
        tape = Tape(nodes, ran, given, finite) if call.pullback else None
        return LayerResult(outputs, final, self.path(state, inputs.shape[0]), tape)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        """The pullback of `layer` at its result."""
        tape: Tape = result.saved
        found = _Run(self, params, tape.given).backward(tape, output_cotangent, state_cotangent)

        def stepwise() -> tuple[Tree, Array, Values]:
            plan, trace = schedule(cell), self._stepwise(cell, params, tape.given)[2]
            return lowering.backward(self.arrays, plan, params, trace, output_cotangent, state_cotangent, None)

        return Gradients(*self.arrays.choose(tape.finite & self._finite(found), lambda: found, stepwise))

    def path(self, state: Values, steps: int) -> str:
        """The path for a run of so many steps."""
        chunks = {self.length(stage, state, steps) for stage in self.form.stages if isinstance(stage, Chunks)}
        parts = ["scans"] if any(isinstance(stage, Scan) for stage in self.form.stages) else []
        parts += [f"chunks of {' and '.join(map(str, sorted(chunks)))}"] if chunks else []
        return f"{Path.PARALLEL.value}: {' and '.join(parts)}"

    @property
    def most(self) -> int:
        """The most steps that run at once; vectors take less memory than the streams of a matrix."""
        return self.segment if self.form.has_chunks else 4 * self.segment

    def length(self, stage: Chunks, state: Values, steps: int) -> int:
        """The steps of a chunk: `chunk`, or the least power of 2 that holds all steps.

        With a feedback it has at most twice as many reads as keys. What the reads of more steps correct is mostly
        forgotten, and a chunk, which subtracts it from the state at its beginning, would lose the digits of the rest.
        """
        most = min(self.chunk, 1 << (steps - 1).bit_length())
        keys = state[stage.state].shape[-2 if stage.keys_are_rows else -1]
        return min(most, 1 << max(2 * keys // stage.fed, 1).bit_length() - 1) if stage.fed else most

    def _stepwise(self, cell: Cell, params: Tree, given: Start) -> tuple[Array, Values, lowering.Trace]:
        return lowering.forward(self.arrays, schedule(cell), params, given.inputs, given.state, given.mask,
                                given.resets)  # fmt: skip

    def _finite(self, tree: Tree) -> Array:
        """Whether all numbers are finite: the sum of all of them times 0 is 0, and not NaN."""
        f, zero = self.arrays.functions, self.arrays.scalar(0.0)
        sums = [self.arrays.sum(f["multiply"](a, zero), None, False) for a in flat(tree)]
        return f["greater_equal"](reduce(f["add"], sums), zero)


class InSegments(Recomputing):
    """Segments of half the most steps that run at once, since the values of more would need too much memory.

    What runs again in any case is run by shorter segments, which need less.
    """

    def __init__(self, kernel: Parallel) -> None:
        super().__init__(kernel, kernel.arrays, kernel.most // 2)

    def said(self, path: str, n: int) -> str:
        return f"{path}, in segments of {n}"


def parallel_kernel(arrays: Arrays, cell: Cell, call: Call, chunk: int) -> Parallel | str:
    """The kernel of a call, or the reason why it cannot run in parallel over time, as a clause without a full stop."""
    if call.policy is not None:
        return "a policy inside the recurrence, which sees one step after the other"
    if call.learned:
        return "resets that begin with learned states"
    if not (isinstance(call.steps, int) and isinstance(call.batch, int)):
        return "sizes that are not known before the call"
    form = parallel(cell)
    return form if isinstance(form, str) else Parallel(arrays, form, chunk)


class _Run:
    """One run of a layer, forward or backward."""

    def __init__(self, kernel: Parallel, params: Tree, given: Start) -> None:
        self.kernel, self.given, self.arrays, self.plan = kernel, given, kernel.arrays, kernel.form.schedule
        inputs, state, steps = given.inputs, given.state, given.inputs.shape[0]
        self.maps = Maps(self.arrays, self.plan, params, {**state, **_read(kernel.form, state)}, inputs)
        self.axes = Axes(self.arrays, self.plan, inputs)
        self.evaluator = Evaluator(self.arrays, self.plan, self.maps)
        self.marks = Marks(self.axes, given.mask, given.resets)
        self.scans = kernel.scans(self.arrays, self.plan, self.marks, steps)

    def forward(self) -> tuple[Array, Values, Values, dict[str, Any]]:
        """The outputs and the final state; the values of all nodes, and what each chunked state ran."""
        state: Values = self.given.state
        graph, values, final, ran = self.plan.cell.graph, self.axes.given(), dict[str, Array](), dict[str, Any]()
        for stage in self.kernel.form.stages:
            if isinstance(stage, Scan):
                self.evaluate((i for _, i in (*stage.factors, *stage.rest)), values)
                final |= self.scans.run(stage, values, {s: state[s] for s in stage.states}, self.value)
            else:
                self.evaluate(map(graph.result, stage.streams), values)
                final[stage.state], ran[stage.state] = self.matrices(stage).run(stage, values, state[stage.state],
                                                                                    self.value)  # fmt: skip
        output = graph.result(OUTPUT)
        self.evaluate([output], values)
        outputs = self.axes.beside(self.marks.real(self.plan.ranks[output], self.value(output, values)))
        return outputs, {s: final[s] for s in state}, values, ran

    def backward(
        self, tape: Tape, output_cotangent: Array, state_cotangent: Values
    ) -> tuple[Tree, Array, Values]:
        """The cotangents of parameters, inputs and initial state."""
        plan, values, initial = self.plan, self.axes.given() | tape.values, dict[str, Array]()
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
                found, first = self.matrices(stage).pull(stage, tape.ran[stage.state], values, leaves,
                                                         state_cotangent[stage.state], self.value)  # fmt: skip
                if shown in found:
                    found[shown] = self.arrays.functions["add"](found[shown], reached)
                values |= {seeds[name]: a for name, a in found.items()}
                initial[stage.state] = first
        gradients = {i for (op, _), i in plan.adjoint.leaves if op != "state"} | plan.factors
        self.evaluate(gradients, values)
        real = {i: self.marks.real(self.plan.ranks[i], self.value(i, values)) for i in gradients}
        own, inputs = map_gradients(self.arrays, plan, self.maps, self.given.inputs, real)
        return own, inputs, {s: initial[s] for s in state_cotangent}

    def matrices(self, stage: Chunks) -> MatrixStage:
        """What runs a stage of one matrix."""
        kernel, steps = self.kernel, self.given.inputs.shape[0]
        chunk = kernel.length(stage, self.given.state, steps)
        return kernel.matrices(self.arrays, self.plan, self.marks, steps, chunk, kernel.at_once)

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


def _read(form: Form, state: Values) -> Values:
    """Vectors as wide as what is read of matrices, by the names of reads, of which the equations may ask the width."""
    return {read.leaf: state[stage.state][..., 0, :] if stage.keys_are_rows else state[stage.state][..., 0]
            for stage in form.stages if isinstance(stage, Chunks) for read in stage.reads}  # fmt: skip
