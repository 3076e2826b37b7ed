"""Cells that nobody thought of, judged by the oracle: each is right, or refused in words of the family."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

import rnnspec
from conformance import tolerance
from conformance.cases import Case, drawn_cell_cases, drawn_cell_programs
from conformance.judge import Failure, IllPosed, Judge
from conformance.properties.asking import is_eager
from conformance.tolerance import PROFILES
from rnnspec.errors import RnnSpecError

PRECISIONS = ("f32", "f64")
FOR_ONE_COMPILED = 10
"""Cells for each one that is compiled."""
BATCH = 100
"""Cells that are drawn at a time: of more, hypothesis draws many that are alike."""

Row = dict[str, Any]
"""What became of one backend's cells: how many, how they ended, and the worst kappa."""


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """Per backend: cells that were judged, those that were wrong, refused, or raised what is not of the family."""
    eager = [name for name in names if is_eager(rnnspec.get_backend(name))]
    compiled = [name for name in names if name not in eager]
    rows = {**judged(eager, count, seed), **judged(compiled, count // FOR_ONE_COMPILED, seed)}
    holds = not any(row["wrong"] or row["raised"] for row in rows.values())
    return {"cells": count, "seed": seed, "backends": rows, "holds": holds}


def judged(names: Sequence[str], count: int, seed: int) -> dict[str, Row]:
    """The same cells for some backends, each in the precision that its case's seed chooses.

    Every batch has a process of its own, since a framework gives back no program that it has compiled.
    """
    rows = {name: empty() for name in names}
    begins = range(0, count if names else 0, BATCH)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as processes:
        batches = [processes.submit(batch, names, min(BATCH, count - begin), seed * 1_000_003 + begin)
                   for begin in begins]  # fmt: skip
        for number, done in enumerate(batches, 1):
            rows = {name: together(row, done.result()[name]) for name, row in rows.items()}
            print(f"{', '.join(names)}: {min(number * BATCH, count)} of {count} cells", flush=True)
    return rows


def empty() -> Row:
    """No cell yet."""
    return {"cells": 0, "wrong": 0, "raised": 0, "refused": 0, "ill_posed": 0, "worst_kappa": 0.0}


def together(one: Row, other: Row) -> Row:
    """The cells of two batches."""
    counts = {name: one[name] + other[name] for name in one}
    return counts | {"worst_kappa": max(one["worst_kappa"], other["worst_kappa"])}


def batch(names: Sequence[str], count: int, seed: int) -> dict[str, Row]:
    """So many cells, on each backend."""
    backends = {name: {p: rnnspec.get_backend(name, precision=p) for p in PRECISIONS} for name in names}
    rows = {name: empty() for name in names}
    eager = all(is_eager(opened["f32"]) for opened in backends.values())

    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @seeded(seed)
    @given(drawn_cell_cases() if eager else drawn_cell_programs())
    def each(case: Case) -> None:
        precision = PRECISIONS[case.seed % 2]
        for name, opened in backends.items():
            judge_one(name, opened[precision], case, rows[name])

    each()
    return rows


def judge_one(name: str, backend: rnnspec.Backend, case: Case, row: dict[str, Any]) -> None:
    """Judge one cell; every third time with segments that are run again. Count what came of it."""
    judge = Judge(backend.recomputing(2) if case.seed % 3 == 0 else backend)
    row["cells"] += 1
    try:
        ask(judge, case)
    except IllPosed:
        row["ill_posed"] += 1
    except Failure as failure:
        row["wrong"] += 1
        print(f"{name} {backend.precision}: {failure}\n{failure.evidence}\n{case.code()}\n", flush=True)
    except RnnSpecError as error:
        row["refused"] += 1
        print(f"{name} {backend.precision}: refused: {error}\n{case.code()}\n", flush=True)
    except Exception as error:
        row["raised"] += 1
        print(f"{name} {backend.precision}: {type(error).__name__}: {error}\n{case.code()}\n", flush=True)
    row["worst_kappa"] = round(max(row["worst_kappa"], judge.kappa), 3)


def ask(judge: Judge, case: Case) -> None:
    """Values and the pullback; the loss and its gradients where the network has one."""
    backend, profile = judge.backend, PROFILES[judge.backend.precision]
    a = case.arrays(backend.precision)
    if case.net.loss is not None:
        step = backend.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, a.lengths)
        judge.close("loss", step, tolerance.value_and_grad(case, profile))
        return
    judge.close("values", backend.run(case.net, a.params, a.inputs, a.state, a.lengths), tolerance.run(case, profile))
    pulled = backend.pullback(
        case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths
    )
    judge.close("gradients", pulled, tolerance.pullback(case, profile))
