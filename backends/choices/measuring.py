"""The times of a choice's options, in interleaved rounds that take about ten milliseconds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnspec.contract.choice import Choice

__all__ = ["CLEARLY", "Measured", "quickest", "sampled"]

PATIENCE, LEAST, SAMPLE = 0.006, 5, 1e-4
"""The seconds after which no further round begins, the least rounds, and the least seconds of a sample."""

CLEARLY = 0.95
"""The most of the default's time that another option may take to be taken, so that noise does not choose."""

STEADY = 1.1
"""The most by which the least times of both halves of the rounds may differ on a machine that is not disturbed."""


@dataclass(frozen=True)
class Measured:
    """The option that is quickest, its time over that of the default, and whether the machine was not disturbed."""

    taken: str
    ratio: float
    steady: bool


def quickest(choice: Choice[Any]) -> Measured:
    """The quickest option, or the default where none is clearly quicker.

    Other work on the machine only adds to a time, so that the least times say most in few rounds.
    """
    times = sampled(choice)
    least = {name: min(found) for name, found in times.items()}
    best = min(least, key=lambda name: least[name])
    taken = best if least[best] < CLEARLY * least[choice.default] else choice.default
    halves = ((min(found[::2]), min(found[1::2])) for found in times.values())
    return Measured(taken, least[taken] / least[choice.default], all(max(h) <= STEADY * min(h) for h in halves))


def sampled(choice: Choice[Any]) -> dict[str, list[float]]:
    """The times of each option in rounds, of which every other is in reversed order."""
    calls = {name: choice.call(option) for name, option in choice.options.items()}
    for call in calls.values():
        call()  # what is compiled or laid out once does not count
    loops = math.ceil(SAMPLE / max(1e-9, min(_seconds(call, 1) for call in calls.values())))
    times: dict[str, list[float]] = {name: [] for name in calls}
    turns, begun = list(calls.items()), time.perf_counter()
    while len(times[choice.default]) < LEAST or time.perf_counter() - begun < PATIENCE:
        for name, call in turns:
            times[name].append(_seconds(call, loops))
        turns.reverse()
    return times


def _seconds(call: Callable[[], object], loops: int) -> float:
    begun = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - begun
