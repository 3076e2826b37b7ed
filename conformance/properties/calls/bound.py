"""Bound calls: what they give is what the backend's own calls give, in one run or step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases import INPUTS, Case, cases, hidden_for
from conformance.judge import Judge
from conformance.properties.asking import Question, ask
from conformance.properties.networks import Labels
from conformance.registry import Scope, law
from conformance.statements import CALLS
from rnnspec import Backend, Bound, Dense, Gradients, Last, Layer, Network, Result
from rnnspec.tree import tree_map


def _streams(scope: Scope) -> Labels:
    """Two forward layers, and the last step of them where that costs nothing; the first precision affords one."""
    if scope.shapes or not (scope.eager or scope.wide or not (scope.brief or scope.share[0])):
        return {}
    layers = [Layer(cell, hidden_for(cell)) for cell in (scope.cells[2 % len(scope.cells)], scope.cells[-1])]
    nets = {"stream": Network(INPUTS, layers, output=Dense(2))}
    if scope.eager:
        nets["stream, last step"] = Network(INPUTS, layers[:1], Last())
    return {label: cases([net]).map(_without_lengths) for label, net in nets.items()}


def _without_lengths(case: Case) -> Case:
    return replace(case, lengths=None)


@law(CALLS["P145"], cases=_streams)
def stream(backend: Backend, case: Case, judge: Judge) -> None:
    """Streams from a given state, then from zeros, then on from there with every second row at zeros."""
    question = ask(backend, case)
    judge.applies(case.steps > 0 and case.batch > 0, "there is no step")
    bound = backend.bound(question.net, question.given.params)
    bound.state = question.given.state
    _judge(judge, "from a state", bound, question)
    bound.reset()
    _judge(judge, "from zeros", bound, question.but(state=None))
    anew = np.arange(case.batch) % 2 == 0
    state = backend.to_numpy(bound.state)
    for leaf in (leaf for half in state for leaf in half["forward"].values()):
        leaf[anew] = 0
    bound.reset(anew)
    _judge(judge, "with rows from zeros", bound, question.but(state=state))


@law(CALLS["P146"], cases=_streams, also=("gradients",))
def bound_call(backend: Backend, case: Case, judge: Judge) -> None:
    """Fills the caller's parameters with others after they were bound, and steps a stream in between."""
    question = ask(backend, case)
    g, params = question.given, tree_map(np.array, question.given.params)
    bound = backend.bound(question.net, params)
    for w in (w for layer in params["layers"] for maps in layer["forward"].values() for w in maps.values()):
        w[...] = 1 - w
    if case.steps > 0 and case.batch > 0:
        bound.step(g.inputs[0])
    unseen = question.but(state=None)
    found = bound.run(g.inputs)
    judge.agree("run", Result(found.outputs, found.state, ()), unseen.run(), unseen.run_reference())
    if judge.gradients:
        pulled = bound.pullback(g.inputs, g.output_cotangent, g.state_cotangent, g.state)
        judge.agree("pullback", Gradients(pulled.params, pulled.inputs, pulled.state), question.pull(),
                    question.pull_reference())  # fmt: skip


def _judge(judge: Judge, what: str, bound: Bound, question: Question) -> None:
    """Compares the steps of a stream with the run of a question."""
    to_numpy = question.backend.to_numpy
    outputs = [to_numpy(bound.step(x)) for x in question.given.inputs]
    found = Result(outputs[-1] if question.is_last else np.stack(outputs), to_numpy(bound.state), ())
    judge.agree(f"steps {what}", found, question.run(), question.run_reference())
