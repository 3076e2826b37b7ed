"""The decisions of a process: each choice is decided once, when its question first comes up, and then stays."""

from __future__ import annotations

import os
from threading import Lock
from typing import Any

from backends.choices.measuring import quickest
from backends.choices.record import OFF, VARIABLE, Record, folder
from rnnspec.contract.choice import Choice

__all__ = ["DECISIONS", "Decisions"]

class Decisions:
    """What is taken, by choice. Threads that ask at the same time wait for one measurement; a forked process keeps
    what was decided before it, and measures the rest itself."""

    def __init__(self) -> None:
        self._taken: dict[Choice[Any], str] = {}
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)  # a thread that is not in the child may hold the lock

    def __call__(self, choice: Choice[Any]) -> str:
        """The name of the option that this process takes."""
        found = self._taken.get(choice)
        if found is None:
            with self._lock:
                found = self._taken.get(choice) or _decided(choice)
                self._taken[choice] = found
        return found

    def _renew(self) -> None:
        self._lock = Lock()


def _decided(choice: Choice[Any]) -> str:
    if os.environ.get(VARIABLE) == OFF:
        return choice.default
    record = Record(choice, folder())
    known = record.read()
    if known is not None:
        return known
    found = quickest(choice)
    if found.steady:  # else the next process measures again
        record.write(found.taken, found.ratio)
    return found.taken


DECISIONS = Decisions()
"""The decisions of this process."""
