"""Measures windows of time on two processes beside one process, each with one thread: seconds and peaks of memory.

    python docs/figures/workers_time.py --json docs/figures/workers_time.json

PyTorch with gloo, float32. Rounds alternate between one process, where the other one waits, and both; the figures are
the shortest times of all rounds. Seconds of the clock contain what other work on the machine takes. So there are those
of the processor too: of one process, and of two those of the slower one between each exchange and the next, which is
the time of two processes with a processor each, without exchanges. A peak is that of a process of its own, less what it
had before the call.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Layer, Network, cells, losses
from rnnspec.primitives import sigmoid, tanh
from rnnspec.workers.group import Group
from rnnspec.workers.sequence import OverTime
from rnnspec.workers.summaries import Summaries
from rnnspec.workers.windows import Chain, Wavefront

LAYERS, WIDTH, ROWS, STEPS, ROUNDS = 4, 128, 16, 1024, 9
LONG, LONG_ROWS, LONG_WIDTH = 16_384, 2, 64
TIMEOUT = 900


@rnnspec.cell
def own(x, R, p, h, s):
    """A cell of one's own: two states, each of which bends the other."""
    g = sigmoid(x.g + R.g(h) + p.g * s)
    return tanh(x.h + R.h(h * g)), s * g + (1 - g) * h


CELLS = {"lstm": cells.lstm, "gru": cells.gru, "own": own, "mingru": cells.mingru, "lru": cells.lru}
SPEED = (("lstm", Wavefront), ("gru", Wavefront), ("own", Wavefront), ("mingru", Wavefront), ("mingru", Summaries))
MEMORY = (("lstm", Chain), ("own", Chain), ("lru", Summaries))
KINDS: dict[str, type[OverTime]] = {kind.__name__: kind for kind in (Chain, Wavefront, Summaries)}


class Clocked(Group):
    """A group that notes the seconds of the processor between one sum and the next."""

    def __init__(self, group: Group) -> None:
        self.group, self.rank, self.size = group, group.rank, group.size
        self.begun, self.seconds = time.process_time(), list[float]()

    def sum(self, arrays: list[Any], counts: list[int]) -> tuple[list[Any], list[int]]:
        """As the group says."""
        self.note()
        found = self.group.sum(arrays, counts)
        self.begun = time.process_time()
        return found

    def note(self) -> None:
        """Note the seconds since the last sum."""
        self.seconds.append(time.process_time() - self.begun)

    def again(self) -> None:
        """Forget what was noted."""
        self.begun, self.seconds = time.process_time(), []


class Task:
    """A stack of one cell, with numbers, on one of two processes of PyTorch."""

    def __init__(self, cell: str, kind: str, layers: int, width: int, steps: int, rows: int) -> None:
        from torch import distributed, set_num_threads  # noqa: PLC0415  # of a process of its own

        set_num_threads(1)
        distributed.init_process_group("gloo")
        self.distributed, backend = distributed, rnnspec.get_backend("torch")
        self.net = Network(width, [Layer(CELLS[cell], width) for _ in range(layers)], output=Dense(10),
                           loss=losses.SoftmaxCrossEntropy())  # fmt: skip
        rng = np.random.default_rng(0)
        self.clocked = Clocked(backend.across(distributed.group.WORLD).group)
        self.backend, self.sequence = backend, KINDS[kind](backend.across(self.clocked))
        self.rank, self.half = self.sequence.group.rank, steps // 2
        self.params = backend.asarray(self.net.init(0))
        self.x = backend.asarray(rng.normal(size=(steps, rows, width)).astype(np.float32))
        self.labels = rng.integers(0, 10, (steps, rows))

    def arguments(self, of: slice) -> tuple[Any, ...]:
        """Those of a call on some steps."""
        return self.net, self.params, self.x[of], self.labels[of]

    @property
    def window(self) -> slice:
        """The steps of this process."""
        return slice(0, self.half) if self.rank == 0 else slice(self.half, None)

    def one_run(self) -> Any:
        return self.backend.run(*self.arguments(slice(None))[:3]).outputs

    def run(self) -> Any:
        return self.sequence.run(*self.arguments(self.window)[:3]).outputs

    def one_step(self) -> Any:
        return self.backend.value_and_grad(*self.arguments(slice(None)))

    def step(self) -> Any:
        return self.sequence.value_and_grad(*self.arguments(self.window))

    def rounds(self, one: Callable[[], Any], both: Callable[[], Any]) -> Iterator[dict[str, Any]]:
        """The seconds of one process, while the other waits, and of both, by the clock and of the processor."""
        for _ in range(ROUNDS + 1):
            self.distributed.barrier()
            begun, work = time.perf_counter(), time.process_time()
            if self.rank == 0:
                one()
            found = {"one": time.perf_counter() - begun, "one_processor": time.process_time() - work}
            self.distributed.barrier()
            begun = time.perf_counter()
            self.clocked.again()
            both()
            self.clocked.note()
            self.distributed.barrier()
            yield {**found, "two": time.perf_counter() - begun, "moments": self.clocked.seconds}


