"""Segments that are run again in the pullback give what is kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask, is_eager
from conformance.registry import law
from conformance.statements import RECURRENCE
from rnnspec import Backend

SEGMENT = 40
"""The steps of a long segment: where two meet, a policy of `networks.long` cuts the edge."""


@law(RECURRENCE["P88"], cases=lambda scope: {**networks.bidirectional(scope), **networks.losses(scope)},
     needs=("gradients", "policies", "lengths"))  # fmt: skip
def again(backend: Backend, case: Case, judge: Judge) -> None:
    """Segments that do not fill the sequence, one alone, one step each, and of the length that the backend chooses;
    of a loss where there is one; and of gradients without lengths too."""
    judge.applies(is_eager(backend), "each length costs this backend a compiled program")
    question = ask(backend, replace(case, padding=0.0))
    if case.net.output is not None:
        step, expected = question.step(), question.step_reference()
        for every in (None, 2, case.steps + 1):
            judge.agree(f"the loss, segments of {every}", replace(question, backend=backend.recomputing(every)).step(),
                        step, expected)  # fmt: skip
        return
    for asked, every in product((question, question.but(lengths=None)), (None, 1, 2, 3, case.steps + 1)):
        found = replace(asked, backend=backend.recomputing(every)).pull()
        judge.agree(f"the gradients, segments of {every}", found, asked.pull(), asked.pull_reference())


@law(RECURRENCE["P88-long"], cases=networks.long, needs=("gradients", "policies", "lengths"))
def long_again(backend: Backend, case: Case, judge: Judge) -> None:
    """Uses segments of 40 steps, or of complete blocks where these are longer."""
    judge.applies(is_eager(backend), "each length costs this backend a compiled program")
    question = ask(backend, case)
    found = replace(question, backend=backend.recomputing(SEGMENT)).pull()
    judge.agree(f"the gradients, segments of {SEGMENT}", found, question.pull(), question.pull_reference())
