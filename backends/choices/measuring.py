"""The times of a choice's options, in interleaved rounds that take about ten milliseconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from rnnspec.contract.choice import Choice

__all__ = ["CLEARLY", "quickest", "ratios"]

PATIENCE, LEAST, SAMPLE = 0.006, 5, 1e-4
"""The seconds after which no further round begins, the least rounds, and the least seconds of a sample."""

CLEARLY = 0.95
"""The most of the default's time that another option may take to be taken, so that noise does not choose."""


def quickest(choice: Choice[Any]) -> tuple[str, float]:
    """The name of the quickest option, the default where none is clearly quicker, and its ratio to the default."""
    found = ratios(choice)
    best = min(found, key=lambda name: found[name])
    return (best, found[best]) if found[best] < CLEARLY else (choice.default, 1.0)


def ratios(choice: Choice[Any], patience: float = PATIENCE) -> dict[str, float]:
    """The least time of each option over that of the default; every other round is in reversed order.

    Other work on the machine only adds to a time, so that the least times say most in few rounds.
    """
    calls = {name: choice.call(option) for name, option in choice.options.items()}
    for call in calls.values():
        call()  # what is compiled or laid out once does not count
    loops = math.ceil(SAMPLE / max(1e-9, min(_seconds(call, 1) for call in calls.values())))
    times: dict[str, list[float]] = {name: [] for name in calls}
    turns, begun = list(calls.items()), time.perf_counter()
    while len(times[choice.default]) < LEAST or time.perf_counter() - begun < patience:
        for name, call in turns:
            times[name].append(_seconds(call, loops))
        turns.reverse()
    return {name: min(found) / min(times[choice.default]) for name, found in times.items()}


def _seconds(call: Callable[[], object], loops: int) -> float:
    begun = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - begun
