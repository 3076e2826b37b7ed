"""Segments in parallel over time: those of a long sequence, and those that a pullback runs again."""

from __future__ import annotations

from dataclasses import replace

from conformance.cases import Case, Pull, cases
from conformance.judge import Judge
from conformance.properties.asking import is_eager
from conformance.properties.networks import Labels
from conformance.properties.parallel import forms
from conformance.registry import Scope, law
from conformance.statements import PARALLEL
from rnnspec import Backend, Layer, Network, cell, out
from rnnspec.primitives import number, outer, sigmoid
from rnnspec.running.parallel import SEGMENT

LONG, ENDS = SEGMENT + 6, (SEGMENT + 6, SEGMENT + 1)
"""More than the steps that run at once."""
AGAIN = (None, 1, 2, 3, 5, 8)
"""The steps of segments that are run again: the backend's own choice, and less than a chunk, a chunk or more."""


@cell
def brief(x, h, S):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: the least cell with a vector and a matrix."""
    h = sigmoid(x.f) * h + x.k
    S = sigmoid(number(x.n)) * S + outer(h, x.v)
    return out(x.q @ S), h, S


def _segments(scope: Scope) -> Labels:
    """A short sequence; and a long one, which the oracle takes some seconds for, in one of the precisions."""
    found = forms.mixed_stages(scope)
    if scope.brief or not found or (scope.share[0] and not scope.wide):
        return found

    def sized(case: Case) -> Case:
        return replace(case, steps=LONG, batch=len(ENDS), lengths=ENDS, pull=Pull.BOTH, resets=0.001)

    net = Network(1, [Layer(brief, {"h": 1, "S.columns": 1})])
    return {**found, "more than a segment": cases([net]).map(sized)}


@law(PARALLEL["P155"], cases=_segments, needs=("lengths", "gradients", "heads"), oracle=True)
def segments(backend: Backend, case: Case, judge: Judge) -> None:
    """A long sequence in the segments of the backend; a short one in segments that are run again, of every length."""
    judge.applies(is_eager(backend), "each length of a segment costs this backend a compiled program")
    question = forms.ask_parallel(backend, case, judge, 64 if case.steps == LONG else None)
    judge.close("run", question.run(), question.run_reference())
    if case.steps == LONG:
        judge.close("pullback", question.pull(), question.pull_reference())
        return
    for every in AGAIN:
        again = replace(question, backend=question.backend.recomputing(every))
        judge.close(f"pullback, run again every {every} steps", again.pull(), question.pull_reference())
