"""The memory that a process has freed and its C library keeps: several times what is in use after large arrays.

A compiler's work and the tape of a large case are many pieces of different sizes. glibc gives none of them back before
the last one at the top of its heap is free, so that a process seems to grow with every case.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import psutil

__all__ = ["Heap"]

STEP = 2**26
"""The bytes that a process grows before its C library is asked again, which takes some thousandths of a second."""


class Heap:
    """The heap of this process; `trim` is what gives freed memory back, or None where the C library has no such call.

    >>> asked = []
    >>> Heap(lambda: asked.append("trim"), iter((0, 10, 2**27, 2**26)).__next__).give_back()
    >>> asked
    []
    """

    def __init__(self, trim: Callable[[], object] | None = None, resident: Callable[[], int] | None = None) -> None:
        process = psutil.Process()
        self._resident = resident or (lambda: int(process.memory_info().rss))
        self._trim = trim or _trim()
        self._before = self._resident()

    @property
    def resident(self) -> int:
        """The bytes of memory that this process has in use."""
        return self._resident()

    def give_back(self) -> None:
        """Give freed memory back to the system, if the process has grown since the last time."""
        if self._trim and self._resident() > self._before + STEP:
            self._trim()
            self._before = self._resident()


def _trim() -> Callable[[], object] | None:
    try:
        call = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # not glibc
        return None
    return lambda: call(0)
