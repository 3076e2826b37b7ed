"""The arena: it times every contestant in a separate process, one sample at a time, in rounds of random order.

The backend's process times the backend and the floor. Each peer has its own process, so that no framework's threads,
allocator or settings affect another's time. While one is timed, all others sleep. Peers get ready together.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

from conformance.cases import load_cell
from conformance.findings.entry import Entry
from conformance.processes.deadline import OVER, Deadline
from conformance.processes.limits import Limits
from conformance.processes.process import Child, Died, Ended, environment
from conformance.registry import Shape
from conformance.selection import Selection
from conformance.speed.choices import timed
from conformance.speed.outcome import beyond_doubt, given_up, open_question, outcome
from conformance.speed.peers import Peer, peers
from conformance.speed.row import Row

__all__ = ["measure", "own_rows", "rounds", "rows"]

ROUNDS, FEW, TRIES, PATIENCE = 9, 5, 3, 40.0
"""The rounds of one try, those after which a try ends if they leave no doubt, and the most tries while a verdict is
inconclusive.

No try begins after this number of seconds on one row, nor where all tries together would have too few rounds.
"""

NEVER = Deadline()

MODULE = "conformance.speed.contestant"

Tell = Callable[[dict[str, Any]], None]


class Gone(Exception):
    """A peer's process ended or sent no message; it names the peer and the reason."""

    def __init__(self, peer: Peer, why: str) -> None:
        super().__init__(f"{peer.module} is left out: {why}")
        self.peer = peer


class Late(Exception):
    """The time of the run was over before a try was complete."""


@dataclass
class Contestant:
    """A process that is ready to be timed, and the samples that each round takes from it."""

    child: Child
    samples: tuple[str, ...]
    peer: Peer | None = None

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message and return the answer; raises Gone for a peer, Ended for the backend's own process."""
        try:
            await self.child.send(**message)
            return await self.child.hear()
        except Ended as end:
            if self.peer:
                raise Gone(self.peer, str(end)) from end
            raise


async def measure(
    name: str, precision: str, selection: Selection, limits: Limits, entry: Entry, tell: Tell,
    deadline: Deadline = NEVER,
) -> None:
    """Add every speed row of a backend to its entry, as far as there is time. Raises Ended for the backend's own
    process.

    A peer that is not installed, or whose process ends, is left out with a note.
    """
    async with AsyncExitStack() as stack:
        child = await stack.enter_async_context(Child(MODULE, environment(), limits))
        subject = Contestant(child, ("subject", "again", "floor"))
        arena = Arena(name, subject, stack, selection.seed, limits, tell, deadline=deadline)
        inviting = asyncio.create_task(arena.invite(own_rows(name, precision, selection)))
        try:
            here = await subject.ask(side="backend", name=name, device=selection.device, precision=precision)
        finally:
            await inviting  # so that no process starts after those of the stack have ended
        tell(here)
        if here["event"] != "here":
            entry.end("unavailable" if here["event"] == "unavailable" else "fails", here["why"])
            return
        entry.version, entry.device = here["version"], here["device"]
        for row in own_rows(name, precision, selection, entry.device):
            what = f"{row.cell} {row.mode} at {_text(row.shape)}"
            if _begins(what, deadline, entry, tell):
                measured = await arena.row(row)
                entry.clock(measured)
                if not measured and deadline.over:
                    entry.not_measured.append({"row": what, "why": OVER})
        for index in own_choices(name, here["choices"], selection):
            if _begins(f"choice {index + 1} of {here['choices']}", deadline, entry, tell):
                entry.decide(await timed(subject.ask, index, selection.seed))


def _begins(what: str, deadline: Deadline, entry: Entry, tell: Tell) -> bool:
    """Whether there is time to measure a row; the entry says what there was none for."""
    if deadline.over:
        entry.not_measured.append({"row": what, "why": OVER})
    else:
        tell({"event": "measuring", "row": what})
    return not deadline.over


