"""Measures the products of PyTorch's programs: PyTorch's own, and oneDNN's, which take large ones on some processors.

    python docs/figures/products.py --json docs/figures/products.json

Maps are those of a GRU, from a width to three of them. Each product is timed in rounds of random order. A line for each
choice says whether this machine agrees with what is taken.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from choices import of_choices, told
from rich.progress import track

from backends.torch_backend.products import ONEDNN, OWN, for_gradients, quicker
from conformance.speed.sampling import Timed

ROWS, WIDTHS, ROUNDS = (1, 4, 16, 32, 64, 4096), (64, 128, 256, 512, 1024), 7

LIBRARIES = {"own": OWN, "onednn": ONEDNN}

KINDS = {
    "rows by maps": (lambda rows, width: (torch.randn(rows, width), torch.randn(3 * width, width).T), quicker),
    "gradients of maps": (lambda rows, width: (torch.randn(rows, 3 * width).T, torch.randn(rows, width)),
                          for_gradients),
}  # fmt: skip
"""What is multiplied, and whose products are taken."""


def grid() -> Iterator[tuple[str, int, int]]:
    """What is multiplied, and its sizes."""
    yield from product(KINDS, ROWS, WIDTHS)


def measured(kind: str, rows: int, width: int) -> dict[str, Any]:
    """Median seconds of each library's product."""
    factors, taken = KINDS[kind]
    a, b = factors(rows, width)
    out = torch.empty(a.shape[0], b.shape[1])
    calls = {name: Timed(lambda _, each=each: each.product(a, b, out=out)) for name, each in LIBRARIES.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    rng = random.Random(0)
    for _ in range(ROUNDS):
        for name in rng.sample(list(calls), len(calls)):
            times[name].append(calls[name].sample())
    return {"kind": kind, "rows": rows, "width": width,
            "taken": next(name for name, each in LIBRARIES.items() if each is taken(a, b)),
            **{name: statistics.median(found) for name, found in times.items()}}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    torch.set_grad_enabled(False)
    about = getattr(torch.cpu, "get_capabilities", dict)()
    found = {"processor": about.get("cpu_name", "unknown"), "rows": [measured(*sizes) for sizes in track(list(grid()))]}
    given.json.write_text(json.dumps(found, indent=1) + "\n")
    print(*map(told, of_choices()), sep="\n")
