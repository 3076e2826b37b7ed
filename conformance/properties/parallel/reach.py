"""How far an infinite number or NaN reaches in parallel over time: as far as step by step, and no farther."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases import INPUTS, PUBLISHED, Case, Pull, cases, hidden_for
from conformance.judge import Judge
from conformance.properties.networks import Labels
from conformance.properties.parallel import forms
from conformance.registry import Scope, law
from conformance.statements import PARALLEL
from rnnspec import Backend, Layer, Network

FOREIGN = (np.nan, np.inf, -np.inf)
STEPS, BATCH, CHUNK, BROKEN = 11, 3, 4, 5
"""The broken step is the second one of the second chunk."""
CELLS = ("mingru", "lru", "mlstm", "gla", "gated_deltanet", "deltaproduct", "rwkv6", "rwkv7")
"""One of each kind of form."""


def _forward(scope: Scope) -> Labels:
    if not (scope.eager or scope.wide) or scope.shapes:
        return {}
    chosen = [c for c in scope.cells if forms.formed(c)] if scope.closed else [PUBLISHED[name] for name in CELLS]

    def sized(case: Case) -> Case:
        return replace(case, steps=STEPS, batch=BATCH, lengths=None, pull=Pull.BOTH, padding=0.0)

    return {cell.name: cases([Network(INPUTS, [Layer(cell, hidden_for(cell))])]).map(sized) for cell in chosen}


@law(PARALLEL["P154"], cases=_forward, needs=("resets", "gradients"))
def reach(backend: Backend, case: Case, judge: Judge) -> None:
    """Breaks one step of row 1 in the middle of a chunk, and resets the row some steps later."""
    question = forms.ask_parallel(backend, case, judge, CHUNK)
    fresh = BROKEN + 1 + case.seed % 4
    resets = np.zeros((STEPS, BATCH), bool)
    resets[fresh, 1] = True
    right = question.but(resets=resets)
    x = np.array(right.given.inputs)
    x[BROKEN, 1] = FOREIGN[case.seed % len(FOREIGN)]
    broken = right.but(inputs=x)
    (found, back), (expected, expected_back) = ((each.run(), each.pull()) for each in (broken, right))
    for answer in (found, expected):
        answer.outputs[BROKEN:fresh, 1] = 0
    for gradients in (back, expected_back):
        gradients.inputs[:fresh, 1] = 0
    judge.agree("run, but for what the broken step reaches", found, expected, right.run_reference())
    judge.agree("gradients of inputs, but for what reaches the broken step", {"inputs": back.inputs},
                {"inputs": expected_back.inputs}, right.pull_reference())  # fmt: skip
