"""CTC: against the oracle, and by what follows from its being a probability."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, changed
from conformance.registry import Scope, law
from conformance.statements import ALIGNMENT
from conformance.tolerance import PROFILES
from rnnspec import Backend
from rnnspec.losses import CTC

__all__: list[str] = []

NEEDS = ("lengths", "gradients")
SHORT = 2
"""Steps of which everything that they can spell is asked for."""
LAST, BETWEEN = 3, 1
"""The last of the networks' classes, and one with classes on both sides."""


def _aligned(scope: Scope) -> networks.Labels:
    """The networks, with a blank between the classes too; where a program more costs, with no other."""
    found = networks.aligned(scope)
    if f"aligned, blank {LAST}" not in found:
        return found
    between = {f"aligned, blank {BETWEEN}": found[f"aligned, blank {LAST}"].map(_with_blank_between)}
    return {**found, **between} if len(found) > 1 else between


def _with_blank_between(case: Case) -> Case:
    return replace(case, net=replace(case.net, loss=CTC(BETWEEN)))


def _posed(backend: Backend, judge: Judge) -> None:
    judge.applies(backend.precision != "f16", "f16 has no range for the logarithms of a row's probabilities")


@law(ALIGNMENT["P90"], cases=_aligned, needs=NEEDS, oracle=True)
def aligned_loss(backend: Backend, case: Case, judge: Judge) -> None:
    """Compares a loss call with the oracle, on rows of several lengths, some with repeated labels."""
    _posed(backend, judge)
    reference = tolerance.value_and_grad(case, PROFILES[backend.precision])
    judge.close("value_and_grad", ask(backend, case).step(), reference)


@law(ALIGNMENT["P91"], cases=_aligned, needs=NEEDS)
def spelt_for_certain(backend: Backend, case: Case, judge: Judge) -> None:
    """Two steps of one row, every sequence of up to two labels; the other rows have no step and no label."""
    _posed(backend, judge)
    question = ask(backend, case)
    row = _longest(question, judge)
    labels = [c for c in range(case.net.features) if c != _loss(case).blank]
    every = [(), *product(labels), *((a, b) for a, b in product(labels, labels) if a != b)]
    asked = [_spelling(question, row, spelt) for spelt in every]
    found = sum(float(np.exp(-np.float64(one.step().loss_sum))) for one in asked)
    judge.holds("their sum", abs(found - 1) < 256 * PROFILES[backend.precision].unit, f"{found:.12g}", "1")


@law(ALIGNMENT["P92"], cases=_aligned, needs=NEEDS)
def impossible(backend: Backend, case: Case, judge: Judge) -> None:
    """Gives a row one label twice in two steps, which needs a blank between them."""
    _posed(backend, judge)
    question = ask(backend, case)
    row = _longest(question, judge)
    label = next(c for c in range(case.net.features) if c != _loss(case).blank)
    g = question.given
    lengths, targets = np.array(question.ends), np.array(g.targets)
    lengths[row], targets[row] = 0, -1
    without = question.but(lengths=lengths, targets=targets)
    lengths, targets = np.array(lengths), np.array(targets)
    lengths[row], targets[row, :2] = SHORT, label
    found, others = question.but(lengths=lengths, targets=targets).step(), without.step()
    judge.exactly("the loss", found.loss_sum, float("inf"))
    judge.exactly("the row's input gradients", found.grads.inputs[:, row], 0.0)
    judge.agree("gradients beside the row", found.grads, others.grads, without.step_reference().at("grads"))


@law(ALIGNMENT["P93"], cases=_aligned, needs=NEEDS)
def balanced(backend: Backend, case: Case, judge: Judge) -> None:
    """So does the output layer's bias get them: a number added to all classes changes no probability."""
    _posed(backend, judge)
    question = ask(backend, case)
    found = np.asarray(question.step().grads.params["output"]["b"], np.float64)
    size, terms = max(1.0, float(np.abs(found).max())), max(1, int(question.ends.sum()))
    bound = 64 * PROFILES[backend.precision].unit * terms * size
    judge.holds("their sum", abs(found.sum()) < bound, f"{found.sum():.3g}", f"0 within {bound:.3g}")


@law(ALIGNMENT["P94"], cases=_aligned, needs=NEEDS)
def renamed(backend: Backend, case: Case, judge: Judge) -> None:
    """Exchanges two labels, and leaves the blank in its place."""
    _posed(backend, judge)
    question = ask(backend, case)
    first, second = [c for c in range(case.net.features) if c != _loss(case).blank][:2]
    order = np.arange(case.net.features)
    order[[first, second]] = second, first
    g = question.given
    output = g.params["output"]
    params = changed(changed(g.params, "output.W", output["W"][order]), "output.b", output["b"][order])
    targets = np.where(g.targets == -1, -1, order[g.targets])
    found, whole = question.but(params=params, targets=targets).step(), question.step()
    judge.agree("the loss", found.loss_sum, whole.loss_sum, question.step_reference().at("loss_sum"))
    judge.agree("input gradients", found.grads.inputs, whole.grads.inputs, question.step_reference().at("grads.inputs"))


def _loss(case: Case) -> CTC:
    assert isinstance(case.net.loss, CTC)
    return case.net.loss


def _longest(question: Question, judge: Judge) -> int:
    """The row with the most steps, behind whose end anything may stand."""
    row = int(np.argmax(question.ends))
    judge.applies(int(question.ends[row]) >= SHORT, "no row is long enough")
    return row


def _spelling(question: Question, row: int, labels: tuple[int, ...]) -> Question:
    """Two steps of one row with some labels, all others with neither."""
    lengths = np.zeros_like(question.ends)
    lengths[row] = SHORT
    targets = np.full_like(question.given.targets, -1)
    targets[row, : len(labels)] = labels
    return question.but(lengths=lengths, targets=targets)
