"""Measures every choice between two ways to compute the same, with all instructions of the processor and with AVX2.

    python docs/figures/choices.py --json docs/figures/choices.json

Each set of instructions has a process of its own, with one thread. What is taken is timed beside the other way, in
interleaved rounds. A ratio is that of the least times, and times are those of the processor, so that other work on the
machine counts little. A ratio to a layer of `torch.nn` is measured likewise.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import rnnspec
from backends.torch_backend.native import KERNELS
from conformance.registry import Shape
from conformance.speed.row import Row
from conformance.speed.sampling import Timed
from conformance.speed.subject import Subject
from rnnspec import Path as Way
from rnnspec.contract.capabilities import DTYPES

AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
        "OPENBLAS_CORETYPE": "Haswell", "XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}  # fmt: skip
INSTRUCTIONS: Mapping[str, Mapping[str, str]] = {"all": {}, "avx2": AVX2}
ROUNDS, ALLOWED, NOISE, NEVER = 5, 1.10, 1.03, sys.maxsize

NUMPY, TORCH, PHASES = "backends.numpy_backend.backend", "backends.torch_backend.backend", "backends.planning.phases"
SMALL = ((4, 64), (8, 64), (16, 128), (32, 256))
"""Rows and widths on both sides of the bounds."""


@dataclass(frozen=True)
class Rule:
    """A rule of sizes: two ways, each by the bounds or the path under which it is taken everywhere, and where."""

    name: str
    backend: str
    ways: Mapping[str, Any]
    taken: Callable[[Row], str]
    rows: tuple[Row, ...]


def rows(cells: tuple[str, ...], sizes: tuple[tuple[int, int], ...], modes: tuple[str, ...] = ("forward", "train"),
         precisions: tuple[str, ...] = ("f32",)) -> tuple[Row, ...]:  # fmt: skip
    return tuple(Row(cell, Shape(batch, 32, width // 2, width), mode, precision)
                 for cell in cells for batch, width in sizes for mode in modes for precision in precisions)  # fmt: skip


def few(bound: int) -> Callable[[Row], bool]:
    return lambda row: row.shape.batch * row.shape.hidden < bound


RULES = (
    Rule("NumPy: the sigmoid of small layers", "numpy",
         {"by tanh": {f"{NUMPY}.FEW": NEVER}, "by exp": {f"{NUMPY}.FEW": 0}},
         lambda row: "by tanh" if few(1 << 10)(row) else "by exp", rows(("gru", "lstm"), SMALL)),
    Rule("PyTorch: the terms of small layers", "torch",
         {"laid out": {f"{TORCH}.SMALL": NEVER}, "in place": {f"{TORCH}.SMALL": 0}},
         lambda row: "laid out" if few((1 << 11) + 1)(row) else "in place", rows(("gru",), SMALL, ("forward",))),
    Rule("PyTorch: oneDNN's LSTM", "torch", {"kernel": Way.NATIVE, "program": Way.GENERIC},
         lambda row: "kernel" if KERNELS[2].pays("cpu", getattr(torch, DTYPES[row.precision])) else "program",
         rows(("lstm",), ((1, 128), (16, 64), (32, 256)), precisions=("f32", "bf16", "f16"))),
    Rule("PyTorch: ATen's GRU and Elman", "torch", {"kernel": Way.NATIVE, "program": Way.GENERIC}, lambda _: "program",
         rows(("gru", "elman"), ((1, 128), (16, 64), (32, 256)))),
    *(Rule(f"{said}: one row", name,
           {"packed": {f"{PHASES}.WIDE_FOR_ONE": NEVER}, "apart": {f"{PHASES}.WIDE_FOR_ONE": 0}},
           lambda row: "apart" if row.shape.hidden >= 384 else "packed", rows(("gru", "lstm"), ((1, 128), (1, 512))))
      for said, name in (("JAX", "jax"), ("TensorFlow", "tensorflow"))),
)  # fmt: skip

PEERS = {"gru": torch.nn.GRU, "elman": torch.nn.RNN}
SHAPES = (Shape(1, 128, 64, 128), Shape(1, 128, 128, 256), Shape(16, 64, 32, 64), Shape(16, 64, 128, 256),
          Shape(32, 128, 128, 256), Shape(64, 64, 256, 512))  # fmt: skip


def ratio(one: Callable[[], float], other: Callable[[], float]) -> float:
    """The ratio of the least sampled times, in rounds of random order."""
    rng, times = random.Random(0), {one: math.inf, other: math.inf}
    for _ in range(ROUNDS):
        for sample in rng.sample([one, other], 2):
            times[sample] = min(times[sample], sample())
    return round(times[one] / times[other], 3)


def sampled(rule: Rule, way: str, row: Row) -> Callable[[], float]:
    """What takes a sample of one way."""
    asked = rule.ways[way]
    bounds = asked if isinstance(asked, dict) else {}

    def held(work: Callable[[], Any]) -> Any:
        with ExitStack() as stack:
            for place, bound in bounds.items():
                stack.enter_context(mock.patch(place, bound))
            return work()

    backend = rnnspec.get_backend(rule.backend, precision=row.precision)
    path = backend if bounds else backend.through(asked)
    timed: Timed = held(lambda: Timed(Subject(path, row).call))
    return lambda: float(held(timed.sample))


def of_rules() -> Iterator[dict[str, Any]]:
    """Every rule on every row."""
    for rule in RULES:
        for row in rule.rows:
            taken = rule.taken(row)
            other = next(way for way in rule.ways if way != taken)
            says = f"{row.cell} {row.mode} {row.precision}, {row.shape.batch} x {row.shape.hidden}"
            yield {"choice": rule.name, "at": says, "taken": taken, "other": other,
                   "ratio": ratio(sampled(rule, taken, row), sampled(rule, other, row))}  # fmt: skip


def called(call: Callable[[], object], _: int) -> None:
    call()


def of_choices() -> Iterator[dict[str, Any]]:
    """Every choice by measurement, as this process makes it."""
    for choice in rnnspec.get_backend("torch").choices:
        samples = {name: Timed(partial(called, choice.call(option))).sample for name, option in choice.options.items()}
        for other in samples.keys() - {choice.taken}:
            yield {"choice": choice.name, "at": "its sample", "taken": choice.taken, "other": other,
                   "ratio": ratio(samples[choice.taken], samples[other])}  # fmt: skip


def of_peers() -> Iterator[dict[str, Any]]:
    """Runs without gradients beside the layer of `torch.nn`."""
    for cell, make in PEERS.items():
        for shape in SHAPES:
            row, peer = Row(cell, shape, "forward", "f32"), make(shape.inputs, shape.hidden)
            given = [torch.from_numpy(x) for x in row.inputs()]

            def call(n: int, peer: Any = peer, given: Any = given) -> None:
                with torch.no_grad():
                    peer(given[n % len(given)])

            subject = Timed(Subject(rnnspec.get_backend("torch"), row).call)
            yield {"cell": cell, "shape": [shape.batch, shape.time, shape.inputs, shape.hidden],
                   "peer": f"torch.nn.{make.__name__}", "ratio": ratio(subject.sample, Timed(call).sample)}  # fmt: skip


def told(row: dict[str, Any]) -> str:
    """A row in one line."""
    if "peer" in row:
        stands = "agrees" if row["ratio"] <= NOISE else f"disagrees by {row['ratio'] - 1:.0%}"
        return f"{row['cell']} {row['shape']}: {row['ratio']:.2f} of the time of {row['peer']}, {stands}"
    stands = "agrees" if row["ratio"] <= ALLOWED else f"disagrees by {row['ratio'] - 1:.0%}"
    return f"{row['choice']}, {row['at']}: {row['taken']}, {row['ratio']:.2f} of {row['other']}, {stands}"


def here() -> dict[str, Any]:
    """What this process measures, each row also as a line on standard error."""
    found: dict[str, list[dict[str, Any]]] = {"choices": [], "peers": []}
    with mock.patch("conformance.speed.sampling.time.perf_counter", time.process_time):
        for name, measure in (("choices", of_choices), ("peers", of_peers), ("choices", of_rules)):
            for row in measure():
                print(told(row), file=sys.stderr, flush=True)
                found[name].append(row)
    return {"processor": torch.cpu.get_capabilities().get("cpu_name", "unknown"),
            "instructions": torch.backends.cpu.get_cpu_capability(), **found}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="without it, standard output is the JSON of one process")
    given = parser.parse_args()
    if given.json is None:
        torch.set_num_threads(1)
        print(json.dumps(here()))
        return
    found = {}
    for name, settings in INSTRUCTIONS.items():
        env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **settings}
        done = subprocess.run([sys.executable, __file__], env=env, check=True, stdout=subprocess.PIPE, text=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    given.json.write_text(json.dumps({"allowed": ALLOWED, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
