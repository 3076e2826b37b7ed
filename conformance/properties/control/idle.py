"""A batch in which nothing counts: its loss is 0 of 0, and a rule moves on by a gradient of zeros."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import EMPTY, Question, ask, few, is_eager
from conformance.properties.control.finished import RULES
from conformance.properties.learning.training import DESCENT, train, train_reference
from conformance.registry import law
from conformance.statements import TRAINING
from rnnspec import Backend
from rnnspec.control.rule import Rule


@law(TRAINING["P116"], cases=lambda scope: {**networks.losses(scope), **networks.plain(scope)}, needs=("gradients",),
     oracle=True)  # fmt: skip
def nothing(backend: Backend, case: Case, judge: Judge) -> None:
    """Rows without a step, no steps, and no rows; after a step that moves momentum and Adam's moments."""
    question = ask(backend, case)
    rules: tuple[Any, ...] = RULES
    judge.applies(case.batch > 0 and case.steps > 0, "every array is empty")
    batches = {what: few(question, cut) for what, cut in EMPTY.items()}
    if case.lengths is not None:
        rows = question.but(lengths=np.zeros_like(question.ends))
        _judge_loss(judge, "rows without a step", rows)
        batches, rules = {"rows without a step": rows}, (RULES[0], DESCENT)
        judge.applies(is_eager(backend), "each further rule costs this backend a compiled program")
    for rule in rules:
        first = train(question, rule)
        for what, batch in batches.items():
            _judge_training(judge, f"{what}, {rule}", batch.but(params=first.params), rule, first.rule_state)


def _judge_loss(judge: Judge, what: str, idle: Question) -> None:
    step, g = idle.step(), idle.given
    judge.exactly(f"the loss of {what}", step.loss_sum, 0.0)
    judge.holds(f"the count of {what}", step.count == 0, step.count, 0)
    for name, tree in (("parameters", step.grads.params), ("inputs", step.grads.inputs), ("states", step.grads.state)):
        judge.exactly(f"gradients of {name}, {what}", tree, 0.0)
    judge.exactly(f"the final state of {what}", step.state, g.state)


def _judge_training(judge: Judge, what: str, idle: Question, rule: Rule, kept: Any) -> None:
    done, reference = train(idle, rule, kept), train_reference(idle, rule, kept).at("0")
    judge.close(f"a training step of {what}", done, reference)
    backend = idle.backend
    found = backend.update(idle.net, rule, idle.given.params, kept, idle.step())
    for part in ("params", "rule_state"):
        judge.close(f"{part} after an update by {what}", backend.to_numpy(getattr(found, part)), reference.at(part))
