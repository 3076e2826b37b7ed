"""Programs that no call is using, kept for later calls; safe to use from many threads."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from backends.planning.plan import Plan
from backends.torch_backend.program import Program

__all__ = ["Key", "Pool"]

Key = tuple[Plan, int]
"""A plan and a batch size."""

KEPT_BYTES = 1 << 30
"""What the tensors of idle programs may take; the ones that were idle longest are let go first."""


class Pool:
    """Idle programs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._idle: OrderedDict[int, tuple[Key, Program]] = OrderedDict()

    def take(self, key: Key, steps: int) -> Program | None:
        """An idle program of this key with room for the steps; one that is too small is let go."""
        with self._lock:
            for place, (known, program) in reversed(self._idle.items()):
                if known == key:
                    del self._idle[place]
                    return program if steps <= program.workspace.capacity else None
        return None

    def give(self, key: Key, program: Program) -> None:
        """Keep a program for later calls."""
        with self._lock:
            self._idle[id(program)] = (key, program)
            while len(self._idle) > 1 and sum(p.workspace.bytes for _, p in self._idle.values()) > KEPT_BYTES:
                self._idle.popitem(last=False)
