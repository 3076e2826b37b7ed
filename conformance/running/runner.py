"""Runs each backend in its own process: correctness two at a time, then speed one at a time."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conformance.findings.entry import Entry
from conformance.modules.spec import is_module
from conformance.processes.limits import AT_A_TIME, Limits
from conformance.processes.process import Child, Ended, environment
from conformance.running.ledger import LAST, Ledger
from conformance.selection import Selection
from conformance.speed.arena import measure

__all__ = ["Plan", "Watch", "run"]

Watch = Callable[[str, dict[str, Any]], None]
"""A listener, called with the name of the backend and each message."""


@dataclass(frozen=True)
class Plan:
    """The backends to test, the selection, whether correctness and speed are tested, and the limits."""

    names: tuple[str, ...]
    selection: Selection
    correctness: bool = True
    speed: bool = True
    limits: Limits = field(default_factory=Limits)


def run(plan: Plan, watch: Watch) -> list[Entry]:
    """Test all backends; the entries are in the order of the names."""
    return asyncio.run(_run(plan, watch))


async def _run(plan: Plan, watch: Watch) -> list[Entry]:
    begun = time.perf_counter()
    judged: Sequence[list[Entry]] = [[] for _ in plan.names]
    if plan.correctness:
        turn = asyncio.Semaphore(AT_A_TIME)
        judged = await asyncio.gather(*(_in_turn(turn, _correctness(name, plan, watch)) for name in plan.names))
    if plan.speed and plan.selection.grids():
        for name, entries in zip(plan.names, judged, strict=True):
            ended = any(entry.status in ("unavailable", "crashed", "timeout") for entry in entries)
            if not ended and not is_module(name):
                await _speed(name, plan, entries, watch)
    watch("", {"event": "over", "seconds": time.perf_counter() - begun})
    return [entry for entries in judged for entry in entries]


async def _in_turn(turn: asyncio.Semaphore, work: Awaitable[list[Entry]]) -> list[Entry]:
    async with turn:
        return await work


async def _correctness(name: str, plan: Plan, watch: Watch) -> list[Entry]:
    ledger = Ledger(name, plan.selection)
    threads = max(1, (os.cpu_count() or 1) // AT_A_TIME)
    try:
        async with Child("conformance.running.worker", environment(threads), plan.limits) as child:
            await child.send(name=name, selection=plan.selection.to_json())
            async for message in child.messages(LAST):
                ledger.hear(message)
                watch(name, message)
    except Ended as end:
        ledger.end(end)
        watch(name, {"event": "ended", "status": end.status, "why": str(end)})
    return ledger.entries


async def _speed(name: str, plan: Plan, entries: list[Entry], watch: Watch) -> None:
    """Add the speed rows to the backend's first entry, or to a new one."""
    if not entries:
        entries.append(Entry(name, precision=plan.selection.precisions[0] if plan.selection.precisions else "f32"))
    entry, precision = entries[0], entries[0].precision
    try:
        await measure(name, precision, plan.selection, plan.limits, entry, lambda message: watch(name, message))
    except Ended as end:
        entry.end(end.status, f"while its speed was measured: {end}")
        watch(name, {"event": "ended", "status": entry.status, "why": entry.why})
