"""Every backend in a process of its own: correctness two at a time, then speed one at a time and alone."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from conformance.entry import Entry
from conformance.modules.spec import is_module
from conformance.process import Child, Died, Silent, environment
from conformance.selection import Selection
from conformance.speed.arena import measure

__all__ = ["Plan", "Watch", "run"]

PATIENCE = 150.0
"""Seconds of silence that are taken for a hang: one example, its compilation included, or one round of timing."""

AT_A_TIME = 2

LAST = ("done", "unavailable", "broken")

Watch = Callable[[str, dict[str, Any]], None]
"""Hears of every message: the name of the backend, and the message."""


@dataclass(frozen=True)
class Plan:
    """Which backends are judged, by what, and which of the two halves: correctness and speed."""

    names: tuple[str, ...]
    selection: Selection
    correctness: bool = True
    speed: bool = True
    patience: float = PATIENCE


def run(plan: Plan, watch: Watch) -> list[Entry]:
    """Judge all of them; the entries are in the order of the names."""
    return asyncio.run(_run(plan, watch))


async def _run(plan: Plan, watch: Watch) -> list[Entry]:
    begun = time.perf_counter()
    judged: Sequence[list[Entry]] = [[] for _ in plan.names]
    if plan.correctness:
        turn = asyncio.Semaphore(AT_A_TIME)
        judged = await asyncio.gather(*(_in_turn(turn, _correctness(name, plan, watch)) for name in plan.names))
    if plan.speed and plan.selection.grid().shapes:
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
    entries: list[Entry] = []
    law, code = "", ""
    threads = max(1, (os.cpu_count() or 1) // AT_A_TIME)
    try:
        async with Child("conformance.worker", environment(threads), plan.patience) as child:
            await child.send(name=name, selection=plan.selection.to_json())
            async for message in child.messages(LAST):
                watch(name, message)
                match message["event"]:
                    case "entry":
                        entries.append(_entry(name, message))
                    case "law":
                        law, code = message["law"], ""
                    case "case":
                        code = message["code"]
                    case "finding":
                        law = ""
                        entries[-1].add(message["finding"], message["counted"])
                    case "judged":
                        _close(entries[-1], message)
                    case "unavailable" | "broken" as how:
                        status = "unavailable" if how == "unavailable" else "fails"
                        named = ",".join(plan.selection.precisions)
                        entries.append(Entry(name, status=status, precision=named, why=message["why"]))
    except (Died, Silent) as end:
        if not entries or entries[-1].seconds:
            entries.append(Entry(name))
        status = "crashed" if isinstance(end, Died) else "timeout"
        entries[-1].end(status, str(end), law, code)
        watch(name, {"event": "ended", "status": status, "why": str(end)})
    return entries


def _entry(name: str, message: dict[str, Any]) -> Entry:
    entry = Entry(name, message["version"], device=message["device"], precision=message["precision"])
    entry.counts["expected"], entry.losses = message["expected"], message["losses"]
    return entry


def _close(entry: Entry, message: dict[str, Any]) -> None:
    entry.seconds = message["seconds"]
    entry.programs_compiled = message["programs_compiled"]
    entry.effective_u = message["effective_u"]
    if entry.missing and entry.status == "conforms":
        entry.end("fails", f"{entry.missing} properties were not judged")


async def _speed(name: str, plan: Plan, entries: list[Entry], watch: Watch) -> None:
    """Add the speed rows to the backend's first entry, or to one of their own."""
    if not entries:
        entries.append(Entry(name, precision=plan.selection.precisions[0] if plan.selection.precisions else "f32"))
    entry, precision = entries[0], entries[0].precision
    try:
        await measure(name, precision, plan.selection, plan.patience, entry, lambda message: watch(name, message))
    except (Died, Silent) as end:
        entry.end("crashed" if isinstance(end, Died) else "timeout", f"while its speed was measured: {end}")
        watch(name, {"event": "ended", "status": entry.status, "why": entry.why})