def timed(cell: str, kind: str) -> dict[str, Any]:
    """The seconds of each round, of a run and of a loss with its gradients."""
    task = Task(cell, kind, LAYERS, WIDTH, STEPS, ROWS)
    parts = {"run": (task.one_run, task.run), "gradients": (task.one_step, task.step)}
    found = {name: [*task.rounds(*calls)][1:] for name, calls in parts.items()}
    task.distributed.destroy_process_group()
    return found


def joined(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> dict[str, float]:
    """The shortest times of all rounds, from what both processes noted."""
    found = {name: min(row[name] for row in first) for name in ("one", "two", "one_processor")}
    slower = (sum(map(max, a["moments"], b["moments"])) for a, b in zip(first, second, strict=True))
    return {**found, "two_processor": min(slower)}


def peak(cell: str, kind: str, alone: str) -> dict[str, Any]:
    """The bytes that a loss with its gradients adds to the peak of this process."""
    task = Task(cell, kind, 1, LONG_WIDTH, LONG, LONG_ROWS)
    few = slice(0, 8)
    task.backend.value_and_grad(*task.arguments(few))  # what is imported and planned once is none of a call's
    task.sequence.value_and_grad(*task.arguments(few))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if alone == "alone":
        if task.rank == 0:
            task.one_step()
    else:
        task.step()
    task.distributed.barrier()
    task.distributed.destroy_process_group()
    return {"bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)}


WORKERS = {"timed": timed, "peak": peak}


def launched(*arguments: str) -> list[dict[str, Any]]:
    """What each of two processes with one thread prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", **threads}
    processes = [subprocess.Popen([sys.executable, __file__, "--worker", *arguments], stdout=subprocess.PIPE, text=True,
                                  env=os.environ | group | {"RANK": str(rank)}) for rank in range(2)]  # fmt: skip
    try:
        said = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [json.loads(each.splitlines()[-1]) for each in said]


def measured() -> dict[str, Any]:
    """All figures."""
    speed, memory = [], []
    for cell, kind in SPEED:
        first, second = launched("timed", cell, kind.__name__)
        parts = {name: joined(first[name], second[name]) for name in first}
        speed.append({"cell": cell, "kind": kind.__name__, **parts})
        print(speed[-1], flush=True)
    for cell, kind in MEMORY:
        one = launched("peak", cell, kind.__name__, "alone")[0]["bytes"]
        two = [each["bytes"] for each in launched("peak", cell, kind.__name__, "together")]
        memory.append({"cell": cell, "kind": kind.__name__, "one": one, "two": two})
        print(memory[-1], flush=True)
    shape = {"layers": LAYERS, "width": WIDTH, "rows": ROWS, "steps": STEPS, "rounds": ROUNDS}
    long = {"steps": LONG, "rows": LONG_ROWS, "width": LONG_WIDTH}
    return {"shape": shape, "load": os.getloadavg()[1], "processors": os.cpu_count(), "long": long,
            "speed": speed, "memory": memory}  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--worker", nargs="+")
    given = parser.parse_args()
    if given.worker:
        print(json.dumps(WORKERS[given.worker[0]](*given.worker[1:])))
    else:
        given.json.write_text(json.dumps(measured(), indent=1) + "\n")
