"""What a process may take, and what it has taken.

Memory is watched as it is used. A limit on the address space would refuse frameworks that reserve much more of it than
they ever touch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

__all__ = ["AT_A_TIME", "MARK", "Family", "Limits"]

AT_A_TIME = 2
"""How many backends are judged at the same time."""

SHARE = 0.8
"""How much of the machine's memory they have together."""

LOOK_AGAIN = 1.0
"""Seconds after which new members are looked for: that takes a hundred times as long as asking those known."""


@dataclass(frozen=True)
class Limits:
    """`silence` in seconds is taken for a hang: one example with its compilation, or one round of timing.

    `memory` in bytes is for a process and all that it started, `printed` in bytes for what they print.
    """

    silence: float = 150.0
    memory: int = int(SHARE * psutil.virtual_memory().total) // AT_A_TIME
    printed: int = 2**30


MARK = "RNNSPEC_CONFORMANCE_CHILD"
"""A variable of the environment of a process, by which those that it started are known after it is gone."""


class Family:
    """A process and everything that it started; `mark` is its own value of MARK."""

    def __init__(self, pid: int, mark: str) -> None:
        self._members, self._mark = [psutil.Process(pid)], mark
        self._looked = 0.0

    def resident(self) -> int:
        """The bytes of memory in use; those that are gone use none."""
        if time.monotonic() > self._looked + LOOK_AGAIN:
            self._look()
        return sum(_of(member, lambda m: int(m.memory_info().rss)) for member in self._members)

    def kill(self) -> None:
        """End all of them, those that left the group of the first, or outlived it, among them."""
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
