"""The workers of an MPI communicator, as mpi4py gives it; mpi4py itself is never imported here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.errors import WorkerError
from rnnspec.showing import shown
from rnnspec.workers.digits import DIGITS, joined, split
from rnnspec.workers.group import Group, no_answer

__all__ = ["MpiGroup", "is_communicator"]

PATIENCE = 600.0
"""Seconds that a worker waits for the others, unless it is told otherwise."""
TAG = 17218
"""The tag of the group's messages, so that they are not taken for others of the same communicator."""

Vector = np.ndarray[Any, Any]
yield_processor: Callable[[], None] = getattr(os, "sched_yield", lambda: time.sleep(0.0))


def is_communicator(of: Any) -> bool:
    """Whether something can do what a group asks of a communicator."""
    return all(callable(getattr(of, name, None)) for name in ("Get_rank", "Get_size", "Isend", "Irecv"))


class MpiGroup(Group):
    """The workers of an MPI communicator.

    Each worker adds up one part of the vector, in float64 and in the order of ranks, and sends its sums to the others:
    so all have the same bits, in every run and from every MPI. Each sends as many bytes as in a ring.

    `seconds` is how long a worker waits for the others before it raises WorkerError; after that the group is lost. All
    workers of a communicator call one after another: two threads must not share it.
    """

    def __init__(self, comm: Any, seconds: float = PATIENCE) -> None:
        self.comm, self.seconds = comm, seconds
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._lost: list[Any] = []

    def __repr__(self) -> str:
        return f"MpiGroup(rank {self.rank} of {self.size})"

    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """As the base says."""
        dtype = np.result_type(np.float32, *(array.dtype for array in arrays))
        digits = np.array([split(count) for count in counts], dtype).ravel()
        parts = [digits, *(np.asarray(array).ravel() for array in arrays)]
        length = sum(part.size for part in parts)
        share = -(-length // self.size)
        vector = np.concatenate([*parts, np.zeros(share * self.size - length)], dtype=dtype)

        brought = self._exchanged(np.split(vector, self.size))
        with np.errstate(all="ignore"):  # NaN and infinity are valid results
            own = sum((part.astype(np.float64) for part in brought), np.zeros(share)).astype(dtype)
        whole = np.concatenate(self._exchanged([own] * self.size))

        ends = np.cumsum([part.size for part in parts])
        found, *sums = np.split(whole[:length], ends[:-1])
        return (
            [part.reshape(array.shape).astype(array.dtype) for part, array in zip(sums, arrays, strict=True)],
            [joined(number.tolist()) for number in found.reshape(-1, DIGITS)],
        )

    def _exchanged(self, given: Sequence[Vector]) -> list[Vector]:
        """What each worker sent to this one, where `given` are what this one sends to each."""
        if self._lost:
            raise _error("none in an earlier call")
        found = [own if rank == self.rank else np.empty_like(own) for rank, own in enumerate(given)]
        others = [rank for rank in range(self.size) if rank != self.rank]
        waits: list[tuple[int, Any]] = []
        try:
            waits += [(rank, self.comm.Irecv(found[rank], rank, TAG)) for rank in others]
            waits += [(rank, self.comm.Isend(given[rank], rank, TAG)) for rank in others]
            silent = self._silent(waits)
        except RuntimeError as error:  # mpi4py's own class of errors is one
            self._lost += [waits, given, found]
            raise _error(f"an error of MPI: {shown(error)}") from error
        if silent:
            self._lost += [waits, given, found]  # MPI may still write there
            raise no_answer(silent, self.seconds)
        return found

    def _silent(self, waits: list[tuple[int, Any]]) -> list[int]:
        """The ranks that have not answered when patience ends; none where all have."""
        until = time.monotonic() + self.seconds
        while waits := [(rank, request) for rank, request in waits if not request.Test()]:
            if time.monotonic() > until:
                return sorted({rank for rank, _ in waits})
            yield_processor()
        return []


def _error(got: str) -> WorkerError:
    return WorkerError("group.sum(arrays, counts)", "every worker must answer", got,
                       "start again from the last checkpoint")  # fmt: skip
