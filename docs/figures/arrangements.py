"""Measures the three ways in which XLA runs several rows: maps packed, maps apart, and steps on columns.

    python docs/figures/arrangements.py --json docs/figures/arrangements.json

Each is timed in rounds of random order; a ratio is of the medians. A line for each choice says whether this machine
agrees with what is taken.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

from rich.progress import track

import rnnspec
from backends.tensorflow_backend.xla import XlaKernel
from conformance.registry import Shape
from conformance.speed.row import Row
from conformance.speed.sampling import Timed
from conformance.speed.subject import Subject
from rnnspec.derivation.schedule import Schedule

CELLS, MODES = ("lstm", "gru", "gru_reset_before"), ("forward", "train")
ROWS, WIDTHS = (8, 32, 64), (64, 256, 512, 768, 1024)
STEPS, ROUNDS, ALLOWED = 32, 5, 1.10

NEVER, PHASES, SEVERAL = sys.maxsize, "backends.planning.phases", "backends.tensorflow_backend.xla.SEVERAL"

ARRANGEMENTS = {
    "packed": {f"{PHASES}.FEW": 0, f"{PHASES}.LARGE": NEVER, SEVERAL: NEVER},
    "apart": {f"{PHASES}.FEW": max(ROWS), f"{PHASES}.WIDE": 0, f"{PHASES}.VERY_LARGE": NEVER},
    "columns": {f"{PHASES}.FEW": 0, f"{PHASES}.LARGE": 0, SEVERAL: NEVER},
}
"""The bounds by which each is taken everywhere."""

PLANS = {"jax": lambda backend: backend.plan, "tensorflow": lambda backend: XlaKernel(backend).plan}
"""What says how a backend's maps are arranged."""


def arrangement(plan: Schedule) -> str:
    """Which of the three a schedule is."""
    return "columns" if plan.columns else "packed" if plan.packed else "apart"


def grid() -> Iterator[tuple[str, Row]]:
    """Every backend, and every row of the measurement; there are half as many inputs as units."""
    for name, cell, mode, rows, width in product(PLANS, CELLS, MODES, ROWS, WIDTHS):
        yield name, Row(cell, Shape(rows, STEPS, width // 2, width), mode, "f32")


def measured(name: str, row: Row) -> dict[str, Any]:
    """Median seconds of a call in each arrangement."""
    calls = {}
    for way, bounds in ARRANGEMENTS.items():
        with ExitStack() as stack:
            for place, bound in bounds.items():
                stack.enter_context(mock.patch(place, bound))
            calls[way] = Timed(Subject(rnnspec.get_backend(name), row).call)
    times: dict[str, list[float]] = {way: [] for way in calls}
    rng = random.Random(0)
    for _ in range(ROUNDS):
        for way in rng.sample(list(calls), len(calls)):
            times[way].append(calls[way].sample())
    taken = PLANS[name](rnnspec.get_backend(name))(row.declared, row.shape.batch, row.shape.hidden)
    return {"backend": name, "cell": row.cell, "mode": row.mode, "shape": asdict(row.shape),
            "taken": arrangement(taken), **{way: statistics.median(found) for way, found in times.items()}}  # fmt: skip


def agreements(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each backend and arrangement: the time where it is taken, over the quickest of the others."""
    for name, way in product(PLANS, ARRANGEMENTS):
        ratios = [row[way] / min(row[other] for other in ARRANGEMENTS if other != way)
                  for row in rows if (row["backend"], row["taken"]) == (name, way)]  # fmt: skip
        if ratios:
            middle = statistics.median(ratios)
            stands = "agrees" if middle <= ALLOWED else f"disagrees by {middle - 1:.0%}"
            beyond = sum(ratio > ALLOWED for ratio in ratios)
            yield (f"{name}, {way}: {middle:.2f} of the quickest other in the median of {len(ratios)}, {stands}; "
                   f"slower by more than a tenth in {beyond}")  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = [measured(name, row) for name, row in track(list(grid()))]
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
    print(*agreements(rows), sep="\n")
