"""One worker of `cost_on_paper.py`: rank 0 writes what it measured to a file.

    mpiexec -n 2 python docs/figures/cost_on_paper_worker.py mpi FILE
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Layer, Network, cells, losses, updates

SIZES = tuple(1 << power for power in (10, 12, 14, 16, 18, 19, 20))
SUMS, REPEATS, PAUSE = 20, 30, 0.1
NET = Network(64, [Layer(cells.lstm, 256)], output=Dense(64), loss=losses.SoftmaxCrossEntropy())
ROWS, STEPS = 8, 16


@contextmanager
def mpi() -> Iterator[Any]:
    from mpi4py import MPI  # noqa: PLC0415  # each worker imports its own engine

    yield rnnspec.get_backend("numpy").across(MPI.COMM_WORLD)


@contextmanager
def gloo() -> Iterator[Any]:
    from torch import distributed  # noqa: PLC0415

    distributed.init_process_group("gloo")
    yield rnnspec.get_backend("torch").across(distributed.group.WORLD)
    distributed.destroy_process_group()


ENGINES = {"mpi": mpi, "gloo": gloo}


def loopback() -> int:
    """The bytes that this machine has sent to itself."""
    return int(Path("/proc/net/dev").read_text().split("lo:")[1].split()[8])


def quiet(group: Any) -> int:
    """The bytes sent until now, while no worker sends."""
    group.gathered(0)
    time.sleep(PAUSE)
    found = loopback()
    time.sleep(PAUSE)
    return found


def of_a_sum(be: Any, elements: int) -> dict[str, Any]:
    """The bytes that a worker sends in one sum, TCP's own included, and the seconds of the quickest sum."""
    (array,), group = be.asarray([np.ones(elements, np.float32)]), be.group
    group.sum([array], [1])
    before = quiet(group)
    for _ in range(SUMS):
        group.sum([array], [1])
    sent = (quiet(group) - before) / SUMS / group.size
    return {"elements": elements, "sent": sent, "seconds": quickest(be, {"": lambda: group.sum([array], [1])})[""]}


def quickest(be: Any, calls: dict[str, Any], repeats: int = REPEATS) -> dict[str, float]:
    """The quickest round of each call, which all workers begin together; a round ends with the last of them."""
    found: dict[str, list[int]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            be.group.gathered(0)
            begun = time.perf_counter_ns()
            call()
            found[name].append(max(be.group.gathered(time.perf_counter_ns() - begun)))
    return {name: min(rounds) / 1e9 for name, rounds in found.items()}


def of_a_step(be: Any) -> dict[str, Any]:
    """The seconds of a training step of all workers, and of the workers' own steps at the same time."""
    rng, rule = np.random.default_rng(be.group.rank), updates.SGD(0.01)
    params = be.asarray(NET.init(0))
    x = be.asarray(rng.normal(size=(STEPS, ROWS, 64)))
    targets = rng.integers(0, 64, (STEPS, ROWS))
    calls = {who: lambda own=own: own.train_step(NET, rule, params, rule.init(params), x, targets)
             for who, own in (("local", be.alone), ("together", be))}  # fmt: skip
    return {"parameters": sum(a.size for _, a in rnnspec.tree.leaves(be.to_numpy(params))), **quickest(be, calls)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("file", type=Path)
    given = parser.parse_args()
    with ENGINES[given.engine]() as be:
        found = {"sums": [of_a_sum(be, size) for size in SIZES], "step": of_a_step(be)}
        if be.group.rank == 0:
            given.file.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