@dataclass
class Arena:
    """The process of a backend, and those of its peers, which start with it, or where a budget first names them."""

    name: str
    subject: Contestant
    stack: AsyncExitStack
    seed: int
    limits: Limits
    tell: Tell
    rivals: dict[str, Contestant | None] = field(default_factory=dict)
    deadline: Deadline = NEVER

    async def invite(self, rows: Sequence[Row]) -> None:
        """Start the peers that rows need, together, since a framework's import takes seconds."""
        needed = {peer.module: (peer, row) for row in rows for peer in peers(self.name, load_cell(row.cell), row.mode)}
        await asyncio.gather(*(self._join(peer, row) for peer, row in needed.values()))

    async def row(self, row: Row) -> list[dict[str, Any]]:
        """The measured rows, one for each peer, or one without a peer; none where the backend lacks the call, or where
        there was no time for one try."""
        ready = await self.subject.ask(row=asdict(row))
        if ready["event"] == "unavailable":
            self.tell({"event": "note", "why": f"{row.cell} {row.mode} is left out: {ready['why']}"})
            return []
        if ready["event"] != "ready":
            raise Died(ready["why"])
        rivals = await self._rivals(row, ready["budgets"])
        times: dict[str, list[float]] = {}
        found: list[dict[str, Any]] = []
        begun = time.monotonic()
        for tries in range(1, 1 + TRIES):
            try:
                found = await self._tried(row, ready, rivals, times, tries)
            except Late:
                return found
            except Gone as gone:
                self._leave_out(gone)
                return await self.row(row)
            undecided, left = [one for one in found if open_question(one)], ROUNDS * (TRIES - tries)
            if not undecided or time.monotonic() - begun > PATIENCE or self.deadline.over:
                break
            if left and all(given_up(one, times, left) for one in undecided):
                return [one | {"given_up": given_up(one, times, left)} for one in found]
        return found or [outcome(row, ready, None, times, tries)]

    async def _tried(
        self, row: Row, ready: Mapping[str, Any], rivals: list[Contestant], times: dict[str, list[float]], tries: int
    ) -> list[dict[str, Any]]:
        """The measured rows after one more try, one for each peer; without peers a few rounds are enough.

        Raises Gone, and Late.
        """
        rng, found = random.Random(f"{self.seed}.{tries}.{row}"), list[dict[str, Any]]()
        for count in (FEW, ROUNDS - FEW):
            await rounds([self.subject, *rivals], count, rng, times, self.deadline)
            found = [outcome(row, ready, rival.peer, times, tries) for rival in rivals]
            if all(map(beyond_doubt, found)):
                break
        return found

    async def _rivals(self, row: Row, budgets: Mapping[str, float]) -> list[Contestant]:
        cell = load_cell(row.cell)
        invited = peers(self.name, cell, row.mode, budgets)
        for unknown in sorted(budgets.keys() - {peer.layers[cell] for peer in invited}):
            self.tell({"event": "note", "why": f"the budget against {unknown} is not tested: no such peer is known"})
        ready = await asyncio.gather(*(self._rival(peer, row) for peer in invited))
        return [rival for rival in ready if rival]

    async def _rival(self, peer: Peer, row: Row) -> Contestant | None:
        """A peer that is ready for a row, or None."""
        if peer.module not in self.rivals:
            await self._join(peer, row)
        try:
            rival = self.rivals[peer.module]
            if rival:
                await rival.ask(row=asdict(row))
        except Gone as gone:
            self._leave_out(gone)
        return self.rivals[peer.module]

    async def _join(self, peer: Peer, row: Row) -> None:
        """Start a peer, or leave it out."""
        try:
            if peer.missing:
                raise Gone(peer, f"{peer.missing} is not installed")
            self.rivals[peer.module] = await self._start(peer, row)
        except Gone as gone:
            self._leave_out(gone)

    async def _start(self, peer: Peer, row: Row) -> Contestant:
        wide = {"JAX_ENABLE_X64": "1"} if row.precision == "f64" else {}
        child = Child(MODULE, environment(more={**peer.env, **wide}), self.limits)
        rival = Contestant(await self.stack.enter_async_context(child), ("peer",), peer)
        await rival.ask(side="peer", module=peer.module)
        return rival

    def _leave_out(self, gone: Gone) -> None:
        self.rivals[gone.peer.module] = None
        self.tell({"event": "note", "why": str(gone)})


async def rounds(
    contestants: list[Contestant], count: int, rng: random.Random, times: dict[str, list[float]],
    deadline: Deadline = NEVER,
) -> None:
    """Time every contestant once in each round, in random order, and append the seconds. Raises Late."""
    turns = [(contestant, what) for contestant in contestants for what in contestant.samples]
    for _ in range(count):
        if deadline.over:
            raise Late
        rng.shuffle(turns)
        for contestant, what in turns:
            answer = await contestant.ask(sample="subject" if what == "again" else what)
            if answer["event"] != "time":
                raise Died(answer.get("why", f"it answered {answer['event']}"))
            who = contestant.peer.module if contestant.peer else what
            times.setdefault(who, []).append(answer["seconds"])


def rows(selection: Selection, precision: str, device: str) -> list[Row]:
    """The rows of the grids on the backend's device; forward first, so that its compilation is measured."""
    return [
        Row(cell, shape, mode, precision, device)
        for grid in selection.grids()
        for shape in grid.shapes
        for cell in grid.cells
        for mode in sorted(grid.modes)
    ]


def own_rows(name: str, precision: str, selection: Selection, device: str = "") -> list[Row]:
    """Those of the rows that are measured in this part of the run."""
    found = {(row.cell, row.mode, _text(row.shape)): row for row in rows(selection, precision, device)}
    own = selection.part.own(found, f"{name} speed") if selection.part else found
    return [row for id, row in found.items() if id in own]


def own_choices(name: str, count: int, selection: Selection) -> list[int]:
    """The numbers of the choices that are timed in this part of the run."""
    found = [("choice", index) for index in range(count if selection.choices else 0)]
    own = selection.part.own(found, f"{name} choices") if selection.part else found
    return sorted(index for _, index in own)


def _text(shape: Shape) -> str:
    return f"{shape.batch},{shape.time},{shape.inputs},{shape.hidden}"
