"""Samples of time: long enough for the clock, after a warm-up, without garbage collection."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable

__all__ = ["Timed"]

SAMPLE = 0.03
"""The least seconds of a sample."""

WARM_SECONDS, WARM_CALLS = 0.1, 3


class Timed:
    """A timed call; `call(n)` is the n-th call, and returns when its results are computed."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self._call, self._count = call, 0
        self.first = self._seconds(1)
        """The first call, compilation included."""
        self._loops = self._warm_up()

    def sample(self) -> float:
        """Seconds per call."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return self._seconds(self._loops) / self._loops
        finally:
            if collects:
                gc.enable()

    @property
    def compile_seconds(self) -> float:
        """The seconds of the first call minus those of a warm one."""
        return max(0.0, self.first - self.warm)

    def _warm_up(self) -> int:
        calls, spent, self.warm = 0, 0.0, math.inf
        while calls < WARM_CALLS or spent < WARM_SECONDS:
            seconds = self._seconds(1)
            calls, spent, self.warm = calls + 1, spent + seconds, min(self.warm, seconds)
        return max(1, math.ceil(SAMPLE / self.warm))

    def _seconds(self, loops: int) -> float:
        begun = time.perf_counter()
        for _ in range(loops):
            self._count += 1
            self._call(self._count)
        return time.perf_counter() - begun
