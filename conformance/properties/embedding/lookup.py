"""Class numbers as inputs: values and gradients, classes that are not seen, padding, and tied outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.asking import Question, ask, refuses
from conformance.properties.embedding import networks
from conformance.registry import law
from conformance.statements import EMBEDDING
from rnnspec import Backend, Dense, Embedding, Gradients, Network, Tied

Array = Any
OTHERS = (-(2**31), -1, 0, 2**31 - 1, 2**62)
"""Class numbers at padded steps: none, a class, and such as 32 bits do not hold."""


@law(EMBEDDING["P185"], cases=networks.words, needs=("embedding", "lengths"),
     also=("gradients", "resets", "learned_state"), oracle=True)  # fmt: skip
def values(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares the loss with its gradients, or without gradients a run, with the oracle's."""
    question = asked(backend, case)
    if judge.gradients:
        judge.close("value_and_grad", question.step(), question.step_reference())
    else:
        judge.close("run", question.run(), question.run_reference())


@law(EMBEDDING["P186"], cases=networks.unseen, needs=("embedding", "lengths", "gradients"),
     also=("resets", "learned_state"))  # fmt: skip
def unseen(backend: Backend, case: Case, judge: Judge) -> None:
    """Pulls back cotangents of final states, and looks at the rows of classes that no real step has."""
    question = asked(backend, case)
    found = question.pull().params["embedding"]["E"]
    unread = np.setdiff1d(np.arange(len(found)), question.given.inputs[_real(question)])
    judge.applies(len(unread) > 0, "every class is seen")
    judge.exactly("gradient of classes that are not seen", {"E": found[unread]}, 0.0)


@law(EMBEDDING["P187"], cases=networks.words, needs=("embedding", "lengths"),
     also=("gradients", "resets", "learned_state"))  # fmt: skip
def padding(backend: Backend, case: Case, judge: Judge) -> None:
    """Puts other class numbers at padded steps, and then one that is none at a real step."""
    question = asked(backend, case)
    call, reference = ("step", question.step_reference) if judge.gradients else ("run", question.run_reference)
    real, inputs = _real(question), question.given.inputs
    if not real.all():
        other = question.but(inputs=np.where(real, inputs, OTHERS[case.seed // 2 % len(OTHERS)]))
        judge.equal(call, getattr(other, call)(), getattr(question, call)(), reference())
    judge.applies(bool(real.any()), "no row has a step")
    step, row = np.argwhere(real)[case.seed // 3 % int(real.sum())]
    for number in (-1, _classes(question.net), 2**32):
        wrong = np.array(inputs, np.int64)
        wrong[step, row] = number
        judge.holds(f"refusal of class {number} at a real step", refuses(getattr(question.but(inputs=wrong), call)),
                    "an answer, or another error", "an RnnSpecError")  # fmt: skip


@law(EMBEDDING["P188"], cases=networks.free, needs=("embedding", "lengths", "gradients"),
     also=("resets", "learned_state"))  # fmt: skip
def tied(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives the rows of the matrix as inputs, and the matrix itself to an output layer."""
    question = asked(backend, case)
    found, apart = question.step(), _apart(question)
    other = apart.step()
    summed = _by_class(question, np.asarray(other.grads.inputs, np.float64))
    own = dict(other.grads.params)
    if isinstance(question.net.output, Tied):
        summed += own["output"]["W"]
        own["output"] = {"b": own["output"]["b"]}
    own["embedding"] = {"E": summed.astype(found.grads.params["embedding"]["E"].dtype)}
    joined = replace(other, grads=Gradients(own, None, other.grads.state))
    judge.agree("value_and_grad", joined, found, question.step_reference())


def asked(backend: Backend, case: Case) -> Question:
    """The question of a case, without resets where the backend has none, or none that begin with learned states."""
    question, able = ask(backend, case), backend.capabilities
    return question if able.resets and able.learned_state else question.but(resets=None)


def _apart(question: Question) -> Question:
    """The network after the embedding, with an output layer of its own."""
    g, net = question.given, question.net
    assert isinstance(net.inputs, Embedding)
    table = g.params["embedding"]["E"]
    params = {name: part for name, part in g.params.items() if name != "embedding"}
    output = net.output
    if isinstance(output, Tied):
        params["output"], output = {"W": table, **params["output"]}, Dense(net.features)
    vectors = table[np.where(_real(question), g.inputs, 0)]
    after = Network(net.inputs.features, net.layers, net.read, output, net.loss)
    return replace(question, net=after, given=replace(g, params=params, inputs=vectors))


def _by_class(question: Question, cotangents: Array) -> Array:
    real = _real(question)
    found = np.zeros((_classes(question.net), cotangents.shape[-1]))
    np.add.at(found, question.given.inputs[real], cotangents[real])
    return found


def _classes(net: Network) -> int:
    assert isinstance(net.inputs, Embedding)
    return net.inputs.classes


def _real(question: Question) -> Array:
    return np.arange(question.steps)[:, None] < question.ends
