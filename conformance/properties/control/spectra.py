"""Maps that are held to a spectral norm, judged by their singular values."""

from __future__ import annotations

import numpy as np

from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties import networks
from conformance.properties.asking import ask, is_eager
from conformance.properties.learning.training import train
from conformance.registry import law
from conformance.statements import CLIPPING
from conformance.tolerance import PROFILES
from rnnspec import Backend
from rnnspec.tree import leaves
from rnnspec.updates import SGD, HoldSpectralNorm

LIMIT, FAR, STEPS = 0.25, 1e3, 8


@law(CLIPPING["P89"], cases=networks.trained, needs=("gradients",))
def spectral_norm(backend: Backend, case: Case, judge: Judge) -> None:
    """By a rule that changes nothing itself; an estimate from below, carried from step to step."""
    judge.applies(is_eager(backend), "each further rule costs this backend a compiled program")
    question, rule = ask(backend, case), HoldSpectralNorm(SGD(0.0), LIMIT, iterations=8)
    before, kept = dict(leaves(question.given.params)), None
    judge.exactly("maps below the norm", train(question, HoldSpectralNorm(SGD(0.0), FAR)).params, question.given.params)
    for _ in range(STEPS):
        done = train(question, rule, kept)
        question, kept = question.but(params=done.params), done.rule_state
    slack = 0.02 + 64 * PROFILES[backend.precision].unit
    for name, w in leaves(done.params):
        if ".U." not in name:
            judge.exactly(f"{name}, which is not held", w, before[name])
            continue
        first, last = (float(np.linalg.norm(a.astype(float), 2)) for a in (before[name], w))
        wanted = min(first, LIMIT)
        judge.holds(f"the norm of {name}", abs(last - wanted) <= slack * wanted, last, wanted)
