"""Measures the two ways in which XLA runs several rows: maps packed and all in the step, or maps apart.

    python docs/figures/arrangements.py --json docs/figures/arrangements.json

Each is timed in rounds of random order; a ratio is of the medians, below 1 where maps apart are quicker.
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

CELLS, MODES = ("lstm", "gru", "gru_reset_before"), ("forward", "train")
ROWS, WIDTHS = (8, 32, 64), (64, 128, 256, 512)
STEPS, ROUNDS = 64, 5

ARRANGEMENTS = {
    "packed": {"backends.planning.phases.FEW": 0, "backends.tensorflow_backend.xla.SEVERAL": sys.maxsize},
    "apart": {"backends.planning.phases.FEW": max(ROWS), "backends.planning.phases.WIDE": 0},
}
"""Where maps come apart: nowhere, and everywhere."""

PLANS = {"jax": lambda backend: backend.plan, "tensorflow": lambda backend: XlaKernel(backend).plan}
"""What says how a backend's maps are arranged."""


def grid() -> Iterator[tuple[str, Row]]:
    """Every backend, and every row of the measurement; there are half as many inputs as units."""
    for name, cell, mode, rows, width in product(PLANS, CELLS, MODES, ROWS, WIDTHS):
        yield name, Row(cell, Shape(rows, STEPS, width // 2, width), mode, "f32")


def measured(name: str, row: Row) -> dict[str, Any]:
    """Median seconds of a call in each arrangement."""
    calls = {}
    for arrangement, bounds in ARRANGEMENTS.items():
        with ExitStack() as stack:
            for place, bound in bounds.items():
                stack.enter_context(mock.patch(place, bound))
            calls[arrangement] = Timed(Subject(rnnspec.get_backend(name), row).call)
    times: dict[str, list[float]] = {arrangement: [] for arrangement in calls}
    rng = random.Random(0)
    for _ in range(ROUNDS):
        for arrangement in rng.sample(list(calls), len(calls)):
            times[arrangement].append(calls[arrangement].sample())
    taken = PLANS[name](rnnspec.get_backend(name))(row.declared, row.shape.batch, row.shape.hidden)
    return {"backend": name, "cell": row.cell, "mode": row.mode, "shape": asdict(row.shape),
            "taken": "packed" if taken.packed else "apart",
            **{arrangement: statistics.median(found) for arrangement, found in times.items()}}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = [measured(name, row) for name, row in track(list(grid()))]
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
