"""Who is timed when: every contestant in a process of its own, one sample at a time, in rounds of random order.

The backend's process times the backend and the floor; each peer has its own, so that no framework's threads, allocator
or settings touch another's time. While one is timed all others sleep.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from conformance.cases import load_cell
from conformance.entry import Entry
from conformance.process import Child, Died, Silent, environment
from conformance.registry import Shape
from conformance.selection import Selection
from conformance.speed.paired import judge, ratio
from conformance.speed.peers import Peer, peers
from conformance.speed.row import Row

__all__ = ["measure", "rounds"]

ROUNDS, RETRIES, ENOUGH = 15, 3, 25.0
"""Rounds of a first attempt; how often as many are added while a verdict is inconclusive; and the seconds of one row
after which none are."""

Tell = Callable[[dict[str, Any]], None]


@dataclass
class Contestant:
    """A process that is ready to be timed: what it is asked for in each round."""

    child: Child
    samples: tuple[str, ...]
    peer: Peer | None = None


async def measure(
    name: str, precision: str, selection: Selection, patience: float, entry: Entry, tell: Tell
) -> None:
    """Add every speed row of a backend to its entry. Raises Died or Silent for the backend's own process.

    A peer that is not installed, or does not survive, is left out with a note.
    """
    async with Child("conformance.speed.contestant", environment(), patience) as child:
        await child.send(side="backend", name=name, device=selection.device, precision=precision)
        await child.hear()
        subject = Contestant(child, ("subject", "again", "floor"))
        for row in _rows(selection, precision):
            tell({"event": "measuring", "row": f"{row.cell} {row.mode} at {_text(row.shape)}"})
            entry.speed += await _row(name, subject, row, selection.seed, patience, tell)


async def _row(
    name: str, subject: Contestant, row: Row, seed: int, patience: float, tell: Tell
) -> list[dict[str, Any]]:
    async with AsyncExitStack() as stack:
        ready = await _prepare(subject, row)
        contestants = [subject]
        for peer in peers(name, load_cell(row.cell), row.mode):
            rival = await _enter(stack, peer, row, patience, tell)
            if rival:
                contestants.append(rival)
        times: dict[str, list[float]] = {}
        begun = time.perf_counter()
        for attempt in range(1 + RETRIES):
            await rounds(contestants, ROUNDS, random.Random(f"{seed}.{attempt}.{row}"), times)
            found = [_found(row, ready, rival.peer, times) for rival in contestants[1:]]
            told = all(each["verdict"] != "inconclusive" for each in found)
            if told or time.perf_counter() - begun > ENOUGH:
                break
        return found or [_found(row, ready, None, times)]


async def rounds(contestants: list[Contestant], count: int, rng: random.Random, times: dict[str, list[float]]) -> None:
    """Time everybody once in each round, in random order, and append the seconds."""
    turns = [(contestant, what) for contestant in contestants for what in contestant.samples]
    for _ in range(count):
        rng.shuffle(turns)
        for contestant, what in turns:
            await contestant.child.send(sample="subject" if what == "again" else what)
            who = contestant.peer.module if contestant.peer else what
            times.setdefault(who, []).append((await contestant.child.hear())["seconds"])


async def _enter(stack: AsyncExitStack, peer: Peer, row: Row, patience: float, tell: Tell) -> Contestant | None:
    layer = peer.layers[load_cell(row.cell)]
    if peer.missing:
        tell({"event": "note", "why": f"{layer} is left out: {peer.missing} is not installed"})
        return None
    wide = {"JAX_ENABLE_X64": "1"} if row.precision == "f64" else {}
    env = environment(more={**peer.env, **wide})
    child = await stack.enter_async_context(Child("conformance.speed.contestant", env, patience))
    rival = Contestant(child, ("peer",), peer)
    try:
        await child.send(side="peer", module=peer.module)
        await child.hear()
        await _prepare(rival, row)
    except (Died, Silent) as end:
        tell({"event": "note", "why": f"{layer} is left out: {end}"})
        return None
    return rival


async def _prepare(contestant: Contestant, row: Row) -> dict[str, Any]:
    await contestant.child.send(row=asdict(row))
    return await contestant.child.hear()


def _found(row: Row, ready: dict[str, Any], peer: Peer | None, times: dict[str, list[float]]) -> dict[str, Any]:
    subject, again = times["subject"], times["again"]
    found = {
        "cell": row.cell, "shape": asdict(row.shape), "mode": row.mode, "precision": row.precision,
        "ratio_floor": ratio(subject, again, times["floor"]), "peer": "", "ratio_peer": 0.0, "ci": [0.0, 0.0],
        "verdict": "inconclusive", "compile_s": ready["compile_s"]["subject"], "path": ready["path"],
        "seconds": min(subject), "rounds": len(subject),
    }  # fmt: skip
    if peer is None:
        return found
    paired = judge(subject, again, times[peer.module])
    return found | {"peer": peer.layers[load_cell(row.cell)], "ratio_peer": paired.ratio,
                    "ci": [paired.low, paired.high], "verdict": paired.verdict}  # fmt: skip


def _rows(selection: Selection, precision: str) -> list[Row]:
    grid = selection.grid()
    return [Row(cell, shape, mode, precision) for shape in grid.shapes for cell in grid.cells for mode in grid.modes]


def _text(shape: Shape) -> str:
    return f"{shape.batch},{shape.time},{shape.inputs},{shape.hidden}"
