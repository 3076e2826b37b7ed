"""Time: what a split, a later step or a cut changes, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance import tolerance
from conformance.cases import Case, Pull, window
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, of_rows
from conformance.registry import law
from conformance.statements import SEQUENCE
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Gradients
from rnnspec.tree import Tree, leaves, tree_map

REACHED = 20.0
"""How many yardsticks a gradient must be for no rounding to make it 0."""


@law(SEQUENCE["P11"], cases=networks.cells, needs=("lengths",))
def split(backend: Backend, case: Case, judge: Judge) -> None:
    """Splits at every second step, or at a drawn one where there are many."""
    question = ask(backend, case)
    judge.applies(case.steps > 1, "fewer than two steps cannot be split")
    whole, reference = question.run(), tolerance.run(case, PROFILES[backend.precision])
    for at in _places(case):
        first = part_of(question, 0, at)
        early = first.run()
        late = part_of(question, at, case.steps).but(state=early.state).run()
        outputs = np.concatenate([early.outputs[:at], late.outputs[: case.steps - at]])
        judge.agree(f"split at {at}", {"outputs": outputs, "state": late.state}, whole, reference)


@law(SEQUENCE["P12"], cases=networks.cells, needs=("lengths", "gradients"))
def split_gradients(backend: Backend, case: Case, judge: Judge) -> None:
    """Adds the parameter gradients of both parts, and joins their input gradients."""
    question = ask(backend, case)
    judge.applies(case.steps > 1, "fewer than two steps cannot be split")
    whole, reference = question.pull(), tolerance.pullback(case, PROFILES[backend.precision])
    for at in _places(case):
        early, late = _halves(question, at, handed_back=True)
        judge.agree(f"split at {at}", joined(early, late, at, case.steps), whole, reference)


@law(SEQUENCE["P13"], cases=networks.bidirectional, needs=("lengths", "gradients", "policies"))
def detached(backend: Backend, case: Case, judge: Judge) -> None:
    """The forward half of the bidirectional network, whose policy cuts the edge into step 4."""
    question = _forward_half(ask(backend, case))
    judge.applies(case.steps > networks.CUT, "nothing is cut in so few steps")
    early, late = _halves(question, networks.CUT, handed_back=False)
    judge.agree("the forward half in chunks", joined(early, late, networks.CUT, case.steps), question.pull(),
                question.pull_reference())  # fmt: skip


@law(SEQUENCE["P14"], cases=networks.pulls, also=("gradients",))
def no_step(backend: Backend, case: Case, judge: Judge) -> None:
    """Asks for time 0, and for batch 0."""
    question = ask(backend, case)
    g = question.given
    for what, cut in (("time 0", (slice(0, 0), slice(None))), ("batch 0", (slice(None), slice(0, 0)))):
        rows = cut[1]
        none = question.but(
            inputs=g.inputs[cut], output_cotangent=g.output_cotangent[rows if question.is_last else cut], lengths=None,
            state=tree_map(lambda s, rows=rows: s[rows], g.state),
            state_cotangent=tree_map(lambda s, rows=rows: s[rows], g.state_cotangent),
        )  # fmt: skip
        answer = none.run()
        judge.exactly(f"outputs, {what}", answer.outputs, np.zeros_like(none.given.output_cotangent))
        judge.exactly(f"states, {what}", answer.state, none.given.state)
        if not judge.gradients:
            continue
        pulled = none.pull()
        judge.exactly(f"parameter gradients, {what}", pulled.params, tree_map(np.zeros_like, g.params))
        judge.exactly(f"input gradients, {what}", pulled.inputs, np.zeros_like(none.given.inputs))
        judge.exactly(f"state gradients, {what}", pulled.state, none.given.state_cotangent)
        _judge_memory(judge, none, what)


@law(SEQUENCE["P16"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def causal(backend: Backend, case: Case, judge: Judge) -> None:
    """Makes later inputs NaN or huge; then puts a cotangent on one step alone."""
    question = ask(backend, replace(case, pull=Pull.BOTH, padding=0.0))
    judge.applies(case.steps > 1, "one step has no later one")
    whole, g, at = question.run(), question.given, 1 + case.seed % (case.steps - 1)
    for value in (np.nan, 1e30 if backend.precision in ("f32", "f64") else 1e4):
        later = np.array(g.inputs)
        later[at:] = value
        answer = question.but(inputs=later).run()
        judge.equal(f"outputs before step {at}, inputs from it on {value}", answer.outputs[:at], whole.outputs[:at],
                    _cut(question.run_reference().at("outputs"), at))  # fmt: skip
    if not judge.gradients:
        return
    w = np.zeros_like(g.output_cotangent)
    w[at - 1] = g.output_cotangent[at - 1]
    pulled = question.but(output_cotangent=w, state_cotangent=tree_map(np.zeros_like, g.state_cotangent)).pull()
    judge.exactly(f"input gradients after step {at - 1}, where the cotangent is", pulled.inputs[at:], 0)


@law(SEQUENCE["P18"], cases=networks.bidirectional, needs=("lengths", "gradients", "policies"))
def horizon(backend: Backend, case: Case, judge: Judge) -> None:
    """A cotangent at one step of the forward half, before and after the edge into step 4."""
    question = _forward_half(ask(backend, replace(case, pull=Pull.OUTPUTS, padding=0.0)))
    at, ends, g = networks.CUT, question.ends, question.given
    judge.applies(case.steps > at and int(ends.max()) > at, "no row reaches the cut")
    rows = ends > at
    for step in range(case.steps):
        w = np.zeros_like(g.output_cotangent)
        w[step, rows] = g.output_cotangent[step, rows]
        if not w.any() or (ends[rows] <= step).any():
            continue
        asked = question.but(output_cotangent=w)
        pulled = asked.pull()
        inside, outside = (slice(at, step + 1), slice(0, at)) if step >= at else (slice(0, step + 1), slice(at, None))
        judge.exactly(f"input gradients across the cut from step {step}", pulled.inputs[outside], 0)
        if not (np.abs(pulled.inputs[inside][:, rows]).max(-1) > 0).all():
            _judge_reached(judge, f"the input gradient of step {step}", asked, {"inputs": pulled.inputs})
        reached = any(np.abs(s).max() > 0 for s in pulled.state[0]["forward"].values())
        judge.holds(f"the initial state's gradient from step {step}", not reached or step < at, "numbers", "zeros")
        if step < at and not reached:
            _judge_reached(judge, f"the initial state's gradient from step {step}", asked, {"state": pulled.state})


def _judge_reached(judge: Judge, what: str, asked: Question, got: Tree) -> None:
    """No number is 0 that the equations make another."""
    reference = asked.pull_reference().own()
    expected, tau = reference.expected(), reference.tau()
    for name, a in leaves(got):
        lost = (np.abs(expected[name]) > REACHED * tau[name]) & (a == 0)
        judge.holds(what, not lost.any(), f"{int(lost.sum())} zeros", "numbers")


def _judge_memory(judge: Judge, none: Question, what: str) -> None:
    """What comes back must not be what was given."""
    backend, g = none.backend, none.given
    given = backend.asarray([g.state, g.state_cotangent])
    pulled = backend.pullback(none.net, g.params, g.inputs, g.output_cotangent, given[1], given[0], None)
    raw = [backend.run(none.net, g.params, g.inputs, given[0], None).state, pulled.state]
    kept = tree_map(np.array, backend.to_numpy(raw))
    for _, a in leaves(given):
        if isinstance(a, np.ndarray):
            np.add(a, a.dtype.type(1), out=a)
    judge.exactly(f"states when the arguments are overwritten, {what}", backend.to_numpy(raw), kept)


def _places(case: Case) -> list[int]:
    return [1 + case.seed % (case.steps - 1)] if case.steps > 8 else list(range(1, case.steps, 2))


def part_of(question: Question, start: int, stop: int) -> Question:
    """Some steps at the shape of all of them, with lengths."""
    g = question.given
    x, lengths = window(g.inputs, g.lengths, start, stop)
    w, _ = window(g.output_cotangent, g.lengths, start, stop)
    return question.but(inputs=x, lengths=lengths, output_cotangent=w)


def _halves(question: Question, at: int, handed_back: bool) -> tuple[Gradients, Gradients]:
    """The gradients of the two parts. A row that ends in the first part holds its state through the second."""
    first, g = part_of(question, 0, at), question.given
    late = part_of(question, at, question.steps).but(state=first.run().state)
    pulled = late.pull()
    through = question.ends <= at
    back = tree_map(
        lambda s, w: s if handed_back else of_rows(through, w, w.dtype.type(0)), pulled.state, g.state_cotangent
    )
    return first.but(state_cotangent=back).pull(), pulled


def joined(early: Gradients, late: Gradients, at: int, steps: int) -> Gradients:
    """The gradients of a sequence from those of its two parts."""
    own = tree_map(lambda a, b: a + b, early.params, late.params)
    return Gradients(own, np.concatenate([early.inputs[:at], late.inputs[: steps - at]]), early.state)


def _forward_half(question: Question) -> Question:
    """Without a cotangent on the reverse half, it does not matter."""
    g = question.given
    w = np.array(g.output_cotangent)
    w[..., w.shape[-1] // 2 :] = 0
    states = [{half: tree_map(np.zeros_like, s) if half == "reverse" else s for half, s in layer.items()}
              for layer in g.state_cotangent]  # fmt: skip
    return question.but(output_cotangent=w, state_cotangent=states)


def _cut(outputs: Reference, at: int) -> Reference:
    """The outputs before a step."""
    return replace(outputs, leaves={"": outputs.leaves[""][:, :at]}, again=lambda runs: _cut(outputs.again(runs), at))
