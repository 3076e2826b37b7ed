"""Right calls of any structure and size, judged by the oracle: a suite that cries wolf is not believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

import rnnspec
from conformance import tolerance
from conformance.cases import CELLS, Case, wild_cases
from conformance.judge import Failure, IllPosed, Judge
from conformance.properties.asking import is_eager
from conformance.tolerance import PROFILES

PRECISIONS = ("f32", "f64")
DRAWS = {True: 4, False: 20}
"""Cases for each drawn structure, with other numbers, scales and orders of its rows; more where one is compiled."""


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """Per backend and precision: cases, those that failed, the ill-posed ones and the worst ratio."""
    backends = {name: {p: rnnspec.get_backend(name, precision=p) for p in PRECISIONS} for name in names}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for eager, draws in DRAWS.items():
        alike = {name: opened for name, opened in backends.items() if is_eager(opened["f32"]) is eager}
        found |= judged(alike, draws, count, seed)
    alarms = sum(row["failed"] for rows in found.values() for row in rows.values())
    posed = all(row["ill_posed"] < 0.05 * max(row["cases"], 20) for rows in found.values() for row in rows.values())
    return {"cases": count, "seed": seed, "backends": found, "holds": not alarms and posed}


def judged(
    backends: Mapping[str, Mapping[str, rnnspec.Backend]], draws: int, count: int, seed: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """The same cases for some backends, each in the precision that its structure's seed chooses."""
    rows = {name: {p: {"cases": 0, "failed": 0, "ill_posed": 0, "worst_kappa": 0.0} for p in PRECISIONS}
            for name in backends}  # fmt: skip

    @settings(
        max_examples=count // draws,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seeded(seed)
    @given(wild_cases(tuple(CELLS.values())))
    def each(case: Case) -> None:
        precision = PRECISIONS[case.seed % 2]
        for variant in variants(case, draws):
            for name, opened in backends.items():
                judge_one(name, Judge(opened[precision]), variant, precision, rows[name][precision])

    if backends:
        each()
    return rows


def variants(case: Case, draws: int) -> list[Case]:
    """The case, and others of its structure: with their own numbers, scales over its range and order of rows."""
    rng, found = np.random.default_rng(case.seed), [case]
    while len(found) < draws:
        lengths = None if case.lengths is None else tuple(int(n) for n in rng.permutation(case.lengths))
        scale = round(float(0.1 * 30.0 ** rng.uniform()), 4)
        seed = int(rng.integers(2**30)) * 4 + case.seed % 4
        found.append(replace(case, seed=seed, scale=scale, lengths=lengths))
    return found


def judge_one(name: str, judge: Judge, case: Case, precision: str, row: dict[str, Any]) -> None:
    """Judge one case, and count what came of it."""
    row["cases"] += 1
    try:
        ask(judge, case, precision)
    except IllPosed:
        row["ill_posed"] += 1
    except Failure as failure:
        row["failed"] += 1
        print(f"{name} {precision}: {failure}\n{failure.evidence}\n{case.code()}\n", flush=True)
    row["worst_kappa"] = round(max(row["worst_kappa"], judge.kappa), 3)


def ask(judge: Judge, case: Case, precision: str) -> None:
    """Values always; then the pullback, or the loss and its gradients."""
    profile, backend, a = PROFILES[precision], judge.backend, case.arrays(precision)
    result = backend.run(case.net, a.params, a.inputs, a.state, a.lengths)
    judge.close("values", result, tolerance.run(case, profile))
    if case.seed // 2 % 2:
        gradients = backend.pullback(
            case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths
        )
        judge.close("gradients", gradients, tolerance.pullback(case, profile))
    else:
        step = backend.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, a.lengths)
        judge.close("loss", step, tolerance.value_and_grad(case, profile))
