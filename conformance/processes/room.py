"""The room of a process: the memory that it may take before it hands its work over to a new one."""

from __future__ import annotations

import math

from conformance.processes.heap import Heap

__all__ = ["Room"]

SHARE = 0.4
"""What a process may add to a large framework, as a share of what any process may take."""


class Room:
    """The memory that this process may take: `most` bytes.

    A framework that is large by itself may take more: what the process has at its start, and SHARE of `most`.
    """

    def __init__(self, most: float = math.inf) -> None:
        self._heap = Heap()
        self._most = max(most, self._heap.resident + SHARE * most)

    def is_left(self) -> bool:
        """Whether there is some, after what is free was given back."""
        self._heap.give_back()
        return self._heap.resident <= self._most
