"""What a call leaves behind that had no step or no row, or that was refused: nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import EMPTY, Question, ask, few, refuses
from conformance.properties.control.finished import GLOBAL
from conformance.properties.learning.training import train, train_reference
from conformance.registry import law
from conformance.statements import CALLS
from conformance.tolerance import Reference
from rnnspec import Backend
from rnnspec.tree import tree_map

Call = Callable[[Question], Any]


@law(CALLS["P114"], cases=networks.cells, needs=("lengths",), also=("gradients",))
def after(backend: Backend, case: Case, judge: Judge) -> None:
    """What the refused call was given is not what the next one leaves out: the state, and its cotangent."""
    question = ask(backend, case)
    unseen, g = question.but(state=None, state_cotangent=None), question.given
    refused = question.but(inputs=g.inputs[..., :-1])
    _judge(judge, "run", Question.run, question, question.run_reference(), refused)
    _judge(judge, "run without a state", Question.run, unseen, unseen.run_reference(), refused)
    if judge.gradients:
        refused = question.but(output_cotangent=g.output_cotangent[..., :-1])
        _judge(judge, "pullback", Question.pull, question, question.pull_reference(), refused)
        _judge(judge, "pullback of outputs", Question.pull, unseen, unseen.pull_reference(), refused)


@law(CALLS["P114-loss"], cases=lambda scope: {**networks.losses(scope), **networks.plain(scope)}, needs=("gradients",))
def after_loss(backend: Backend, case: Case, judge: Judge) -> None:
    """Targets of another shape are refused, beside lengths, a state and parameters that the next call has not."""
    question = ask(backend, case)
    unseen, g = question.but(state=None), question.given
    twice = tree_map(lambda w: w + w, g.params)
    refused = question.but(targets=g.targets[:-1], lengths=question.ends // 2, params=twice)
    _judge(judge, "the loss", Question.step, unseen, unseen.step_reference(), refused)
    if case.lengths is None:
        _judge(judge, "the training step", _trained, unseen, train_reference(unseen, GLOBAL).at("0"), refused)


def _judge(judge: Judge, name: str, call: Call, asked: Question, reference: Reference, refused: Question) -> None:
    before = call(asked)
    for what, cut in EMPTY.items():
        call(few(asked, cut))
        judge.equal(f"{name} after {what}", call(asked), before, reference)
    refuses(call, refused)
    judge.equal(f"{name} after a refusal", call(asked), before, reference)


def _trained(question: Question) -> Any:
    return train(question, GLOBAL)
