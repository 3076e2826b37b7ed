"""Measures what the verifier takes of building plans.

    python docs/figures/verification.py --json docs/figures/verification.json

The plans of each listed cell are built anew, as the backends build them: NumPy's for few values and for many, PyTorch's
for a run and for one with its pullback. Seconds of the processor, of the round that took the fewest.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from rich.progress import track

from backends.planning import planner
from backends.planning.rewriting import Logistic
from backends.torch_backend import planned
from backends.torch_backend.fusion import forward_only
from conformance.cases import CELLS, hidden_for
from rnnspec import Cell
from rnnspec.derivation.schedule import Schedule, schedule

ROUNDS = 5

Widths = tuple[tuple[str, int], ...]


def numpy_plans(whole: Schedule, widths: Widths) -> None:
    for logistic in Logistic:
        planner.plan(whole, widths, logistic)


def torch_plans(whole: Schedule, widths: Widths) -> None:
    for asked in (whole, forward_only(whole)):
        planned.planned(asked, widths)


PLANS: dict[str, tuple[ModuleType, Callable[[Schedule, Widths], None]]] = {
    "numpy": (planner, numpy_plans),
    "torch": (planned, torch_plans),
}
"""Where each backend calls the verifier, and how it builds its plans."""
KEPT = (planner.plan, planner._orders, planned.planned)


def built(backend: str, cell: Cell) -> tuple[float, float]:
    """Seconds in which a cell's plans are built, and those of them that the verifier takes."""
    module, build = PLANS[backend]
    verify, spent = module.verify, []

    def timed(*given: Any) -> None:
        start = time.process_time()
        verify(*given)
        spent.append(time.process_time() - start)

    whole = schedule(cell)
    widths = tuple(sorted((name, width) for name, width in cell.widths(hidden_for(cell)).items() if name))
    for kept in KEPT:
        kept.cache_clear()
    with patch.object(module, "verify", timed):
        start = time.process_time()
        build(whole, widths)
        seconds = time.process_time() - start
    return seconds, sum(spent)


def row(backend: str, name: str) -> dict[str, Any]:
    seconds, verifying = min(built(backend, CELLS[name]) for _ in range(ROUNDS))
    return {"backend": backend, "cell": name, "seconds": seconds, "verifying_seconds": verifying}


def measured() -> dict[str, Any]:
    asked = [(backend, name) for backend in PLANS for name in CELLS]
    return {"rounds": ROUNDS, "rows": [row(backend, name) for backend, name in track(asked)]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.parse_args().json.write_text(json.dumps(measured(), indent=1) + "\n")
