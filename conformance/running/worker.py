"""The process of one backend in one precision: it tests every law, and sends a message whenever it knows more of one.

`python -m conformance.running.worker` starts it. It reads one message with the name of the backend and the selection.
The first process of a backend finds out which precisions there are; the others are told.
Frameworks do not give back the memory of compiled programs. A process that has grown too large therefore ends after a
label, and tells its record, with which a new one goes on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from itertools import chain, takewhile
from typing import Any

from conformance import exported, modules, operators
from conformance.findings.tally import Tally
from conformance.modules.trial import tried
from conformance.part import WHOLE, Part
from conformance.processes.channel import Channel, refusals
from conformance.processes.deadline import Deadline
from conformance.processes.room import Room
from conformance.properties.asking import is_eager
from conformance.properties.networks import ALL, WIDE
from conformance.properties.parallel.forms import EVERY_STAGE
from conformance.running.agenda import Failed, Turn, agenda
from conformance.running.examination import Examination
from conformance.running.inquiry import BatchId, Inquiry
from conformance.running.optional_imports import without_optional_imports
from conformance.running.reproducer import code, reproducer
from conformance.running.telling import telling
from conformance.selection import Selection
from conformance.tolerance import PROFILES, effective_unit
from rnnspec import Backend, errors, get_backend

DEFAULT_PRECISIONS = ("f32", "f64")
LARGEST = (WIDE, ALL, EVERY_STAGE)
"""The labels whose programs are the largest, and take the longest to compile."""
F64_ONLY = "some faults are seen there only, such as a narrower type inside"


def main() -> None:
    """Test the backend that the first message names, until the deadline that it has."""
    channel = Channel()
    job = next(channel.hear())
    selection = Selection.from_json(job["selection"])
    with refusals(channel):
        name, known, place = job["name"], job["precisions"], job["place"]
        without_optional_imports(name)
        found = [opened(name, selection, known[place])] if known else subjects(name, selection)
        precisions, failed = known or [backend.precision for backend in found], selection.failed.get(name, {})
        sitting = Sitting(channel, found[0], selection, precisions, failed)
        if job["record"]:
            sitting.go_on(job["record"])
        if hold(sitting, selection, failed, Deadline(job["at"]), Room(job["grown"]), job["backwards"]):
            channel.tell("done")
        else:
            channel.tell("handover", record=sitting.record())


def hold(
    sitting: Sitting, selection: Selection, failed: Failed, deadline: Deadline, room: Room | None = None,
    backwards: bool = False,
) -> bool:
    """Test every law, round by round, and close the entry; False if there is no room for what is left."""
    room, laws = room or Room(), [law.id for law in telling(selection.laws()) if sitting.asks(law.id)]
    turns = chain(*agenda(laws, sitting.left, failed, sitting.told, backwards, LARGEST))
    for turn in takewhile(lambda _: not deadline.over, turns):
        if not sitting.take(turn, deadline, room) and any(map(sitting.left, laws)):
            return False
    sitting.close()
    return True


def subjects(name: str, selection: Selection) -> list[Backend]:
    """The backend in each selected precision, or in f32 and f64 where it declares them.

    Raises an RnnSpecError where it declares none of them.
    """
    found: list[Backend] = []
    refused: list[errors.UnsupportedError] = []
    wanted = selection.precisions or DEFAULT_PRECISIONS
    for precision in wanted:
        try:
            found.append(opened(name, selection, precision))
        except errors.UnsupportedError as error:
            if selection.precisions:
                raise
            refused.append(error)
    if len(refused) == len(wanted):
        raise refused[0]
    return found


def opened(name: str, selection: Selection, precision: str) -> Backend:
    """The backend of a name, of an exported network, of an operator or of a module."""
    if name in selection.operators:
        return operators.load(name, selection.as_cell, precision, selection.lacks, selection.device)
    if exported.is_exported(name):
        return exported.load(name, precision, selection.device)
    if modules.is_module(name):
        found = modules.load(name, selection.as_cell, precision, selection.lacks, selection.device,
                             selection.layout, selection.form)  # fmt: skip
        return tried(found)
    return get_backend(name, device=selection.device, precision=precision)


class Sitting:
    """The test of one backend in one of its precisions, which share the labels that not every precision tests."""

    def __init__(self, channel: Channel, backend: Backend, selection: Selection, precisions: Sequence[str],
                 failed: Failed) -> None:  # fmt: skip
        self._channel, self._backend, self._selection = channel, backend, selection
        share = precisions.index(backend.precision), len(precisions)
        self._laws = {law.id: law for law in selection.laws()}
        self._inquiries: dict[str, Inquiry] = {}
        self._here = set(self._laws)
        self._seconds, self._processor_seconds, self._programs = 0.0, 0.0, 0
        self.told = set[str]()
        scope = replace(selection.scope(backend.capabilities), share=share)
        self._examination = Examination(backend, scope, selection.seed, selection.examples_each,
                                        selection.depth.labels, self._announce, first=failed,
                                        part=selection.part or WHOLE)  # fmt: skip
        split = self._split(selection.part, failed) if selection.part else {}
        notes = [*getattr(backend, "notes", ()), *not_asked(backend, selection)]
        channel.tell("entry", precision=backend.precision, device=str(backend.device), version=str(backend.version),
                     expected=len(self._laws), losses=notes, precisions=[*precisions], **split)  # fmt: skip

    def asks(self, law: str) -> bool:
        """Whether a law is asked in this part of the run."""
        return law in self._here

    def left(self, law: str) -> list[str]:
        """The labels that a law is not yet asked on."""
        return self._inquiry(law).left

    def take(self, turn: Turn, deadline: Deadline, room: Room) -> bool:
        """Test a law on the labels of a turn, as far as there is time and room, and tell what is known of it.

        Returns whether there is room left.
        """
        begun, used = time.perf_counter(), time.process_time()
        self._channel.tell("law", law=turn.law)
        inquiry, is_room = self._inquiry(turn.law), True
        for label in turn.labels:
            if is_room and not deadline.over:
                inquiry.ask((label,), turn.times)
                is_room = room.is_left()
        self.told.add(turn.law)
        batches = [tally.as_dict() for tallies in inquiry.tallies.values() for tally in tallies]
        self._channel.tell("finding", finding=inquiry.finding().as_dict(), left=len(inquiry.left),
                           **({"batches": batches} if self._selection.part else {}))  # fmt: skip
        self._seconds += time.perf_counter() - begun
        self._processor_seconds += time.process_time() - used
        return is_room

    def record(self) -> dict[str, Any]:
        """What the process that goes on must know, for JSON."""
        tallies = {law: [asdict(tally) for label in inquiry.tallies.values() for tally in label]
                   for law, inquiry in self._inquiries.items()}  # fmt: skip
        written = [(*place, text) for place, text in self._examination.reproducers.items()]
        return {"told": sorted(self.told), "tallies": tallies, "reproducers": written, "seconds": self._seconds,
                "processor_seconds": self._processor_seconds, "programs": self._programs + _programs(self._backend)}

    def go_on(self, record: Mapping[str, Any]) -> None:
        """Go on from the record of another process."""
        self.told = set(record["told"])
        for law, label, text in record["reproducers"]:
            self._examination.reproducers[law, label] = text
        for law, tallies in record["tallies"].items():
            for tally in map(Tally.from_dict, tallies):
                self._inquiry(law).tallies.setdefault(tally.label, []).append(tally)
                self._examination.kappas += tally.kappas
        self._seconds, self._processor_seconds = record["seconds"], record["processor_seconds"]
        self._programs = record["programs"]

    def close(self) -> None:
        """Tell that the entry is complete."""
        kappas, profile = self._examination.kappas, PROFILES[self._backend.precision]
        self._channel.tell(
            "judged", seconds=self._seconds, processor_seconds=self._processor_seconds,
            programs_compiled=self._programs + _programs(self._backend),
            effective_u=effective_unit(profile, kappas) if kappas else 0.0,
        )  # fmt: skip

    def _inquiry(self, law: str) -> Inquiry:
        if law not in self._inquiries:
            self._inquiries[law] = self._examination.inquire(self._laws[law], self._selection.xfails.get(law))
        return self._inquiries[law]

    def _split(self, part: Part, failed: Failed) -> dict[str, Any]:
        """Take this part's batches alone; the laws that have some, and the digest of what all parts share."""
        laws = [law.id for law in telling(self._laws.values())]
        inquiries = {law: self._inquiry(law) for law in sorted(laws, key=lambda law: law not in failed)}
        ids = [id for law, inquiry in inquiries.items() for id in inquiry.ids(failed)]
        own = self._own(part, ids)
        for law, inquiry in inquiries.items():
            inquiry.own = {(label, number) for id, label, number in own if id == law}
        self._here = {id[0] for id in own}
        digest = sha256(repr(sorted(ids)).encode()).hexdigest()[:16]
        return {"here": sorted(self._here), "whole": digest}

    def _own(self, part: Part, ids: Sequence[BatchId]) -> frozenset[BatchId]:
        """The batches of this part. Programs are shared by the laws of a label, which therefore stay together.

        Laws without a label cost nothing, and would fill the first part.
        """
        where = f"{self._backend.name} {self._backend.precision}"
        if is_eager(self._backend):
            return part.own(ids, where)
        stretch = part.stretch((label, law, number) for law, label, number in ids if label)
        return part.own((id for id in ids if not id[1]), where) | {(law, label, n) for label, law, n in stretch}

    def _announce(self, law: str, label: str, case: Any) -> None:
        self._channel.tell("case", law=law, label=label, code=reproducer(law, self._backend, code(case)))


def not_asked(backend: Backend, selection: Selection) -> list[str]:
    """A note on a module that is not tested in f64, where an error of a narrower type inside it shows."""
    if not isinstance(backend, modules.ModuleBackend):
        return []
    if "f64" not in backend.capabilities.precisions:
        return [f"the module has no f64: {F64_ONLY}"]
    return [] if "f64" in (selection.precisions or DEFAULT_PRECISIONS) else [f"f64 is not asked: {F64_ONLY}"]


def _programs(backend: Backend) -> int:
    """The number of compiled programs, those of backends from `through` included."""
    counts = [getattr(one, "programs_compiled", 0) for one in (backend, *backend.held.values())]
    for count in counts:
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise errors.BrokenBackend(f"{backend.name}.programs_compiled",
                                       "programs_compiled must be a whole number of at least 0",
                                       repr(count), "count the programs, or leave the attribute out")  # fmt: skip
    return sum(counts)


if __name__ == "__main__":
    main()
    sys.exit(0)
