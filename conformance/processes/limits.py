"""Limits of a process, and its use of memory.

The suite watches the memory in use. A limit on the address space would stop frameworks that reserve much more
than they ever touch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["AT_A_TIME", "MARK", "Family", "Limits"]

AT_A_TIME = 2
"""The number of backends that are tested at the same time."""

SHARE = 0.8
"""The part of the machine's memory that they may use together."""

LOOK_AGAIN = 1.0
"""The seconds between two searches for new processes, which take a hundred times as long as reading known ones."""


@dataclass(frozen=True)
class Limits:
    """The limits of a backend's process.

    After `silence` seconds without a message it counts as hanging; an example with its compilation, or a round of
    timing, must take less. `memory` in bytes is for the process and all processes that it started, `printed` in bytes
    for the text that they print. A process that tests laws and has more than `grown` bytes hands over to a new one.
    """

    silence: float = 150.0
    memory: int = int(SHARE * psutil.virtual_memory().total) // AT_A_TIME
    printed: int = 2**30
    grown: int = 10**9


MARK = "RNNSPEC_CONFORMANCE_CHILD"
"""The environment variable that marks a process and all that it starts, also after it has ended."""


class Family:
    """A process and all processes that it started; `mark` is its value of MARK."""

    def __init__(self, pid: int, mark: str) -> None:
        self._members, self._mark = [psutil.Process(pid)], mark
        self._looked = 0.0

    def resident(self) -> int:
        """The bytes of memory in use by all of them."""
        if time.monotonic() > self._looked + LOOK_AGAIN:
            self._look()
        return sum(_of(member, lambda m: int(m.memory_info().rss)) for member in self._members)

    def kill(self) -> None:
        """End all of them, also those that left the process group or outlived the first."""
        self._look()
        marked = [other for other in psutil.process_iter() if _of(other, lambda m: m.environ().get(MARK) == self._mark)]
        for member in {*self._members, *marked}:
            _of(member, lambda m: m.kill() or 0)

    def _look(self) -> None:
        self._looked = time.monotonic()
        with suppress(psutil.Error):
            self._members += [m for m in self._members[0].children(recursive=True) if m not in self._members]


def _of(member: psutil.Process, ask: Callable[[psutil.Process], int]) -> int:
    try:
        return ask(member)
    except psutil.Error:
        return 0
