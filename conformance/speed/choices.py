"""The choices of a backend: the option that it takes, timed beside each other one in the backend's own process.

The rule is that of peers, with ten percent in place of the five that count as equal. Rounds are added while a verdict
is inconclusive, and once more before an option that was taken is called slower, so that one slow moment fails nothing.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from conformance.processes.process import Died
from conformance.speed.paired import judge

__all__ = ["ALLOWED", "LEAST_TRIES", "timed", "verdicts"]

ALLOWED, LEAST_TRIES, MOST_TRIES, ROUNDS = 0.10, 2, 4, 9
"""How much slower an option that is taken may be; the least tries before it fails, the most in all, and the rounds of
each."""


async def timed(ask: Callable[..., Awaitable[dict[str, Any]]], index: int, seed: int) -> list[dict[str, Any]]:
    """The verdicts on one choice, one for each option that is not taken; `ask` asks the backend's process."""
    ready = await _asked(ask, "ready", choice=index)
    times: dict[str, list[float]] = {}
    found: list[dict[str, Any]] = []
    for tries in range(1, 1 + MOST_TRIES):
        rng = random.Random(f"{seed}.{tries}.{ready['name']}")
        for _ in range(ROUNDS):
            for sample in rng.sample(ready["samples"], len(ready["samples"])):
                answer = await _asked(ask, "time", sample=sample)
                times.setdefault(sample, []).append(answer["seconds"])
        found = verdicts(ready, times, tries)
        if not any(_is_open(row, tries) for row in found):
            break
    return found


async def _asked(ask: Callable[..., Awaitable[dict[str, Any]]], event: str, **message: Any) -> dict[str, Any]:
    answer = await ask(**message)
    if answer["event"] != event:
        raise Died(answer.get("why", f"it answered {answer['event']}"))
    return answer


def verdicts(ready: Mapping[str, Any], times: Mapping[str, Sequence[float]], tries: int) -> list[dict[str, Any]]:
    """The rows of the report for one choice after a number of tries."""
    about = {name: ready[name] for name in ("name", "question", "taken")}
    rows = []
    for other in ready["samples"]:
        if other not in ("subject", "again"):
            paired = judge(times["subject"], times["again"], times[other], ALLOWED)
            rows.append({**about, "other": other, "ratio": paired.ratio, "ci": [paired.low, paired.high],
                         "verdict": paired.verdict, "rounds": len(times[other]), "tries": tries})  # fmt: skip
    return rows


def _is_open(row: Mapping[str, Any], tries: int) -> bool:
    unclear = row["verdict"] == "inconclusive" and row["ci"][1] > 1 + ALLOWED
    return unclear or (row["verdict"] == "slower" and tries < LEAST_TRIES)
