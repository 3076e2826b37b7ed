"""Decays at which a sum of logarithms or a quotient of products fails: 0, 1, and near to both, in one chunk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from conformance.cases import Case, Pull, cases
from conformance.judge import Judge
from conformance.properties.asking import Question
from conformance.properties.networks import Labels
from conformance.properties.parallel import forms
from conformance.registry import Scope, law
from conformance.statements import PARALLEL
from rnnspec import Backend, Layer, Network, cell, out
from rnnspec.primitives import number, outer

STEPS, BATCH, WIDTH, CHUNK = 40, 5, 3, 16
"""Two full chunks and one that is not."""
EXTREMES = (0.0, 1e-6, 1 - 1e-6, 1.0)
"""The decays of one row each; the last row has all of them, drawn for each step and feature."""


@cell
def forgetting(x, h, S, M):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Invented: the input sets all decays, of a vector, of a matrix by its rows, and of one by a number."""
    h = x.a * h + x.b
    S = outer(x.a, 1) * S + outer(x.k, x.v)
    M = number(x.n) * M + outer(x.v, x.b)
    return out(x.b @ S + M @ x.k + M @ h), h, S, M


def _decaying(scope: Scope) -> Labels:
    if not (scope.eager or scope.wide) or scope.shapes or scope.closed:
        return {}
    net = Network(WIDTH + 3, [Layer(forgetting, {"h": WIDTH, "S.columns": 2})])

    def sized(case: Case) -> Case:
        return replace(case, steps=STEPS, batch=BATCH, lengths=None, pull=Pull.BOTH)

    return {"decays": cases([net]).map(sized)}


@law(PARALLEL["P153"], cases=_decaying, needs=("gradients", "matrices"), oracle=True)
def decays(backend: Backend, case: Case, judge: Judge) -> None:
    """The first input features are the decays themselves; each row has one of the extremes, and one has all."""
    question = _extreme(forms.ask_parallel(backend, case, judge, CHUNK), case)
    judge.close("run", question.run(), question.run_reference())
    judge.close("pullback", question.pull(), question.pull_reference())


def _extreme(question: Question, case: Case) -> Question:
    """The question where the maps of decays select input features, and these are extremes."""
    params = question.given.params
    own = params["layers"][0]["forward"]
    for name, low, high in (("a", 0, WIDTH), ("n", WIDTH, WIDTH + 1)):
        own["W"][name][...] = np.eye(case.net.input_features, dtype=own["W"][name].dtype)[low:high]
        own["b"][name][...] = 0
    inputs, rng = question.given.inputs, np.random.default_rng(case.seed)
    for row in range(BATCH):
        chosen = EXTREMES[row : row + 1] or EXTREMES
        inputs[:, row, : WIDTH + 1] = rng.choice(chosen, (STEPS, WIDTH + 1))
    return question.but(params=params, inputs=inputs)
