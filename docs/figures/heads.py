"""Measures what heads save: a layer with heads beside as many layers without, in interleaved rounds.

    python docs/figures/heads.py --json docs/figures/heads.json

The layers without heads have the maps of one head each, read the same inputs, and are called one after the other, as a
program without heads would do it. float32; the figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Layer, Network, cells
from rnnspec.losses import SquaredError
from rnnspec.tree import tree_map

BACKENDS = ("numpy", "torch", "jax", "tensorflow")
CELLS = ("slstm", "gru")
HEADS, WIDTH, INPUTS = 8, 32, 128
SHAPES = ((1, 100), (32, 100))
"""Rows and steps."""
ROUNDS = 9


def networks(name: str) -> tuple[Network, Network]:
    """The network with heads, and that of one head."""
    cell = getattr(cells, name)
    with_heads = Network(INPUTS, [Layer(cell, WIDTH, heads=HEADS)], loss=SquaredError())
    return with_heads, Network(INPUTS, [Layer(cell, WIDTH)], loss=SquaredError())


def of_head(params: Any, head: int, heads: int) -> Any:
    """The parameters of one head: its maps, and its part of what stands side by side."""
    def part(a: np.ndarray) -> np.ndarray:
        return a[head] if a.ndim == 3 else np.split(a, heads)[head]

    return tree_map(part, params)


def calls(backend: Any, name: str, rows: int, steps: int) -> dict[str, Any]:
    """The calls to compare, by mode and arrangement; each waits for its result."""
    rng = np.random.default_rng(0)
    together, single = networks(name)
    params = together.init(0)
    apart = [backend.asarray(of_head(params, head, HEADS)) for head in range(HEADS)]
    whole = backend.asarray(params)
    x = backend.asarray(rng.normal(size=(steps, rows, INPUTS)).astype(np.float32))
    y = rng.normal(size=(steps, rows, HEADS * WIDTH)).astype(np.float32)
    targets, parts = backend.asarray(y), [backend.asarray(part) for part in np.split(y, HEADS, -1)]
    return {
        ("forward", "heads"): lambda: waited(backend, backend.run(together, whole, x).outputs),
        ("forward", "layers"): lambda: [waited(backend, backend.run(single, own, x).outputs) for own in apart],
        ("train", "heads"): lambda: waited(backend, backend.value_and_grad(together, whole, x, targets).loss_sum),
        ("train", "layers"): lambda: [
            waited(backend, backend.value_and_grad(single, own, x, part).loss_sum)
            for own, part in zip(apart, parts, strict=True)
        ],
    }


def waited(backend: Any, array: Any) -> Any:
    """The numbers of an array, which wait until they are there."""
    return backend.to_numpy(array)


def measure(backends: tuple[str, ...] = BACKENDS, rounds: int = ROUNDS) -> dict[str, Any]:
    """The median seconds of each call, and the ratio of the two arrangements."""
    rows = []
    for name in backends:
        backend = rnnspec.get_backend(name)
        for cell in CELLS:
            for batch, steps in SHAPES:
                rows += [{"backend": name, "cell": cell, "rows": batch, "steps": steps, **row}
                         for row in compared(calls(backend, cell, batch, steps), rounds)]  # fmt: skip
                print(name, cell, batch, steps, rows[-2]["ratio"], rows[-1]["ratio"], flush=True)
    return {"heads": HEADS, "width": WIDTH, "inputs": INPUTS, "rounds": rounds, "rows": rows}


def compared(own: dict[Any, Any], rounds: int) -> list[dict[str, Any]]:
    """Each mode's seconds with heads and with layers, in rounds that interleave all calls."""
    seconds: dict[Any, list[float]] = {key: [] for key in own}
    for call in own.values():
        call()
    for _ in range(rounds):
        for key, call in own.items():
            begun = time.perf_counter()
            call()
            seconds[key].append(time.perf_counter() - begun)
    found = []
    for mode in ("forward", "train"):
        heads, layers = (median(seconds[mode, kind]) for kind in ("heads", "layers"))
        ratio = median(a / b for a, b in zip(seconds[mode, "heads"], seconds[mode, "layers"], strict=True))
        found.append({"mode": mode, "heads_seconds": heads, "layers_seconds": layers, "ratio": ratio})
    return found


def main() -> None:
    """Measure all, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    given.json.write_text(json.dumps(measure(), indent=1) + "\n")


if __name__ == "__main__":
    main()
