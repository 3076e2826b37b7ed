"""Programs that no call is using, kept for later calls; safe to use from many threads."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from threading import Lock
from typing import Generic, Protocol, TypeVar

__all__ = ["Pool"]

KEPT_BYTES = 1 << 30
"""What the arrays of idle programs may take; the ones that were idle longest are let go first."""


class Room(Protocol):
    """The arrays of a program: for how many steps there is room, and the memory that they take."""

    capacity: int

    @property
    def bytes(self) -> int:
        """The memory."""
        ...


class Kept(Protocol):
    """A program that can wait for another call."""

    @property
    def workspace(self) -> Room:
        """Its arrays."""
        ...


P = TypeVar("P", bound=Kept)


class Pool(Generic[P]):
    """Idle programs, by any key that says what they can serve."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._given: deque[tuple[Hashable, P]] = deque()
        self._idle: OrderedDict[int, tuple[Hashable, P]] = OrderedDict()

    def take(self, key: Hashable, steps: int) -> P | None:
        """An idle program of this key with room for the steps; one that is too small is let go."""
        with self._lock:
            self._sort_in()
            for place, (known, program) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[place]
                    return program if steps <= program.workspace.capacity else None
        return None

    def give(self, key: Hashable, program: P) -> None:
        """Keep a program for later calls.

        It waits for nobody: the garbage collector may call it at any time, within `take` of the same thread too.
        """
        self._given.append((key, program))
        if self._lock.acquire(blocking=False):
            try:
                self._sort_in()
            finally:
                self._lock.release()

    def _sort_in(self) -> None:
        while self._given:
            key, program = self._given.popleft()
            self._idle[id(program)] = (key, program)
        while len(self._idle) > 1 and sum(p.workspace.bytes for _, p in self._idle.values()) > KEPT_BYTES:
            self._idle.popitem(last=False)
