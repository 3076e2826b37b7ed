"""Where the time goes in the calls that take longer than was aimed at.

    python docs/figures/missed.py --json docs/figures/missed.json

Reads the speed that `make bench` measured. Of every call beyond its aim it times, in rounds of random order and in
float32: the whole call, the look at its arguments, and the program that the framework runs. The peer's time and that
of the products of matrices alone are those of the bench, by their ratios.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.progress import track

import rnnspec
from conformance.registry import Shape
from conformance.speed.row import Row
from conformance.speed.subject import Subject
from rnnspec.contract.budget import Size
from rnnspec.interface import validation
from rnnspec.running import execution

ROUNDS, SAMPLE_SECONDS = 21, 0.02
NEVER_SLOWER = 1.05
"""Within what a noisy machine adds."""
EVERY = dict.fromkeys(Size, NEVER_SLOWER)
AIMS: dict[str, dict[str, dict[Size, float]]] = {
    "torch": {"lstm": EVERY, "gru": {**EVERY, Size.ROW: 0.7, Size.SMALL: 0.7},
              "elman": {**EVERY, Size.ROW: 0.8, Size.SMALL: 0.8}},
    "jax": {cell: {**EVERY, Size.LARGE: 0.95} for cell in ("lstm", "gru", "elman")},
    "tensorflow": {cell: {**EVERY, Size.ROW: 0.4, Size.LARGE: 0.7} for cell in ("lstm", "gru", "elman")},
}  # fmt: skip
"""The most of the peer's time that is aimed at; other cells are never to be slower than written by hand."""


def missed(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of the bench beyond their aim, each with the peer that is quickest."""
    for name, aims in AIMS.items():
        rows = json.loads((folder / f"speed-{name}.json").read_text())["backends"][0]["speed"]
        worst: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in rows:
            key = (row["cell"], row["mode"], *row["shape"].values())
            worst[key] = max(worst.get(key, row), row, key=lambda found: found["ratio_peer"])
        for row in worst.values():
            aim = aims.get(row["cell"], EVERY)[Size.of(row["shape"]["batch"], row["shape"]["hidden"])]
            if row["ratio_peer"] > aim:
                yield {"backend": name, "aim": aim, **row}


def parts(name: str, row: Row) -> dict[str, Callable[[int], object]]:
    """The whole call, the look at its arguments, and the program on arguments that were looked at."""
    backend, net = rnnspec.get_backend(name, precision=row.precision), row.network
    subject = Subject(backend, row)
    params, x = backend.asarray(net.init(0)), backend.asarray(row.inputs()[0])
    cotangent = backend.asarray(row.cotangent(net.features))

    def checks(_: int) -> tuple[Any, ...]:
        given = validation.arguments(backend, "run", net, params, x, None, None, gradient=row.mode == "train")
        return given if row.mode == "forward" else (
            *given, *validation.cotangents(backend, "pullback", net, given, cotangent, None))

    function, given = {"forward": execution.run, "train": execution.pullback}[row.mode], checks(0)

    def program(_: int) -> None:
        subject.wait(backend.program(function, net)(*given)[0])

    return {"call": subject.call, "checks": checks, "program": program}


def timed(calls: dict[str, Callable[[int], object]]) -> dict[str, float]:
    """The median microseconds of each."""
    for call in calls.values():
        call(0)
    found: dict[str, list[float]] = {what: [] for what in calls}
    turns, rng = list(calls.items()), random.Random(0)
    for _ in range(ROUNDS):
        rng.shuffle(turns)
        for what, call in turns:
            count, begun = 0, time.perf_counter()
            while time.perf_counter() - begun < SAMPLE_SECONDS:
                call(count)
                count += 1
            found[what].append((time.perf_counter() - begun) / count * 1e6)
    return {what: round(statistics.median(times), 1) for what, times in found.items()}


def measured(row: dict[str, Any]) -> dict[str, Any]:
    own = Row(row["cell"], Shape(**row["shape"]), row["mode"], row["precision"])
    taken = row["seconds"] * 1e6
    return {**{name: row[name] for name in ("backend", "cell", "mode", "shape", "peer", "path", "aim")},
            "ratio": row["ratio_peer"], "peer_us": round(taken / row["ratio_peer"], 1),
            "products_us": round(taken / row["ratio_floor"], 1), **timed(parts(row["backend"], own))}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    rows = [measured(row) for row in track(list(missed(given.json.parent)), description="calls beyond their aim")]
    given.json.write_text(json.dumps({"rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
