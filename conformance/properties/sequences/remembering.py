"""Sequences whose end depends on their beginning: what is skipped, forgotten or cut on the way shows.

A network as it is initialised forgets within tens of steps, and then nothing tells a kernel that reads the last steps
from one that reads all. Each case here has gains with which the oracle's adjoint measured that it remembers.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from conformance import tolerance
from conformance.cases import BATCH, STEPS, Case, Remembering, hidden_for, memory, network_for
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, few
from conformance.properties.equations.gradients import judge_difference
from conformance.properties.networks import Labels
from conformance.properties.sequences.steps import joined, part_of
from conformance.registry import Scope, law
from conformance.statements import SEQUENCE
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Cell, Layer, Network, cells

__all__ = ["longest", "remembered", "straight"]

EXTENTS = (STEPS, 64, 512)
INPUTS, ROWS, WIDTHS = 2, 2, (3, 2, 4, 2, 3)
"""Small, since the oracle takes every step in plain loops."""
HEADS = f"{EXTENTS[-1]} steps, heads"
SEEDS = range(4)
"""Few, so that a search for gains serves several laws and precisions."""
DRAWN = st.integers(SEEDS[0], SEEDS[-1])
COMPILED = 2
"""The cell that is compiled at the longest extent, and that stands above others."""
FEW = 2
"""The most programs for cells at the sizes that other laws compile."""
HEADED = (Layer(cells.gru, 3, heads=2, shared=("x.z",)),
          Layer(cells.gla, {"S.rows": 2, "S.columns": 3}, heads=2, shared=("x.k",)))  # fmt: skip
"""Vectors and matrices of several heads."""


def straight(scope: Scope) -> Labels:
    """One forward layer at each extent, and two; where programs cost, those of few steps that other laws compile.

    Of shapes that are named, one layer at the longest extent, where it costs no program.
    """
    if scope.shapes:
        return _at_shapes(scope) if scope.eager else {}
    if not scope.eager:
        compiled = [cell for cell in scope.cells if cell.name in networks.cells(scope)]
        return {f"{cell.name}, {STEPS} steps": _of_table(cell) for cell in compiled[:FEW]}
    return {**_eager(scope), **_headed(scope)}


def remembered(scope: Scope) -> Labels:
    """The same, and at the longest extent both halves: where programs cost, these or two layers in each precision."""
    if scope.shapes:
        return _at_shapes(scope)
    pairs, steps = _pairs(scope), EXTENTS[-1]
    single = [[cell] for cell in scope.cells]
    if scope.eager:
        halves = _drawn(single, "bidirectional", steps)
        return {**_eager(scope), f"{steps} steps, both halves": halves, **_headed(scope)}
    what, stacks, lowest = (("two layers", pairs, "forward") if scope.share[0]
                            else ("both halves", single, "bidirectional"))  # fmt: skip
    compiled = _drawn([stacks[COMPILED % len(stacks)]], lowest, steps, lengths=True)
    found = list(straight(scope).items())
    found.insert(scope.share[0], (f"{steps} steps, {what}", compiled))  # where each precision has it, if they share
    return dict(found)


def longest(scope: Scope) -> Labels:
    """One forward layer at the longest extent, with heads unless only some cells run; none where programs cost."""
    if scope.shapes or not scope.eager:
        return {}
    plain = f"{EXTENTS[-1]} steps"
    return _headed(scope) or {plain: _eager(scope)[plain]}


@law(SEQUENCE["P170"], cases=remembered, also=("bidirectional",), oracle=True, once=True)
def long_memory(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares all outputs and final states with the oracle."""
    _judge_that_it_remembers(case, judge)
    judge.close("run", ask(backend, case).run(), tolerance.run(case, PROFILES[backend.precision]))


