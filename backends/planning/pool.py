"""A pool of idle programs for later calls; safe to use from many threads."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from threading import Lock
from typing import Generic, Protocol, TypeVar

__all__ = ["Pool"]

KEPT_BYTES, KEPT_BYTES_OF_MANY, FEW = 1 << 30, 1 << 28, 8
"""The most bytes of idle programs, and the most where there are more than a few, as with batches of many sizes. The
longest idle ones are dropped first."""


class Kept(Protocol):
    """A program that can wait for another call, with its capacity in steps and its memory."""

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
    """Idle programs by a key, which says for which calls they fit."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._given: deque[tuple[Hashable, P]] = deque()
        self._idle: OrderedDict[int, tuple[Hashable, P, int]] = OrderedDict()

    def take(self, key: Hashable, steps: int) -> P | None:
        """An idle program of this key with room for the steps, or None; one that is too small is dropped."""
        with self._lock:
            self._sort_in()
            for place, (known, program, _) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[place]
                    return program if steps <= program.capacity else None
        return None

    def give(self, key: Hashable, program: P) -> None:
        """Keep a program for later calls.

        It takes no lock: the garbage collector may call it at any time, also within `take` of the same thread.
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
