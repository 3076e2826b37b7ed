"""Training steps of any network and batch: rows of several lengths, what is left out, and what comes after."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.properties.learning.training import DESCENT, train, train_reference
from conformance.registry import Scope, law
from conformance.statements import TRAINING
from rnnspec import Backend
from rnnspec.tree import tree_map


def _losses(scope: Scope) -> networks.Labels:
    """Where a rule for one network more is no program, or programs need not be saved."""
    return networks.losses(scope) if scope.eager or scope.wide else {}


@law(TRAINING["P112"], cases=_losses, needs=("lengths", "gradients"))
def ragged(backend: Backend, case: Case, judge: Judge) -> None:
    """Of every network that has a loss; then without a state, and then without lengths."""
    question = ask(backend, case)
    zeros = tree_map(np.zeros_like, question.given.state)
    _judge_step(judge, "with lengths", question, question)
    _judge_step(judge, "without a state", question.but(state=None), question.but(state=zeros))
    full = ask(backend, replace(case, lengths=None))
    _judge_step(judge, "without lengths", full, full)


def _judge_step(judge: Judge, what: str, asked: Question, same: Question) -> None:
    """A training step as asked against the loss of the same question."""
    done, step, reference = train(asked, DESCENT), same.step(), train_reference(same, DESCENT).at("0")
    judge.agree(f"the loss {what}", done.loss_sum, step.loss_sum, reference.at("loss_sum"))
    judge.holds(f"the count {what}", done.count == step.count, done.count, step.count)
    judge.agree(f"the state {what}", done.state, step.state, reference.at("state"))
    mean = tree_map(lambda g: g * g.dtype.type(1 / max(step.count, 1)), step.grads.params)
    judge.agree(f"the velocity {what}", done.rule_state["velocity"], mean, reference.at("rule_state.velocity"))
    moved = tree_map(_moved, asked.given.params, mean)
    judge.agree(f"the parameters {what}", done.params, moved, reference.at("params"))


def _moved(w: Any, mean: Any) -> Any:
    return (w.astype(float) - DESCENT.rate * mean.astype(float)).astype(w.dtype)
