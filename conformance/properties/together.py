"""At the same time: calls of several threads are those of one after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from conformance import tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask
from conformance.registry import law
from conformance.tolerance import PROFILES
from rnnspec import Backend, Gradients, Result

THREADS, ROUNDS = 3, 2
SOON = 1e-5
"""Seconds after which Python lets another thread run."""


@law("P98", "calls of several threads at the same time are those of one after the other", cases=networks.calls,
     needs=("lengths", "concurrent"), also=("gradients",))  # fmt: skip
def together(backend: Backend, case: Case, judge: Judge) -> None:
    """Three threads, each with numbers of its own at the same sizes."""
    cases = [replace(case, seed=case.seed + i) for i in range(THREADS)]
    questions, profile = [ask(backend, one) for one in cases], PROFILES[backend.precision]
    alone = [question.run() for question in questions]
    pulled = [question.pull() for question in questions] if judge.gradients else []
    with _impatient(), ThreadPoolExecutor(THREADS) as pool:
        runs = list(pool.map(_runs, questions))
        pulls = list(pool.map(_pulls, questions)) if judge.gradients else []
    for one, values, right in zip(cases, runs, alone, strict=True):
        for answer in values:
            judge.equal("run beside others", answer, right, tolerance.run(one, profile))
    for one, gradients, expected in zip(cases, pulls, pulled, strict=False):
        for found in gradients:
            judge.equal("pullback beside others", found, expected, tolerance.pullback(one, profile))


def _runs(question: Question) -> list[Result]:
    return [question.run() for _ in range(ROUNDS)]


def _pulls(question: Question) -> list[Gradients]:
    return [question.pull() for _ in range(ROUNDS)]


@contextmanager
def _impatient() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SOON)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
