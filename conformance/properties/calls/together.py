"""At the same time: calls of several threads are those of one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from threading import Barrier
from typing import Any

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

THREADS = 3
SOON = 1e-5
"""Seconds after which Python lets another thread run."""


@law(CONCURRENCY["P98"], cases=networks.calls, needs=("lengths", "concurrent"), also=("gradients",))
def together(backend: Backend, case: Case, judge: Judge) -> None:
    """Each with numbers of its own: runs and pullbacks side by side, and of another network where that is free."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    if is_eager(backend) and backend.capabilities.sizes is None:
        cases.insert(1, replace(case, net=replace(case.net, inputs=case.net.input_features + 1)))
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
    for rule in RULES:
        firsts = [train(question, rule) for question in questions]
        for question, first in zip(questions, firsts, strict=True):
            later = question.but(params=first.params)
            asked.append(partial(train, later, rule, first.rule_state))
            expected.append(train_reference(later, rule, first.rule_state).at("0"))
        for question in questions:
            asked.append(partial(_updated, question, rule, question.step()))
            expected.append(train_reference(question, rule).at("0.params"))
    asked += [question.step for question in questions]
    expected += [question.step_reference() for question in questions]
    if is_eager(backend):
        asked += [question.run for question in questions]
        expected += [question.run_reference() for question in questions]
    _judge(judge, asked, expected)


def _updated(question: Question, rule: UpdateRule, step: Step) -> Tree:
    params = question.given.params
    done = question.backend.update(question.net, rule, params, rule.init(params), step)
    return question.backend.to_numpy(done.params)


def _judge(judge: Judge, calls: list[Call], references: list[Reference]) -> None:
    """Makes every call alone, then beside its neighbours in the list, then beside calls from the list's other end."""
    alone, places = [call() for call in calls], range(len(calls))
    from_both_ends = list(chain(*zip(places, reversed(places), strict=True)))[: len(calls)]
    with _impatient(), ThreadPoolExecutor(THREADS) as pool:
        for order in (places, from_both_ends):
            found = _at_once(pool, [calls[i] for i in order])
            for i, answer in zip(order, found, strict=True):
                judge.equal("a call beside others", answer, alone[i], references[i])


def _at_once(pool: Executor, calls: list[Call]) -> Iterator[Any]:
    """The answers of the calls, of which as many as there are threads begin at the same moment."""
    for first in range(0, len(calls), THREADS):
        group = calls[first : first + THREADS]
        yield from pool.map(partial(_begun, Barrier(len(group))), group)


def _begun(start: Barrier, call: Call) -> Any:
    start.wait()
    return call()


@contextmanager
def _impatient() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SOON)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
