"""Lengths as a caller spells them: whole numbers of every type, and what cannot be lengths, in every call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import Question, ask, is_eager, refuses
from conformance.properties.learning.training import DESCENT, train, train_reference
from conformance.registry import Scope, law
from conformance.statements import CALLS
from rnnspec import Backend

__all__ = ["WHOLE"]

WHOLE = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)
"""The types of whole numbers."""
REFUSAL = ("an answer, or an error of another kind", "an RnnSpecError")
WRAP = 2**32
"""What is nothing in 32 bits."""


def _calls(scope: Scope) -> networks.Labels:
    return {**networks.cells(scope), **networks.losses(scope)}


@law(CALLS["P113"], cases=_calls, needs=("lengths",), also=("gradients",))
def spelt(backend: Backend, case: Case, judge: Judge) -> None:
    """Runs and pullbacks of a cell; losses of a network that has one, and training steps where they are no program."""
    question = ask(backend, case)
    for name, (call, reference) in _answers(question, judge).items():
        right = call(question)
        for kind in WHOLE:
            lengths = question.ends.astype(kind)
            judge.equal(f"{name}, lengths {lengths.dtype}", call(question.but(lengths=lengths)), right, reference())


@law(CALLS["P113-refused"], cases=_calls, needs=("lengths",), also=("gradients",))
def refused(backend: Backend, case: Case, judge: Judge) -> None:
    """Beyond the time, negative, of 32 bits and more, no whole numbers, and of another shape; and nothing else is."""
    question = ask(backend, case)
    judge.applies(case.batch > 1 and case.steps > 0, "one row, or no step")
    ends, first = question.ends.astype(np.int64), np.arange(case.batch) == 0
    wrong = {
        "a length beyond the time": np.where(first, case.steps + 1, ends),
        "a negative length": np.where(first, -1, ends),
        "a length that 32 bits do not hold": np.where(first, ends + WRAP, ends),
        "lengths of fractions": ends + 0.5,
        "lengths of whole floating numbers": ends.astype(np.float64),
        "truth values for lengths": ends > 0,
        "too few lengths": ends[:-1],
        "too many lengths": np.append(ends, ends[:1]),
        "one length for all rows": ends[:1],
        "lengths in a column": ends[:, None],
    }
    calls: list[tuple[str, Callable[[Question], Any]]] = [("a loss", Question.step), ("a training step", _trained)]
    if case.net.output is None:
        calls = [("a run", Question.run), *([("a pullback", Question.pull)] if judge.gradients else [])]
    for name, call in calls if case.net.output is None or judge.gradients else []:
        for what, lengths in wrong.items():
            asked = question.but(lengths=lengths)
            judge.holds(f"refusal by {name} of {what}", refuses(call, asked), *REFUSAL)


def _answers(question: Question, judge: Judge) -> Mapping[str, tuple[Callable[[Question], Any], Callable[[], Any]]]:
    """The calls of a question's network, and their references."""
    if question.net.output is None:
        pulls = {"pullback": (Question.pull, question.pull_reference)} if judge.gradients else {}
        return {"run": (Question.run, question.run_reference), **pulls}
    if not judge.gradients:
        return {}
    trains = {"training step": (_trained, lambda: train_reference(question, DESCENT).at("0"))}
    return {"loss": (Question.step, question.step_reference), **(trains if is_eager(question.backend) else {})}


def _trained(question: Question) -> Any:
    return train(question, DESCENT)
