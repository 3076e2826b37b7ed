"""Launches the workers of a test as processes of this machine; none of them outlives the call.

A worker is a script. It reads from its environment what the framework's users set, and hands over its results:

    from tests.workers.launching import give
    give(loss=loss, gradient=gradient)

A test starts it, here for PyTorch, and gets what each worker gave:

    results = launched("tests/workers/torch_steps.py", 2, rendezvous())
    results[0]["loss"]
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

ROOT = Path(__file__).parents[2]
RESULT = "WORKER_RESULT"
"""The variable that names the file of a worker's results."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
BARE = {"PYTHONPATH": str(ROOT / "tests/workers/bare")}
"""Variables of a worker of TensorFlow that has no other packages than it needs, and so starts in half the time."""
GRACE = 3.0
"""Seconds that a process has to write its stack after it was aborted, and the others have to end after one failed."""

Environment = Callable[[int], Mapping[str, str]]
"""The variables of each rank."""


@dataclass(frozen=True)
class Worker:
    """How a worker ended: its exit status, minus a signal's number; what it printed; what it gave; after which time."""

    rank: int
    status: int
    said: str
    gave: dict[str, np.ndarray[Any, Any]]
    seconds: float


def give(**arrays: Any) -> None:
    """Hand over the results of this worker, once: whole, or not at all."""
    target = Path(os.environ[RESULT])
    with target.with_suffix(".part").open("wb") as file:
        np.savez(file, **arrays)
    target.with_suffix(".part").rename(target)


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def launched(
    script: str | Path, size: int, environment: Environment, timeout: float = 90.0, arguments: Sequence[str] = ()
) -> list[dict[str, np.ndarray[Any, Any]]]:
    """What each of `size` workers gave, in the order of ranks; fails with the output of those that failed."""
    workers = ended(script, size, environment, timeout, arguments, patient=False)
    failed = [worker for worker in workers if worker.status]
    told = (f"rank {w.rank} ended with {w.status} after {w.seconds:.1f} s:\n{w.said}" for w in failed)
    assert not failed, "\n".join(told)
    return [worker.gave for worker in workers]


def ended(
    script: str | Path, size: int, environment: Environment, timeout: float = 90.0, arguments: Sequence[str] = (),
    *, patient: bool = True,
) -> list[Worker]:
    """How each of `size` workers ended; what runs longer than `timeout` is aborted, and its output has its stack.

    With `patient`, a worker that fails stops no other.
    """
    with tempfile.TemporaryDirectory() as folder:
        places = [Path(folder) / str(rank) for rank in range(size)]
        begun, processes = time.monotonic(), []
        try:
            for rank, place in enumerate(places):
                own = dict(environment(rank)) | {RESULT: f"{place}.npz"}
                processes.append(_process([sys.executable, str(ROOT / script), *arguments], own, place))
            seconds = _waited(processes, begun, timeout, patient)
        finally:
            _stopped(processes)
        return [
            Worker(rank, process.returncode, place.read_text(errors="replace"), _given(place), seconds[rank])
            for rank, (process, place) in enumerate(zip(processes, places, strict=True))
        ]


def ran(
    command: Sequence[str], environment: Mapping[str, str] | None = None, timeout: float = 90.0,
    folder: str | Path = ROOT,
) -> str:
    """What a command printed, as a user runs it, in `folder`; fails with its output, and leaves no process behind."""
    with tempfile.TemporaryDirectory() as place:
        said, processes = Path(place) / "said", []
        try:
            processes.append(_process(command, environment or {}, said, folder))
            _waited(processes, time.monotonic(), timeout, True)
        finally:
            _stopped(processes)
        text = said.read_text(errors="replace")
    assert not processes[0].returncode, f"{' '.join(command)} ended with {processes[0].returncode}:\n{text}"
    return text


def _process(
    command: Sequence[str], own: Mapping[str, str], said: Path, folder: str | Path = ROOT
) -> subprocess.Popen[bytes]:
    """A process in a group of its own, so that its children end with it; it prints into a file, which never blocks.

    A PYTHONPATH of its own comes before the root.
    """
    path = os.pathsep.join(filter(None, (own.get("PYTHONPATH"), str(ROOT), os.environ.get("PYTHONPATH"))))
    variables = os.environ | ONE_THREAD | {"PYTHONFAULTHANDLER": "1"} | own | {"PYTHONPATH": path}
    with said.open("wb") as file:
        return subprocess.Popen(command, env=variables, cwd=folder, stdin=subprocess.DEVNULL, stdout=file,
                                stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip


def _waited(processes: Sequence[subprocess.Popen[bytes]], begun: float, timeout: float, patient: bool) -> list[float]:
    """The seconds after which each process ended, or was aborted."""
    seconds, until = [timeout] * len(processes), begun + timeout
    running = dict(enumerate(processes))
    while running and time.monotonic() < until:
        for rank in [rank for rank, process in running.items() if process.poll() is not None]:
            seconds[rank] = time.monotonic() - begun
            if running.pop(rank).returncode and not patient:
                until = min(until, time.monotonic() + GRACE)
        time.sleep(0.02)
    for process in running.values():
        _signalled(process, signal.SIGABRT)
    for process in running.values():
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    return seconds


def _stopped(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Kill what is left of each process and of its children."""
    for process in processes:
        _signalled(process, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _signalled(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process that runs, and to its children, which may have groups of their own."""
    if process.poll() is None:
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            with suppress(psutil.NoSuchProcess):
                one.send_signal(number)


def _given(place: Path) -> dict[str, np.ndarray[Any, Any]]:
    file = place.with_name(f"{place.name}.npz")
    if not file.exists():
        return {}
    with np.load(file) as found:
        return dict(found)