@law(SEQUENCE["P171"], cases=remembered, needs=("gradients",), also=("bidirectional",), oracle=True, once=True)
def long_memory_of_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the gradients of parameters, inputs and initial states with the oracle."""
    _judge_that_it_remembers(case, judge)
    judge.close("pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))


@law(SEQUENCE["P172"], cases=straight, also=("gradients",))
def beginning(backend: Backend, case: Case, judge: Judge) -> None:
    """Splits after the first step, before the last, and at a drawn step; then puts cotangents on the end alone."""
    _judge_that_it_remembers(case, judge)
    question, profile = ask(backend, case), PROFILES[backend.precision]
    whole, reference = question.run(), tolerance.run(case, profile)
    places = {1, 1 + case.seed * 8191 % (case.steps - 1), case.steps - 1}
    for at in sorted(places):
        early = _part(question, 0, at).run()
        late = _part(question, at, case.steps).but(state=early.state).run()
        outputs = np.concatenate([early.outputs[:at], late.outputs[: case.steps - at]])
        judge.agree(f"split at {at}", {"outputs": outputs, "state": late.state}, whole, reference)
    if judge.gradients:
        _judge_gradients(backend, case, judge, reference)


def _judge_gradients(backend: Backend, case: Case, judge: Judge, reference: Reference) -> None:
    """Gradients of the end reach the beginning, give the differences of values, and pass through a split."""
    question = _of_the_end(ask(backend, case))
    pulled, at = question.pull(), case.steps // 2
    judge.holds("the gradient of the first input", bool(np.any(pulled.inputs[0], -1).all()), "zeros", "numbers")
    for half in memory(case).read:
        index, direction = half.split(".")
        own = pulled.state[int(index)][direction].values()
        reached = np.any([np.any(a.reshape(case.batch, -1), 1) for a in own], 0)
        judge.holds(f"the gradient of the initial state of {half}", bool(reached.all()), "zeros", "numbers")
    for what in ("inputs", "state"):
        judge_difference(judge, question, reference, pulled, what, case.seed)
    first = _part(question, 0, at)
    late = _part(question, at, case.steps).but(state=first.run().state).pull()
    early = first.but(state_cotangent=late.state).pull()
    judge.agree(f"gradients through a split at {at}", joined(early, late, at, case.steps), pulled,
                question.pull_reference())  # fmt: skip


def _of_the_end(question: Question) -> Question:
    """The question with cotangents on the last outputs and on the final states."""
    w = np.zeros_like(question.given.output_cotangent)
    w[-1] = question.given.output_cotangent[-1]
    return question.but(output_cotangent=w)


def _part(question: Question, start: int, stop: int) -> Question:
    """Some steps: fewer in all, or at the shape of all of them where the case has lengths."""
    if question.given.lengths is None:
        return few(question, (slice(start, stop), slice(None)))
    return part_of(question, start, stop)


def _judge_that_it_remembers(case: Case, judge: Judge) -> None:
    lost = memory(case).lost
    judge.applies(not lost, f"no gains were found with which it remembers: {lost}")


def _pairs(scope: Scope) -> list[list[Cell]]:
    """Each cell with one of them above it."""
    return [[cell, scope.cells[COMPILED % len(scope.cells)]] for cell in scope.cells]


def _eager(scope: Scope) -> Labels:
    """One layer at each extent, and two."""
    found = {f"{steps} steps": _drawn([[cell] for cell in scope.cells], "forward", steps) for steps in EXTENTS}
    return {**found, **{f"{steps} steps, two layers": _drawn(_pairs(scope), "forward", steps) for steps in EXTENTS[1:]}}


def _headed(scope: Scope) -> Labels:
    """Layers with heads at the longest extent, unless only some cells run; one where there is little time."""
    headed = HEADED[-1:] if scope.brief else HEADED
    nets = [Network(INPUTS, [layer]) for layer in headed]
    return {} if scope.closed else {HEADS: _of_networks(nets, EXTENTS[-1])}


def _drawn(stacks: list[list[Cell]], lowest: str, steps: int, lengths: bool = False) -> SearchStrategy[Case]:
    """Forward layers, of which the lowest has the direction that is given."""
    nets = [Network(INPUTS, [Layer(cell, hidden_for(cell, WIDTHS), "forward" if i else lowest)
                             for i, cell in enumerate(stack)]) for stack in stacks]  # fmt: skip
    return _of_networks(nets, steps, lengths)


def _at_shapes(scope: Scope) -> Labels:
    """One layer of the inputs and the width of each shape, at the longest extent: of one cell, where programs cost."""
    chosen = scope.cells if scope.eager else (scope.cells[COMPILED % len(scope.cells)],)
    found = {}
    for shape in scope.shapes:
        nets = [Network(shape.inputs, [Layer(cell, hidden_for(cell, (shape.hidden, *WIDTHS[1:])))]) for cell in chosen]
        label = f"{EXTENTS[-1]} steps at {shape.inputs},{shape.hidden}"
        found[label] = _of_networks(nets, EXTENTS[-1], lengths=not scope.eager)
    return found


def _of_networks(nets: list[Network], steps: int, lengths: bool = False) -> SearchStrategy[Case]:
    ends = (steps,) * ROWS if lengths else None
    return st.builds(lambda net, seed: Remembering(net, steps, ROWS, ends, seed), st.sampled_from(nets), DRAWN)


def _of_table(cell: Cell) -> SearchStrategy[Case]:
    """One layer at the sizes of the table, with lengths."""
    case = Remembering(network_for(cell), STEPS, BATCH, (STEPS,) * BATCH)
    return DRAWN.map(lambda seed: replace(case, seed=seed))
