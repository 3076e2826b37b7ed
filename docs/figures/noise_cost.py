"""What noise costs: the time of drawing masks, and of a training step with each kind of noise and without.

    python docs/figures/noise_cost.py --json docs/figures/noise-cost.json
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Dropout, Key, Layer, Network, cells
from rnnspec.losses import SoftmaxCrossEntropy
from rnnspec.noise import GateDropout, PerSequence, WeightDrop, Zoneout
from rnnspec.noise.masks import masks

STEPS, BATCH, WIDTH, CLASSES, TIMES = 100, 32, 128, 10, 7

NOISE: dict[str, Any] = {
    "none": (), "dropout": Dropout(0.3), "dropout of sequences": Dropout(0.3, PerSequence()),
    "weight drop": WeightDrop(0.3), "zoneout": Zoneout(0.1), "dropout of a gate": GateDropout("g", 0.25),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = [row for backend in ("numpy", "torch", "jax") for row in measured(backend)]
    sizes = {"steps": STEPS, "batch": BATCH, "width": WIDTH}
    given.json.write_text(json.dumps({**sizes, "rows": rows}, indent=1) + "\n")


def measured(backend: str) -> list[dict[str, Any]]:
    """Milliseconds, the least of several calls in turn: of drawing, and of the loss with its gradients."""
    nets = {kind: network(noise) for kind, noise in NOISE.items()}
    calls = {(kind, what): call for kind, net in nets.items() for what, call in asked(backend, net).items()}
    found = {which: float("inf") for which in calls}
    for _ in range(TIMES):
        for which, call in calls.items():
            begun = time.perf_counter()
            call()
            found[which] = min(found[which], 1e3 * (time.perf_counter() - begun))
    return [{"backend": backend, "noise": kind, **{what: round(found[kind, what], 3) for what in ("drawing", "step")}}
            for kind in NOISE]  # fmt: skip


def network(noise: Any) -> Network:
    return Network(WIDTH, [Layer(cells.lstm, WIDTH, noise=noise)], output=Dense(CLASSES), loss=SoftmaxCrossEntropy())


def asked(backend: str, net: Network) -> dict[str, Callable[[], Any]]:
    """What is measured of a network: only masks are drawn where it has noise."""
    be, rng = rnnspec.get_backend(backend), np.random.default_rng(0)
    params, x = be.asarray((net.init(0), rng.normal(size=(STEPS, BATCH, WIDTH))))
    labels = rng.integers(0, CLASSES, (STEPS, BATCH))
    return {
        "drawing": lambda: net.has_noise and masks(net, Key(1), STEPS, BATCH),
        "step": lambda: np.asarray(be.value_and_grad(net, params, x, labels, key=Key(1)).loss_sum),
    }


if __name__ == "__main__":
    main()
