"""Measures the peak of memory against steps and windows, and writes it.

    python docs/figures/memory.py --json docs/figures/memory.json

What NumPy allocates while one loss and its gradients are computed, on the NumPy backend, beside the arguments and the
gradient of the inputs, which are as long as the sequence in any case.
"""

from __future__ import annotations

import argparse
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Layer, Network, Windows, cells, losses

INPUTS, HIDDEN, BATCH = 4, 32, 4
LONG = 4096
ROOT = 64


def net() -> Network:
    return Network(INPUTS, [Layer(cells.lstm, HIDDEN)], rnnspec.Last(), loss=losses.SquaredError())


def given(steps: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    own = net()
    return own, own.init(0), rng.normal(size=(steps, BATCH, INPUTS)), rng.normal(size=(BATCH, HIDDEN))


def peak(call: Callable[[], Any]) -> int:
    """Bytes at the peak of a call on a backend that has run nothing."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def plain(steps: int) -> int:
    backend, arguments = rnnspec.get_backend("numpy", precision="f64"), given(steps)
    return peak(lambda: backend.value_and_grad(*arguments))


def recomputing(steps: int, every: int | None) -> int:
    backend, arguments = rnnspec.get_backend("numpy", precision="f64").recomputing(every), given(steps)
    return peak(lambda: backend.value_and_grad(*arguments))


def windows(steps: int, every: int, back: int) -> int:
    backend, arguments = rnnspec.get_backend("numpy", precision="f64"), given(steps)
    inherent = arguments[2].nbytes
    return peak(lambda: Windows(every, back).value_and_grad(backend, *arguments)) - inherent


def measured() -> dict[str, Any]:
    plain(8)  # what is imported and traced once is none of a call's
    rows = [
        {"steps": n, "plain": plain(n), "recomputing": recomputing(n, None), "windows": windows(n, ROOT, ROOT)}
        for n in (256, 1024, LONG)
    ]
    lengths = [
        {"length": n, "recomputing": recomputing(LONG, n), "windows": windows(LONG, n, n)} for n in (16, 64, 256, 1024)
    ]
    backs = [{"steps": steps, "back": back, "windows": windows(steps, ROOT, back)}
             for back in (ROOT, 2 * ROOT, 4 * ROOT) for steps in (1024, LONG)]  # fmt: skip
    return {"shape": [BATCH, INPUTS, HIDDEN], "by_steps": rows, "by_length": lengths, "by_back": backs}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    parser.parse_args().json.write_text(json.dumps(measured(), indent=1) + "\n")
