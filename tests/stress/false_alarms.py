"""Right calls of any structure and size, judged by the oracle: a suite that cries wolf is not believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

import rnnspec
from conformance import tolerance
from conformance.cases import CELLS, Case, wild_cases
from conformance.judge import Failure, IllPosed, Judge
from conformance.tolerance import PROFILES

PRECISIONS = ("f32", "f64")


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """Per backend and precision: cases, those that failed, the ill-posed ones and the worst ratio."""
    found = {name: judged(name, count, seed) for name in names}
    alarms = sum(row["failed"] for rows in found.values() for row in rows.values())
    posed = all(row["ill_posed"] < 0.05 * max(row["cases"], 20) for rows in found.values() for row in rows.values())
    return {"cases": count, "seed": seed, "backends": found, "holds": not alarms and posed}


def judged(name: str, count: int, seed: int) -> dict[str, dict[str, Any]]:
    """The same cases for every backend, each in the precision that its seed chooses."""
    backends = {p: rnnspec.get_backend(name, precision=p) for p in PRECISIONS}
    rows = {p: {"cases": 0, "failed": 0, "ill_posed": 0, "worst_kappa": 0.0} for p in PRECISIONS}

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seeded(seed)
    @given(wild_cases(tuple(CELLS.values())))
    def each(case: Case) -> None:
        precision = PRECISIONS[case.seed % 2]
        row, judge = rows[precision], Judge(backends[precision])
        row["cases"] += 1
        try:
            ask(judge, case, precision)
        except IllPosed:
            row["ill_posed"] += 1
        except Failure as failure:
            row["failed"] += 1
            print(f"{name} {precision}: {failure}\n{failure.evidence}\n{case.code()}\n", flush=True)
        row["worst_kappa"] = round(max(row["worst_kappa"], judge.kappa), 3)

    each()
    return rows


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
