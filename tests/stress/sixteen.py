"""Right calls in sixteen bits, judged by the oracle: layers, cells that nobody thought of, matrices, heads, chunks.

A structure is drawn with several numbers, scales and lengths, and with many where a backend compiles it. Parts with
other seeds add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

import rnnspec
from conformance import tolerance
from conformance.cases import CELLS, PUBLISHED, Case, affine_cell_cases, drawn_cases, drawn_cell_programs, hidden_for
from conformance.judge import Failure, IllPosed, Judge
from conformance.properties.asking import is_eager
from conformance.tolerance import PROFILES, Reference
from rnnspec import Layer, Network, Path, cells
from rnnspec.derivation.parallel import parallel
from tests.stress.false_alarms import variants

PRECISIONS = ("bf16", "f16")
DRAWS = {True: 5, False: 200}
"""Cases of one structure; more where one is compiled."""
CHUNK = 4
"""The steps of a chunk, of which a short case has several."""
LONG = 70
"""Steps of which a chunk of the usual length is not all."""
SHORT_RANGE = ("f16",)
"""Precisions without the range for CTC."""

Row = dict[str, Any]


def _long_cases() -> SearchStrategy[Case]:
    """Published cells with a matrix, or a state that runs by a scan, over more steps than a chunk has."""
    able = [cell for cell in PUBLISHED.values() if not isinstance(parallel(cell), str)]
    nets = [Network(4, [Layer(cell, hidden_for(cell, (4, 3)))]) for cell in able]
    return st.builds(
        lambda net, seed, resets: Case(net, LONG, 3, (LONG, 0, LONG - 7), seed=seed, resets=resets),
        st.sampled_from(nets), st.integers(0, 2**32 - 1), st.sampled_from((None, None, 0.1)),
    )  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A kind of cases: how they are drawn, the share of all cases, and what each backend is told."""

    cases: Callable[[], SearchStrategy[Case]]
    share: float
    opened: Callable[[rnnspec.Backend], rnnspec.Backend] = lambda backend: backend


def _in_chunks(backend: rnnspec.Backend) -> rnnspec.Backend:
    return backend.through(Path.PARALLEL).chunking(CHUNK)


KINDS = {
    "layers": Kind(lambda: drawn_cases(tuple(CELLS.values())), 0.35),
    "published cells": Kind(lambda: drawn_cases(tuple(PUBLISHED.values())), 0.2),
    "drawn cells": Kind(drawn_cell_programs, 0.05),
    "recomputed": Kind(lambda: drawn_cases((cells.gru, cells.gla, cells.lstm_peephole)), 0.1,
                       lambda backend: backend.recomputing(2)),
    "chunks and scans": Kind(affine_cell_cases, 0.2, _in_chunks),
    "long chunks": Kind(_long_cases, 0.1, lambda backend: backend.through(Path.PARALLEL)),
}  # fmt: skip


def measure(names: Sequence[str], count: int, seed: int, precisions: Sequence[str] = PRECISIONS) -> dict[str, Any]:
    """One part: per backend and precision the cases, false alarms, ill-posed ones, arrays left out, and worst ratio."""
    able = {name: [p for p in precisions if p in rnnspec.get_backend(name).capabilities.precisions] for name in names}
    rows: dict[str, dict[str, Row]] = {name: {p: empty() for p in own} for name, own in able.items() if own}
    for name, own in rows.items():
        for precision, row in own.items():
            backend = rnnspec.get_backend(name, precision=precision)
            for kind in KINDS.values():
                _judge_all(kind, kind.opened(backend), max(1, round(count * kind.share)), seed, row)
    part = {"seed": seed, "cases": count, "precisions": [*precisions], "backends": [*rows]}
    return joined(None, {"parts": [part], "backends": rows})


def joined(before: dict[str, Any] | None, part: dict[str, Any]) -> dict[str, Any]:
    """The counts of what was measured before and of one part more; ValueError where it has that part already."""
    known = before["parts"] if before else []
    if any(one in known for one in part["parts"]):
        raise ValueError(f"stress: a part must be new, got {part['parts']} once more; give another --seed")
    rows: dict[str, dict[str, Row]] = {}
    for each in (before, part) if before else (part,):
        for name, own in each["backends"].items():
            for precision, row in own.items():
                old = rows.setdefault(name, {}).get(precision, empty())
                rows[name][precision] = {key: max(old[key], row[key]) if key == WORST else old[key] + row[key]
                                         for key in row}  # fmt: skip
    every = [row for own in rows.values() for row in own.values()]
    holds = not any(row["failed"] for row in every)
    posed = all(row["ill_posed"] < 0.05 * max(row["cases"], 20) for row in every)
    return {"parts": [*known, *part["parts"]], "backends": rows, "holds": holds and posed}


WORST = "worst_kappa"


def empty() -> Row:
    """No case yet."""
    return {"cases": 0, "failed": 0, "ill_posed": 0, "arrays": 0, "left_out": 0, WORST: 0.0}


def _judge_all(kind: Kind, backend: rnnspec.Backend, count: int, seed: int, row: Row) -> None:
    draws = min(DRAWS[is_eager(backend)], count)

    @settings(max_examples=max(1, count // draws), deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @seeded(seed)
    @given(kind.cases())
    def each(case: Case) -> None:
        for variant in variants(case, draws):
            judge_one(backend, variant, row)

    each()


def judge_one(backend: rnnspec.Backend, case: Case, row: Row) -> None:
    """Judge one case, and count what came of it."""
    row["cases"] += 1
    judge = Judge(backend)
    for what, answer, reference in questions(backend, case):
        row["arrays"] += len(reference.leaves)
        row["left_out"] += len(reference.untested)
        try:
            judge.close(what, answer(), reference)
        except IllPosed:
            row["ill_posed"] += 1
            break
        except Failure as failure:
            row["failed"] += 1
            print(f"{backend.name} {backend.precision}: {failure}\n{failure.evidence}\n{case.code()}\n", flush=True)
            break
    row[WORST] = round(max(row[WORST], judge.kappa), 3)


def questions(backend: rnnspec.Backend, case: Case) -> list[tuple[str, Callable[[], Any], Reference]]:
    """Values; then the pullback, or the loss and its gradients where the case has one."""
    profile, a, net = PROFILES[backend.precision], case.arrays(backend.precision), case.net
    rest = (a.state, a.lengths, *(() if a.resets is None else (a.resets,)))
    learns = net.loss is not None and case.seed // 2 % 2 == 1
    if learns and not (net.loss.aligned and backend.precision in SHORT_RANGE):
        call, given = backend.value_and_grad, (a.targets,)
        second = "loss", tolerance.value_and_grad
    else:
        call, given = backend.pullback, (a.output_cotangent, a.state_cotangent)
        second = "gradients", tolerance.pullback
    name, expected = second
    return [("values", lambda: backend.run(net, a.params, a.inputs, *rest), tolerance.run(case, profile)),
            (name, lambda: call(net, a.params, a.inputs, *given, *rest), expected(case, profile))]  # fmt: skip
