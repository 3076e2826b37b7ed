"""A process that has grown hands over to a new one, and the report is that of one process."""

import json
from types import SimpleNamespace

import pytest

from conformance.mutants.faulty import protocol_mutants
from conformance.mutants.learning import training
from conformance.processes.deadline import Deadline
from conformance.processes.limits import Limits
from conformance.processes.process import Child, Garbled
from conformance.running.ledger import Ledger
from conformance.running.runner import Plan, run
from conformance.running.worker import Sitting, hold
from conformance.selection import Selection
from rnnspec import Backend
from tests.run_in_parts import COSTS

SELECTION = Selection("smoke", examples=2, cells=("elman", "gru"), only=("P04", "P11", "P25", "P112", "P113-refused"))
UPPER_LAYERS_STAY = next(mutant for mutant in protocol_mutants(training) if "upper" in mutant.name)
PRECISIONS = ("f32", "f64")
ENTRY = {"event": "entry", "precision": "f64", "device": "cpu", "version": "1", "expected": 5, "losses": []}
SOUND = SimpleNamespace(make=lambda backend: backend)


class RoomFor:
    """Room for so many labels."""

    def __init__(self, labels):
        self.labels = labels

    def is_left(self):
        self.labels -= 1
        return self.labels > 0


class Process:
    """One process: its backend, its messages to a ledger, and its record."""

    def __init__(self, ledger, make, record=None):
        self.ledger = ledger
        self.sitting = Sitting(self, make(Backend(None, "f64")), SELECTION, PRECISIONS, {})
        if record:
            self.sitting.go_on(record)

    def tell(self, event, **facts):
        self.ledger.hear(json.loads(json.dumps({"event": event, **facts})))

    def work(self, room):
        return hold(self.sitting, SELECTION, {}, Deadline(), room)

    def record(self):
        return json.loads(json.dumps(self.sitting.record()))


def ledger_of_one():
    return Ledger("numpy", SELECTION, precisions=PRECISIONS, place=1)


def found_by(mutant, labels):
    """The entry of processes that have room for so many labels each, without its costs, and their number."""
    ledger, count = ledger_of_one(), 1
    process = Process(ledger, mutant.make)
    while not process.work(RoomFor(labels)):
        process.tell("handover", record=process.record())
        process, count = Process(ledger, mutant.make, ledger.record), count + 1
    process.tell("done")
    return {name: value for name, value in ledger.entry.as_dict().items() if name not in COSTS}, count


@pytest.mark.parametrize("labels", [1, 3])
@pytest.mark.parametrize("mutant", [SOUND, UPPER_LAYERS_STAY], ids=["sound", "faulty"])
def test_processes_one_after_the_other_find_what_one_finds(mutant, labels):
    whole, one = found_by(mutant, 1000)
    found, several = found_by(mutant, labels)
    assert one == 1
    assert several > 1
    assert found == whole
    failed = [finding for finding in found["properties"] if finding["status"] == "fail"]
    assert bool(failed) == (mutant is UPPER_LAYERS_STAY)
    assert all(finding["reproducer"] and finding["evidence"] for finding in failed)


def test_another_backend_does_not_take_over():
    ledger = ledger_of_one()
    process = Process(ledger, SOUND.make)
    assert not process.work(RoomFor(1))
    process.tell("handover", record=process.record())
    with pytest.raises(Garbled, match="another entry"):
        ledger.hear({**ENTRY, "version": "another"})


def test_a_process_may_hand_over_between_two_laws_only():
    ledger = ledger_of_one()
    told = {"event": "handover", "record": {}}
    with pytest.raises(Garbled, match="between two laws only"):
        ledger.hear(told)
    process = Process(ledger, SOUND.make)
    process.tell("law", law="P11")
    with pytest.raises(Garbled, match="between two laws only"):
        ledger.hear(told)


def test_an_entry_is_closed_once():
    ledger = ledger_of_one()
    assert Process(ledger, SOUND.make).work(RoomFor(1000))
    with pytest.raises(Garbled, match="no entry to close"):
        ledger.hear({"event": "judged", "seconds": 0, "processor_seconds": 0, "programs_compiled": 0, "effective_u": 0})


def test_a_process_may_not_begin_twice():
    ledger = ledger_of_one()
    Process(ledger, SOUND.make)
    with pytest.raises(Garbled, match="not complete"):
        ledger.hear(ENTRY)
    with pytest.raises(Garbled, match="f16 instead of f64"):
        ledger.hear({**ENTRY, "precision": "f16"})


def test_a_run_goes_on_in_new_processes(monkeypatch):
    begun, entered = [], Child.__aenter__

    async def counted(child):
        begun.append(child)
        return await entered(child)

    monkeypatch.setattr(Child, "__aenter__", counted)
    selection, told = Selection("smoke", examples=1, cells=("elman", "gru"), only=("P11", "P25")), []
    found = [run(Plan(("numpy",), selection, speed=False, limits=limits), lambda _, message: told.append(message))
             for limits in (Limits(), Limits(grown=1))]  # fmt: skip
    handed = [message for message in told if message["event"] == "handover"]
    assert handed
    assert len(begun) == 2 * len(PRECISIONS) + len(handed)
    assert [entry.properties for entry in found[1]] == [entry.properties for entry in found[0]]
    assert [entry.status for entry in found[1]] == ["conforms", "conforms"]
