"""At the same time: calls of several threads are those of one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask, is_eager
from conformance.registry import law
from conformance.tolerance import PROFILES, Reference
from rnnspec import Backend

Call = Callable[[], Any]

THREADS, ROUNDS = 3, 2
SOON = 1e-5
"""Seconds after which Python lets another thread run."""


@law("P98", "calls of several threads at the same time are those of one after the other", cases=networks.calls,
     needs=("lengths", "concurrent"), also=("gradients",))  # fmt: skip
def together(backend: Backend, case: Case, judge: Judge) -> None:
    """Each with numbers of its own: runs and pullbacks side by side, and of another network where that is free."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    if is_eager(backend) and backend.capabilities.sizes is None:
        cases.append(replace(case, net=replace(case.net, inputs=case.net.inputs + 1)))
    questions, profile = [ask(backend, one) for one in cases], PROFILES[backend.precision]
    asked: list[Call] = [question.run for question in questions]
    expected = [tolerance.run(one, profile) for one in cases]
    if judge.gradients:
        asked += [question.pull for question in questions]
        expected += [tolerance.pullback(one, profile) for one in cases]
    _judge(judge, asked, expected)


@law("P98-loss", "so are losses", cases=networks.losses, needs=("lengths", "gradients", "concurrent"))
def losses_together(backend: Backend, case: Case, judge: Judge) -> None:
    """Of as many threads, each with numbers of its own."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    profile = PROFILES[backend.precision]
    _judge(judge, [ask(backend, one).step for one in cases], [tolerance.value_and_grad(one, profile) for one in cases])


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
