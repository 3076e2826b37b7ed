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
    rows = [measured(backend, kind) for backend in ("numpy", "torch", "jax") for kind in NOISE]
    sizes = {"steps": STEPS, "batch": BATCH, "width": WIDTH}
    given.json.write_text(json.dumps({**sizes, "rows": rows}, indent=1) + "\n")


def measured(name: str, kind: str) -> dict[str, Any]:
    """Milliseconds, the least of several calls: of drawing, and of the loss with its gradients, on one backend."""
    net = Network(WIDTH, [Layer(cells.lstm, WIDTH, noise=NOISE[kind])], output=Dense(CLASSES),
                  loss=SoftmaxCrossEntropy())  # fmt: skip
    be, rng = rnnspec.get_backend(name), np.random.default_rng(0)
    params, x = be.asarray((net.init(0), rng.normal(size=(STEPS, BATCH, WIDTH))))
    labels = rng.integers(0, CLASSES, (STEPS, BATCH))
    drawing = least(lambda: masks(net, Key(1), STEPS, BATCH)) if net.has_noise else 0.0
    whole = least(lambda: np.asarray(be.value_and_grad(net, params, x, labels, key=Key(1)).loss_sum))
    found = {"backend": name, "noise": kind, "drawing": round(drawing, 3), "step": round(whole, 2)}
    print(found, flush=True)
    return found


def least(call: Callable[[], Any]) -> float:
    found = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return 1e3 * min(found)


if __name__ == "__main__":
    main()
