"""Measures time in parallel beside the same cells step by step, and beside chunks and scans by hand.

    python docs/figures/parallel.py --json docs/figures/parallel.json
    python docs/figures/parallel.py --only forward --json docs/figures/parallel.json

float32; a ratio is the median of the ratios of interleaved rounds. Memory is the peak of a second call in a process of
its own, less what the process holds before it. Each part replaces its own figures in the file.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import json
import multiprocessing
import random
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from chunks_by_hand import BY_HAND

import rnnspec
from rnnspec import Layer, Network, cells

MATRICES = ("gla", "mlstm", "mamba2", "deltanet", "gated_deltanet")
DIAGONALS = ("mingru", "rglru", "hgrn", "tlstm")
BACKENDS = ("numpy", "torch", "jax", "tensorflow")
HEADS, WIDTH, STEPS = 4, 64, 2048
FEATURES, UNITS = HEADS * WIDTH, 128
ROUNDS = 5

Calls = dict[str, Callable[[], Any]]


def of_matrices(backend: Any, name: str, steps: int, batch: int) -> tuple[Any, ...]:
    """A layer of four heads of 64 x 64, its parameters, inputs and a cotangent, as the backend's arrays."""
    return given(backend, Network(FEATURES, [Layer(getattr(cells, name), WIDTH, heads=HEADS)]), steps, batch)


def of_vectors(backend: Any, name: str, steps: int, batch: int) -> tuple[Any, ...]:
    """A layer of 128 units."""
    return given(backend, Network(UNITS, [Layer(getattr(cells, name), UNITS)]), steps, batch)


