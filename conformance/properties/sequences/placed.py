"""Where cotangents stand: a final state's counts by itself, whatever zeros the outputs' has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases import Case, Pull
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask
from conformance.registry import Scope, law
from conformance.statements import VALUES
from rnnspec import Backend


def _calls(scope: Scope) -> networks.Labels:
    """With and without lengths."""
    return {**networks.calls(scope), **({} if scope.eager else networks.whole(scope))}


@law(VALUES["P110"], cases=_calls, needs=("lengths", "gradients"), oracle=True, once=True)
def alone(backend: Backend, case: Case, judge: Judge) -> None:
    """The later half of the outputs' cotangent is zeros, and that of one row is zeros throughout."""
    judge.applies(case.batch > 1 and case.steps > 1, "one row, or fewer than two steps")
    question = ask(backend, replace(case, pull=Pull.BOTH, padding=0.0))
    w = np.array(question.given.output_cotangent)
    w[..., case.seed % case.batch, :] = 0
    if not question.is_last:
        w[case.steps // 2 :] = 0
    asked = question.but(output_cotangent=w)
    judge.close("pullback", asked.pull(), asked.pull_reference())
