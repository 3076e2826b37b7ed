"""The room of a process: the memory that it may take before it hands its work over to a new one."""

from __future__ import annotations

import math

from conformance.processes.heap import Heap

__all__ = ["Room"]

SHARE = 0.4
"""Of what a process may take, that much is beside a framework which takes more than the rest."""


class Room:
    """The memory that this process may take, of `most` bytes, or of a share of them more than it has at its start.

    The second is for frameworks that are large themselves.
    """

    def __init__(self, most: float = math.inf) -> None:
        self._heap = Heap()
        self._most = max(most, self._heap.resident + SHARE * most)

    def is_left(self) -> bool:
        """Whether there is some, after what is free was given back."""
        self._heap.give_back()
        return self._heap.resident <= self._most