def given(backend: Any, net: Network, steps: int, batch: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(0)
    x, d = (rng.normal(size=(steps, batch, width)).astype(np.float32) for width in (net.inputs, net.layers[-1].width))
    return net, *map(backend.asarray, (net.init(0), x, d))


def compared(calls: Calls, rounds: int = ROUNDS) -> dict[str, float]:
    """The median seconds of each call, and `ratio`, the median of the first's seconds over the second's.

    Each round has an order of its own, since a call is slower after one that left much memory behind.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    rng = random.Random(0)
    for _ in range(rounds):
        for name in rng.sample(list(calls), len(calls)):
            calls[name]()
            begun = time.perf_counter()
            calls[name]()
            seconds[name].append(time.perf_counter() - begun)
    one, other = list(seconds.values())[:2]
    return {**{name: median(found) for name, found in seconds.items()},
            "ratio": median(a / b for a, b in zip(one, other, strict=True))}  # fmt: skip


def run(backend: Any, net: Network, params: Any, x: Any, d: Any) -> Callable[[], Any]:
    """A forward run, which ends when its numbers are there."""
    return lambda: waited(backend.run(net, params, x).outputs)


def pullback(backend: Any, net: Network, params: Any, x: Any, d: Any) -> Callable[[], Any]:
    """The gradients of everything."""
    return lambda: waited(backend.pullback(net, params, x, d).inputs)


def by_hand(cell: str, net: Network, params: Any, x: Any, d: Any) -> Callable[[], Any]:
    """The gradients of chunks by hand, by PyTorch's autograd."""
    def call() -> Any:
        leaves = {kind: {name: a.clone().requires_grad_() for name, a in maps.items()}
                  for kind, maps in params["layers"][0]["forward"].items()}  # fmt: skip
        inputs = x.clone().requires_grad_()
        wanted = [inputs, *(a for maps in leaves.values() for a in maps.values())]
        return torch.autograd.grad(BY_HAND[cell](leaves, inputs, HEADS), wanted, d)

    return call


def waited(found: Any) -> Any:
    return found.block_until_ready() if hasattr(found, "block_until_ready") else found


MODES = {"forward": run, "gradients": pullback}


def forward() -> list[dict[str, Any]]:
    """The default beside the same cell step by step."""
    rows = []
    for name in ("numpy", "torch"):
        backend = rnnspec.get_backend(name)
        stepwise = backend.through(rnnspec.Path.GENERIC)
        for cell, batch in itertools.product(MATRICES, (1, 4)):
            arguments = of_matrices(backend, cell, STEPS, batch)
            calls = {"parallel": run(backend, *arguments), "stepwise": run(stepwise, *arguments)}
            rows.append(said({"backend": name, "cell": cell, "rows": batch, **compared(calls)}))
    return rows


def gradients_jax() -> list[dict[str, Any]]:
    """The default beside JAX's own gradient of a plain `lax.scan` over the same equations."""
    backend, rows = rnnspec.get_backend("jax"), []
    plain = backend.through(rnnspec.Path.FRAMEWORK)
    for cell, batch in itertools.product(MATRICES, (1, 4)):
        arguments = of_matrices(backend, cell, STEPS, batch)
        calls = {"parallel": pullback(backend, *arguments), "jax.grad": pullback(plain, *arguments)}
        rows.append(said({"cell": cell, "rows": batch, **compared(calls)}))
    return rows


def gradients_torch() -> list[dict[str, Any]]:
    """The default beside chunks by hand, which PyTorch's autograd differentiates."""
    backend, rows = rnnspec.get_backend("torch"), []
    for cell, batch in itertools.product(MATRICES, (1, 4)):
        arguments = of_matrices(backend, cell, STEPS, batch)
        calls = {"parallel": pullback(backend, *arguments), "by hand": by_hand(cell, *arguments)}
        rows.append(said({"cell": cell, "rows": batch, **compared(calls, 9)}))
    return rows


def scans() -> list[dict[str, Any]]:
    """The default beside step by step, and beside scans, for states that are vectors."""
    rows = []
    for name in BACKENDS:
        backend = rnnspec.get_backend(name)
        compiled = name == "tensorflow"
        stepwise = backend.through(rnnspec.Path.NATIVE if compiled else rnnspec.Path.GENERIC)
        kinds = {"default": backend, "stepwise": stepwise, "scan": backend.through(rnnspec.Path.PARALLEL)}
        for cell, steps, (mode, call) in itertools.product(DIAGONALS, (8192, 65536), MODES.items()):
            arguments = of_vectors(backend, cell, steps, 1)
            found = compared({kind: call(held, *arguments) for kind, held in kinds.items()}, 5)
            found["ratio"] = found["default"] / min(found["stepwise"], found["scan"])
            rows.append(said({"backend": name, "cell": cell, "steps": steps, "mode": mode, **found}))
    return rows


def growth() -> list[dict[str, Any]]:
    """Seconds for each step, and the peak of memory, as the sequence grows."""
    rows = []
    for name in ("numpy", "torch", "jax"):
        for steps in (1024, 4096, 16384, 65536):
            seconds, peak = alone(timed, name, "gla", steps, "default")
            rows.append(said({"backend": name, "cell": "gla", "steps": steps, "seconds": seconds, "peak": peak,
                              "microseconds_a_step": 1e6 * seconds / steps}))  # fmt: skip
    return rows


def memory() -> list[dict[str, Any]]:
    """The peak of memory of gradients, beside that of the steps one by one with every state kept."""
    rows = []
    for name in ("numpy", "torch", "jax"):
        for cell in MATRICES:
            peaks = {kind: alone(timed, name, cell, 8192, kind)[1] for kind in ("default", "stepwise")}
            ratio = peaks["default"] / peaks["stepwise"]
            rows.append(said({"backend": name, "cell": cell, **peaks, "ratio": ratio}))
    return rows


def timed(name: str, cell: str, steps: int, kind: str) -> tuple[float, int]:
    """The median seconds of gradients, and the bytes that a call needs beside those that the process holds before it.

    The first call is not measured: a compiler needs memory of its own.
    """
    backend = rnnspec.get_backend(name)
    held = backend.through(rnnspec.Path.GENERIC) if kind == "stepwise" else backend
    call = pullback(held, *of_matrices(backend, cell, steps, 1))
    call()
    before = settled()
    call()
    peak = resident("VmHWM") - before
    seconds = []
    for _ in range(1 if kind == "stepwise" else 3):
        begun = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begun)
    return median(seconds), peak


def settled() -> int:
    """The bytes that the process holds, once it has given back what it can; Linux counts its peak anew from here."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return resident("VmRSS")


def resident(what: str) -> int:
    """The bytes in memory now (VmRSS), or at the peak (VmHWM), as Linux counts them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(what))


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def said(row: dict[str, Any]) -> dict[str, Any]:
    """The row, which is printed."""
    print(*(f"{value:.3g}" if isinstance(value, float) else value for value in row.values()), flush=True)
    return row


PARTS: dict[str, Callable[[], list[dict[str, Any]]]] = {
    part.__name__: part for part in (forward, gradients_jax, gradients_torch, scans, growth, memory)
}


def main() -> None:
    """Measure all parts, or those that are named, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    figures = json.loads(options.json.read_text()) if options.json.exists() else {}
    for name in options.only or PARTS:
        figures[name] = PARTS[name]()
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
