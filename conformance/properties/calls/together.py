"""At the same time: calls of several threads are those of one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, is_eager
from conformance.properties.control.finished import RULES
from conformance.properties.learning.training import train, train_reference
from conformance.registry import law
from conformance.statements import CONCURRENCY
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend, Step
from rnnspec.control.rule import UpdateRule
from rnnspec.tree import Tree

Call = Callable[[], Any]

THREADS, ROUNDS = 3, 2
SOON = 1e-5
"""Seconds after which Python lets another thread run."""


@law(CONCURRENCY["P98"], cases=networks.calls, needs=("lengths", "concurrent"), also=("gradients",))
def together(backend: Backend, case: Case, judge: Judge) -> None:
    """Each with numbers of its own: runs and pullbacks side by side, and of another network where that is free."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    if is_eager(backend) and backend.capabilities.sizes is None:
        cases.append(replace(case, net=replace(case.net, inputs=case.net.input_features + 1)))
    questions, profile = [ask(backend, one) for one in cases], PROFILES[backend.precision]
    asked: list[Call] = [question.run for question in questions]
    expected = [tolerance.run(one, profile) for one in cases]
    if judge.gradients:
        asked += [question.pull for question in questions]
        expected += [tolerance.pullback(one, profile) for one in cases]
    _judge(judge, asked, expected)


@law(CONCURRENCY["P98-loss"], cases=networks.losses, needs=("lengths", "gradients", "concurrent"))
def losses_together(backend: Backend, case: Case, judge: Judge) -> None:
    """Runs as many losses as threads, each with numbers of its own."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    profile = PROFILES[backend.precision]
    _judge(judge, [ask(backend, one).step for one in cases], [tolerance.value_and_grad(one, profile) for one in cases])


@law(CONCURRENCY["P111"], cases=networks.plain, needs=("gradients", "concurrent"))
def training_together(backend: Backend, case: Case, judge: Judge) -> None:
    """Each with parameters and a rule's state of its own; a run, too, where that is no program more."""
    questions = [ask(backend, replace(case, seed=case.seed + i)) for i in range(THREADS)]
    asked: list[Call] = []
    expected: list[Reference] = []
    for rule, question in product(RULES, questions):
        first, step = train(question, rule), question.step()
        later = question.but(params=first.params)
        asked.append(partial(train, later, rule, first.rule_state))
        expected.append(train_reference(later, rule, first.rule_state).at("0"))
        asked.append(partial(_updated, question, rule, step))
        expected.append(train_reference(question, rule).at("0.params"))
    asked += [question.step for question in questions]
    expected += [question.step_reference() for question in questions]
    if is_eager(backend):
        asked += [question.run for question in questions]
        expected += [question.run_reference() for question in questions]
    order = np.random.default_rng(case.seed).permutation(len(asked))
    _judge(judge, [asked[i] for i in order], [expected[i] for i in order])


def _updated(question: Question, rule: UpdateRule, step: Step) -> Tree:
    params = question.given.params
    done = question.backend.update(question.net, rule, params, rule.init(params), step)
    return question.backend.to_numpy(done.params)


def _judge(judge: Judge, calls: list[Call], references: list[Reference]) -> None:
    alone = [call() for call in calls]
    with _impatient(), ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(_repeated, calls))
    for answers, right, reference in zip(found, alone, references, strict=True):
        for answer in answers:
            judge.equal("a call beside others", answer, right, reference)


def _repeated(call: Call) -> list[Any]:
    return [call() for _ in range(ROUNDS)]


@contextmanager
def _impatient() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SOON)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
