"""Every policy inside the recurrence that the specification has, against the oracle and against one another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import BATCH, INPUTS, STEPS, Case, cases
from conformance.cases.networks import hidden_for
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, is_eager
from conformance.registry import Scope, law
from conformance.statements import RECURRENCE
from conformance.tolerance import PROFILES
from rnnspec import Backend, Layer, Network, Windows
from rnnspec.policies import ClipStateByNorm, ClipStateByValue, Cut, Recurrence, Truncated
from rnnspec.tree import tree_map

RAGGED = (STEPS, 3, 0, 5, 6)
WIDTHS = (20, 17, 19, 18, 21)
"""More units than a vector register has lanes, and some left over."""


def seams(scope: Scope) -> networks.Labels:
    """Four layers under a policy each: a joint norm, values, one state cut, the norm of one. A program more."""
    if not (scope.eager or scope.wide):
        return {}
    made = sorted(scope.cells, key=lambda cell: -len(cell.states))
    if not made[0].states:
        return {}
    several, other = made[0], made[-1]
    state, width, others = several.states[-1:], hidden_for(several, WIDTHS), hidden_for(other, WIDTHS)
    layers = [
        Layer(several, width, "bidirectional", ClipStateByNorm(0.5, joint=True)),
        Layer(other, others, "reverse", ClipStateByValue(0.125)),
        Layer(several, width, "forward", Cut(state)),
        Layer(several, width, "forward", ClipStateByNorm(0.25, state)),
    ]
    drawn = cases([Network(INPUTS, layers)])
    return {"seams": drawn.map(lambda case: case if case.lengths else replace(case, lengths=RAGGED[:BATCH]))}


@law(RECURRENCE["P85"], cases=seams, needs=("gradients", "policies", "lengths"), oracle=True)
def policies(backend: Backend, case: Case, judge: Judge) -> None:
    """Runs four layers under policies on norms, values and cuts, of all states and of one, in both directions."""
    judge.close("the pullback", ask(backend, case).pull(), tolerance.pullback(case, PROFILES[backend.precision]))


@law(RECURRENCE["P86"], cases=networks.plain, needs=("gradients", "policies"))
def limits(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares to the bit where the backend is deterministic."""
    judge.applies(is_eager(backend), "each policy costs this backend a compiled program")
    judge.applies(bool(case.net.layers[0].cell.states), "the cell has no state")
    question = ask(backend, case)
    reference = question.pull_reference()
    cut, one = (_under(question, policy).pull() for policy in (Cut(), Truncated(1)))
    judge.equal("the gradients of Cut() and Truncated(1)", cut, one, reference)
    whole = _under(question, Truncated(case.steps)).pull()
    states = question.net.layers[0].cell.states
    for policy in (ClipStateByNorm(np.inf), ClipStateByNorm(1e9, states, joint=True), ClipStateByValue(1e9, states)):
        judge.equal(f"the gradients under {policy}", _under(question, policy).pull(), whole, reference)


@law(RECURRENCE["P87"], cases=networks.plain, needs=("gradients", "lengths"))
def windows(backend: Backend, case: Case, judge: Judge) -> None:
    """The losses of each chunk alone: those of its window, less those before the chunk."""
    judge.applies(is_eager(backend), "each length costs this backend a compiled program")
    question = ask(backend, case)
    g, drawn = question.given, Windows(2, 3)
    found = drawn.value_and_grad(backend, question.net, g.params, g.inputs, g.targets, g.state, g.lengths)
    whole, sums = question.step(), tree_map(lambda w: np.zeros(w.shape), g.params)
    for far, begin, end in drawn.of(case.steps):
        start = question.but(inputs=g.inputs[:far], lengths=np.clip(question.ends, 0, far)).run().state
        for stop, sign in ((end, 1.0), (begin, -1.0)):
            part = question.but(inputs=g.inputs[far:stop], targets=g.targets[far:stop], state=start,
                                lengths=np.clip(question.ends - far, 0, stop - far)).step()  # fmt: skip
            sums = tree_map(lambda a, b, sign=sign: a + sign * b.astype(float), sums, part.grads.params)
    reference = question.step_reference()
    judge.holds("the count", found.count == whole.count, found.count, whole.count)
    judge.agree("the loss", found.loss_sum, whole.loss_sum, reference.at("loss_sum"))
    judge.agree("the final state", found.state, whole.state, reference.at("state"))
    wanted = tree_map(lambda a, w: a.astype(w.dtype), sums, g.params)
    slack = np.sqrt(2.0 * len(drawn.of(case.steps)))  # as many parts, each of which rounds by itself
    rounded = reference.at("grads.params")
    judge.agree("the gradients", found.grads.params, wanted, replace(rounded, stretch=slack * rounded.stretch))


def _under(question: Question, policy: Recurrence) -> Question:
    layers = [replace(layer, gradient=policy) for layer in question.net.layers]
    net: Any = replace(question.net, layers=layers)
    return replace(question, net=net)
