"""Measures how much of the allowed rounding each backend uses, for every cell, direction, depth and precision.

    python docs/figures/kappa.py --json docs/figures/kappa.json

Each entry is the worst ratio of an error to its yardstick, over the loss, the final state and the gradients of every
parameter, the inputs and the initial state, in `CASES` drawn cases: rows of several lengths, with 0 and full among
them, initial states, weights of 0.1 to 3 over the root of what they sum. A ratio beyond what the suite allows
stops the measurement.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

import rnnspec
from conformance import tolerance
from conformance.cases import CELLS, Case, hidden_for
from conformance.judge import IllPosed, Judge
from conformance.own_cell import leaky_gate
from conformance.tolerance import PROFILES
from rnnspec import Cell, Layer, Network, losses

CASES, STEPS, BATCH, INPUTS = 8, 7, 4, 3
DIRECTIONS = ("forward", "reverse", "bidirectional")
DEPTHS = (1, 2)
NAMES = ("numpy", "torch", "jax", "tensorflow")


def network(cell: Cell, direction: str, depth: int) -> Network:
    return Network(INPUTS, [Layer(cell, hidden_for(cell), direction)] * depth, loss=losses.SquaredError())


def cases(net: Network) -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for seed in range(CASES):
        lengths = (0, STEPS, *(int(n) for n in rng.integers(1, STEPS, BATCH - 2)))
        yield Case(net, STEPS, BATCH, lengths, seed=seed, scale=round(float(0.1 * 30.0 ** rng.uniform()), 4))


def worst(backend: rnnspec.Backend, net: Network) -> dict[str, float]:
    """The worst ratio, and how many cases had no answer in the precision."""
    judge, ill_posed, profile = Judge(backend), 0, PROFILES[backend.precision]
    for case in cases(net):
        a = case.arrays(backend.precision)
        step = backend.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, a.lengths)
        try:
            judge.close("loss", step, tolerance.value_and_grad(case, profile))
        except IllPosed:
            ill_posed += 1
    return {"kappa": round(judge.kappa, 3), "ill_posed": ill_posed}


def measured(name: str) -> Iterator[dict[str, Any]]:
    able = rnnspec.get_backend(name).capabilities.precisions
    grid = list(product([p for p in PROFILES if p in able], (*CELLS.values(), leaky_gate), DIRECTIONS, DEPTHS))
    for precision, cell, direction, depth in track(grid, description=name):
        found = worst(rnnspec.get_backend(name, precision=precision), network(cell, direction, depth))
        yield {"backend": name, "precision": precision, "cell": cell.name, "direction": direction, "depth": depth,
               **found}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--backend", action="append", choices=NAMES)
    given = parser.parse_args()
    rows = [row for name in given.backend or NAMES for row in measured(name)]
    given.json.write_text(json.dumps({"cases": CASES, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
