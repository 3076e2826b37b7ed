"""Programs that no call is using, kept for later calls; safe to use from many threads."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from threading import Lock
from typing import Generic, Protocol, TypeVar

__all__ = ["Pool"]

KEPT_BYTES, KEPT_BYTES_OF_MANY, FEW = 1 << 30, 1 << 28, 8
"""What idle programs may take in memory; and how much where there are more than a few, as where every batch has another
size. The ones that were idle longest are let go first."""


class Kept(Protocol):
    """A program that can wait for another call: for how many steps it has room, and the memory that it takes."""

    @property
    def capacity(self) -> int:
        """The steps."""
        ...

    @property
    def bytes(self) -> int:
        """The memory: its arrays, and the calls that are bound to them."""
        ...


P = TypeVar("P", bound=Kept)


class Pool(Generic[P]):
    """Idle programs, by any key that says what they can serve."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._given: deque[tuple[Hashable, P]] = deque()
        self._idle: OrderedDict[int, tuple[Hashable, P, int]] = OrderedDict()

    def take(self, key: Hashable, steps: int) -> P | None:
        """An idle program of this key with room for the steps; one that is too small is let go."""
        with self._lock:
            self._sort_in()
            for place, (known, program, _) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[place]
                    return program if steps <= program.capacity else None
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
            self._idle[id(program)] = (key, program, program.bytes)  # an idle program does not grow
        while len(self._idle) > 1:
            kept = sum(size for _, _, size in self._idle.values())
            if kept <= (KEPT_BYTES if len(self._idle) <= FEW else KEPT_BYTES_OF_MANY):
                break
            self._idle.popitem(last=False)
