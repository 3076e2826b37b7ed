"""Runs each precision of each backend in a process of its own: correctness two at a time, then speed one at a time.

Those that wait for their turn have a part of the time; what one does not need is left to those after it.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryDirectory
from typing import Any

from conformance.cases.shelf import FOLDER
from conformance.findings.entry import Entry
from conformance.modules.spec import is_module
from conformance.processes.deadline import Deadline
from conformance.processes.limits import AT_A_TIME, Limits
from conformance.processes.process import Child, Ended, environment
from conformance.running.ledger import LAST, Ledger
from conformance.selection import Selection
from conformance.speed.arena import measure, own_rows

__all__ = ["Plan", "Watch", "run"]

Watch = Callable[[str, dict[str, Any]], None]
"""A listener, called with the name of the backend and each message; `place` tells its precisions apart."""

Tell = Callable[[Ledger, dict[str, Any]], None]


@dataclass(frozen=True)
class Plan:
    """The backends to test, the selection, whether correctness and speed are tested, the limits, and the time."""

    names: tuple[str, ...]
    selection: Selection
    correctness: bool = True
    speed: bool = True
    limits: Limits = field(default_factory=Limits)
    deadline: Deadline = field(default_factory=Deadline)


def run(plan: Plan, watch: Watch) -> list[Entry]:
    """Test all backends; the entries are in the order of the names."""
    return asyncio.run(_run(plan, watch))


async def _run(plan: Plan, watch: Watch) -> list[Entry]:
    begun = time.perf_counter()
    judged: Sequence[list[Entry]] = [[] for _ in plan.names]
    if plan.correctness:
        turns = Turns(len(plan.names), plan.deadline)
        with TemporaryDirectory(prefix="rnnspec-") as shelf:
            judged = await asyncio.gather(*(_correctness(name, plan, turns, shelf, watch) for name in plan.names))
    if plan.speed and plan.selection.grids():
        timed = [(name, entries) for name, entries in zip(plan.names, judged, strict=True) if _is_timed(name, entries)]
        for place, (name, entries) in enumerate(timed):
            await _speed(name, plan, plan.deadline.part(len(timed) - place), entries, watch)
    watch("", {"event": "over", "seconds": time.perf_counter() - begun})
    return [entry for entries in judged for entry in entries]


def _is_timed(name: str, entries: Sequence[Entry]) -> bool:
    return not is_module(name) and all(entry.status in ("conforms", "fails", "unfinished") for entry in entries)


class Turns:
    """The turns of backends and precisions, some at a time; each has its part of the time when it begins.

    Of those that wait, the longest begins first, so that at the end no place is empty for long.
    """

    def __init__(self, count: int, deadline: Deadline) -> None:
        self._left, self._deadline, self._free = count, deadline, AT_A_TIME
        self._waiting: list[tuple[Callable[[], float], asyncio.Future[None]]] = []

    def more(self, count: int) -> None:
        """Count more turns."""
        self._left += count

    @asynccontextmanager
    async def one(self, seconds: Callable[[], float] = lambda: math.inf) -> AsyncIterator[Deadline]:
        """One turn, with its deadline: each place takes an equal number of those that are left.

        `seconds()` is how long it will take, as far as is known when a place becomes free.
        """
        if self._free:
            self._free -= 1
        else:
            begins = asyncio.get_running_loop().create_future()
            self._waiting.append((seconds, begins))
            await begins
        try:
            self._left -= 1
            yield self._deadline.part(1 + self._left // AT_A_TIME)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Give the place to the longest turn that waits, or to nobody."""
        waiting = [turn for turn in self._waiting if not turn[1].cancelled()]
        if waiting:
            longest = max(waiting, key=lambda turn: turn[0]())
            self._waiting.remove(longest)
            longest[1].set_result(None)
        else:
            self._free += 1


async def _correctness(name: str, plan: Plan, turns: Turns, shelf: str, watch: Watch) -> list[Entry]:
    """The entries of a backend: its first process tells which precisions there are, and each other has its own turn."""
    others: list[asyncio.Task[Entry]] = []

    def tell(ledger: Ledger, message: dict[str, Any]) -> None:
        watch(name, {**message, "place": ledger.place})
        if message["event"] == "entry" and not ledger.place and not others:
            later = [Ledger(name, plan.selection, precisions=ledger.precisions, place=place)
                     for place in range(1, len(ledger.precisions))]  # fmt: skip
            turns.more(len(later))
            others.extend(asyncio.create_task(_precision(own, ledger, plan, turns, shelf, tell)) for own in later)

    ledger = Ledger(name, plan.selection)
    first = await _precision(ledger, ledger, plan, turns, shelf, tell)
    return [first, *[await other for other in others]]


async def _precision(ledger: Ledger, first: Ledger, plan: Plan, turns: Turns, shelf: str, tell: Tell) -> Entry:
    """The entry of one precision, from one process or from several, one after the other.

    How long the first precision took says how long this one will.
    """
    threads = max(1, (os.cpu_count() or 1) // AT_A_TIME)
    async with turns.one(lambda: first.entry.seconds or math.inf) as deadline:
        ledger.deadline, peak = deadline, 0
        while True:
            child = Child("conformance.running.worker", environment(threads, {FOLDER: shelf}), plan.limits)
            await _tested(child, plan, ledger, tell)
            peak = max(peak, child.peak)
            if ledger.record is None:
                break
    ledger.entry.peak_memory = peak
    return ledger.entry


async def _tested(child: Child, plan: Plan, ledger: Ledger, tell: Tell) -> None:
    """Let a process test until its work ends, or it does, or it hands over by the ledger's record."""
    try:
        async with child:
            await child.send(name=ledger.name, selection=plan.selection.to_json(), precisions=ledger.precisions,
                             place=ledger.place, at=ledger.deadline.at, record=ledger.record or {},
                             backwards=plan.names.index(ledger.name) // AT_A_TIME % 2 == 1,
                             grown=min(plan.limits.grown, plan.limits.memory // 2))  # fmt: skip
            async for message in child.messages(LAST):
                ledger.hear(message)
                tell(ledger, message)
    except Ended as end:
        ledger.end(end)
        tell(ledger, {"event": "ended", "status": end.status, "why": str(end)})


async def _speed(name: str, plan: Plan, deadline: Deadline, entries: list[Entry], watch: Watch) -> None:
    """Add the speed rows to the backend's first entry, or to a new one."""
    first = plan.selection.precisions[0] if plan.selection.precisions else "f32"
    precision = entries[0].precision if entries else first
    if not own_rows(name, precision, plan.selection) and not plan.selection.choices:
        return
    if not entries:
        entries.append(Entry(name, precision=precision))
    entry = entries[0]
    try:
        await measure(name, precision, plan.selection, plan.limits, entry, lambda message: watch(name, message),
                      deadline)  # fmt: skip
    except Ended as end:
        entry.end(end.status, f"while its speed was measured: {end}")
        watch(name, {"event": "ended", "status": entry.status, "why": entry.why})
