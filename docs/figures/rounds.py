"""Calls timed against each other: each round times all of them in a new order, and one of them twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from conformance.speed.sampling import Timed

__all__ = ["interleaved"]

Call = Callable[[], Any]


def interleaved(
    own: Call, others: Mapping[str, Call], rounds: int
) -> tuple[list[float], list[float], dict[str, list[float]]]:
    """The seconds of a call in each round, those of the same call timed again, and those of each other call."""
    calls = {"": Timed(own), **{name: Timed(call) for name, call in others.items()}}
    turns, rng = ["", *calls], random.Random(0)
    times: dict[str, list[list[float]]] = {who: [] for who in calls}
    for _ in range(rounds):
        rng.shuffle(turns)
        found: dict[str, list[float]] = {who: [] for who in calls}
        for who in turns:
            found[who].append(calls[who].sample())
        for who, seconds in found.items():
            times[who].append(seconds)
    subject, again = map(list, zip(*times.pop(""), strict=True))
    return subject, again, {who: [once for (once,) in seconds] for who, seconds in times.items()}
