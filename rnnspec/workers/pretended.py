"""Pretended workers: the threads of one process, for tests of what several workers compute."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.errors import WorkerError
from rnnspec.workers.group import Group, no_answer

__all__ = ["Pretended", "outcomes", "pretended", "together"]

T = TypeVar("T")

PATIENCE = 120.0
"""Seconds that a worker waits for the others."""


Brought = tuple[list[np.ndarray[Any, Any]], list[int]]
"""The arrays and counts that a worker adds to a sum."""


class _Meeting:
    """Where the threads meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.changed = threading.Condition()
        self.begin()

    def begin(self) -> None:
        """Forget the sums so far, and who has ended."""
        self.sums: dict[int, dict[int, Brought]] = {}
        """For each sum, in the order of calls, what each worker brought."""
        self.gone: set[int] = set()

    def brought(self, turn: int, rank: int, own: Brought) -> list[Brought]:
        """What all workers bring to a sum, in the order of ranks."""
        begun = time.monotonic()
        with self.changed:
            here = self.sums.setdefault(turn, {})
            here[rank] = own
            self.sums.pop(turn - 2, None)  # who comes to this sum has read the one before the last
            self.changed.notify_all()
            self.changed.wait_for(lambda: len(here) == self.size or self._missing(here) & self.gone, PATIENCE)
        if len(here) < self.size:
            missing = self._missing(here)
            raise no_answer(sorted(missing & self.gone or missing), time.monotonic() - begun)
        return [here[each] for each in range(self.size)]

    def left(self, rank: int) -> None:
        """Let nobody wait for a worker any longer."""
        with self.changed:
            self.gone.add(rank)
            self.changed.notify_all()

    def _missing(self, here: dict[int, Brought]) -> set[int]:
        return set(range(self.size)) - here.keys()


class Pretended(Group):
    """One of the pretended workers of a backend; sums are taken in float64, in the order of ranks."""

    def __init__(self, backend: Any, rank: int, size: int, meeting: _Meeting) -> None:
        self.backend, self.rank, self.size, self.meeting = backend, rank, size, meeting
        self.turn = 0

    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """As the base says; raises WorkerError where a thread has ended, or does not come."""
        be = self.backend
        self.turn += 1
        own = [be.to_numpy_array(a).astype(np.float64) for a in arrays], counts
        found = self.meeting.brought(self.turn, self.rank, own)
        with np.errstate(all="ignore"):  # what overflows is infinite, as in every exchange
            sums = [be.from_numpy(np.asarray(sum(each))) for each in zip(*(a for a, _ in found), strict=True)]
        return sums, [sum(each) for each in zip(*(n for _, n in found), strict=True)]


def pretended(backend: Any, size: int) -> list[Pretended]:
    """So many pretended workers of a backend, in the order of ranks."""
    meeting = _Meeting(size)
    return [Pretended(backend, rank, size, meeting) for rank in range(size)]


def outcomes(groups: Sequence[Pretended], function: Callable[[Group], T]) -> list[Future[T]]:
    """What became of `function(group)` for each worker: at the same time, each on a thread of its own.

    The workers of a backend that is not `concurrent` take turns: one computes while the others wait in a sum. Groups
    can be used again, so that what a backend keeps for a worker serves later calls.
    """
    meeting = groups[0].meeting
    meeting.begin()

    def worker(group: Pretended) -> T:
        group.turn = 0
        try:  # whoever waits on a condition lets go of its lock
            with nullcontext() if group.backend.capabilities.concurrent else meeting.changed:
                return function(group)
        finally:
            meeting.left(group.rank)

    with ThreadPoolExecutor(len(groups)) as pool:
        return [pool.submit(worker, group) for group in groups]


def together(groups: Sequence[Pretended], function: Callable[[Group], T]) -> list[T]:
    """The results of all workers. Raises the first error that is no WorkerError, and otherwise the first error."""
    futures = outcomes(groups, function)
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, WorkerError)):
        raise error
    return [future.result() for future in futures]
