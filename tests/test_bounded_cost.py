"""A run ends in its time with a whole report, asks first what tells most, and keeps no more than it may."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from io import StringIO
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from hypothesis import strategies as st
from rich.console import Console
from test_reports import SCHEMA
from typer.testing import CliRunner

from conformance.cases import Case
from conformance.cases.kept import Kept
from conformance.command import app
from conformance.findings.entry import Entry
from conformance.findings.known import read
from conformance.findings.report import conforms, failures, report
from conformance.processes.deadline import OVER, Deadline
from conformance.processes.heap import STEP, Heap
from conformance.registry import Property, Scope, properties
from conformance.reports import FORMS
from conformance.reports.asked import not_asked
from conformance.reports.terminal import Terminal, show
from conformance.running import worker
from conformance.running.agenda import MORE, agenda
from conformance.running.examination import Examination
from conformance.running.ledger import Ledger
from conformance.running.runner import Turns
from conformance.running.telling import telling
from conformance.selection import Selection
from conformance.statements import Statement
from conformance.tiers import TIERS
from conformance.tolerance import PROFILES, run
from rnnspec import Backend, Layer, Network, cells

LAWS = ("P04", "P11", "P25")
PRECISIONS = ("f32", "f64")
SELECTION = Selection("smoke", examples=1, cells=("elman", "gru"), only=LAWS)


class Sooner(Deadline):
    """Over after it was read so many times."""

    def __new__(cls, reads):
        found = super().__new__(cls)
        object.__setattr__(found, "reads", [None] * reads)
        return found

    def __init__(self, reads):
        super().__init__(0.0)

    @property
    def over(self):
        return not self.reads or self.reads.pop()  # None while there are some


def held(reads, selection=SELECTION, precisions=PRECISIONS):
    """The entry in f64 of a sitting that is over after so many looks at the clock, and its messages."""
    ledger, messages = Ledger("numpy", selection, Deadline(0.0), precisions, precisions.index("f64")), []

    def tell(event, **facts):
        messages.append({"event": event, **json.loads(json.dumps(facts))})
        ledger.hear(messages[-1])

    failed = selection.failed.get("numpy", {})
    sitting = worker.Sitting(SimpleNamespace(tell=tell), Backend(None, "f64"), selection, precisions, failed)
    worker.hold(sitting, selection, failed, Deadline() if reads is None else Sooner(reads))
    return ledger.entry, messages


def asked(messages):
    return [message["law"] for message in messages if message["event"] == "law"]


@pytest.fixture(scope="module")
def whole():
    return held(None)


@pytest.fixture(scope="module")
def cut():
    return held(4)


def test_each_law_is_asked_once_before_any_is_asked_twice(whole):
    entry, messages = whole
    assert sorted(asked(messages)[: len(LAWS)]) == sorted(LAWS)
    assert entry.counts["pass"] == len(LAWS)


def test_a_run_in_turns_finds_what_a_law_by_itself_finds(whole):
    entry, _ = whole
    scope = SELECTION.scope(Backend.capabilities)
    alone = Examination(Backend(None, "f64"), Scope(scope.cells, brief=True, closed=True, share=(1, 2)), 0, 1, labels=2)
    assert entry.properties == [alone.judge(law).as_dict() for law in properties() if law.id in LAWS]


def test_a_run_that_is_cut_short_says_what_was_not_asked(cut):
    entry, _ = cut
    assert (entry.status, entry.counts["expected"]) == ("unfinished", len(LAWS))
    assert entry.counts["not_asked"] > 0
    assert "not asked; give more --minutes" in entry.why
    assert {p["why"] for p in entry.properties if p["status"] == "not_asked"} == {OVER}
    document = report([entry], 0, "smoke", 1.0)
    jsonschema.validate(document, SCHEMA)
    assert not conforms(document)
    assert sum(not_asked(e) for e in document["backends"]) >= entry.counts["not_asked"]
    for form in FORMS.values():
        assert "not asked" in form(document).replace("not_asked", "not asked")


def test_a_law_that_was_asked_on_some_networks_holds_as_far_as_it_was_asked():
    entry, _ = held(3, Selection(examples=1, cells=("elman", "gru", "lstm"), only=("P04",)), ("f64",))
    partly = [p for p in entry.properties if "not_asked" in p["labels"].values() and "pass" in p["labels"].values()]
    assert partly
    assert {p["status"] for p in partly} == {"pass"}


def test_a_process_may_leave_nothing_out_before_its_time():
    ledger = Ledger("numpy", SELECTION)
    ledger.hear({"event": "entry", "version": "1", "device": "cpu", "precision": "f32", "expected": 3, "losses": [],
                 "precisions": ["f32"]})  # fmt: skip
    with pytest.raises(Exception, match="3 properties did not run"):
        ledger.hear({"event": "judged", "seconds": 0, "processor_seconds": 0, "programs_compiled": 0, "effective_u": 0})


def test_an_expected_failure_that_was_not_asked_everywhere_is_undecided():
    law = Property(Statement("P999", "one", "It holds."), lambda *_: None, lambda _: {"a": st.just(1), "b": st.just(2)})
    inquiry = Examination(Backend(None, "f64"), Scope(()), examples=1).inquire(law, "it is known")
    inquiry.ask(["a"])
    assert inquiry.finding().status == "not_asked"
    inquiry.ask(["b"])
    assert inquiry.finding().status == "fail"


def test_the_command_ends_in_its_time_with_a_whole_report(tmp_path):
    file = tmp_path / "report.json"
    done = CliRunner().invoke(app, ["--backend", "numpy", "--minutes", "0.01", "--json", str(file)])
    assert done.exit_code == 1, done.output
    document = json.loads(file.read_text())
    jsonschema.validate(document, SCHEMA)
    assert [entry["status"] for entry in document["backends"]] == ["unfinished", "unfinished"]
    for entry in document["backends"]:
        counts = entry["counts"]
        assert counts["expected"] == len(entry["properties"]) == len(properties())
        assert counts["not_asked"] > len(properties()) / 2  # a quick machine asks one or two in half a second
    assert {row["why"] for row in document["backends"][0]["not_measured"]} == {OVER}
    assert len(document["backends"][0]["not_measured"]) == 4
    assert "minutes left" in done.output


def test_who_waits_has_a_part_of_the_time_and_the_last_ones_all_that_is_left():
    parts = []
    turns = Turns(4, SimpleNamespace(part=parts.append))

    async def take():
        numpy, jax = AsyncExitStack(), AsyncExitStack()
        for place in (numpy, jax):
            await place.enter_async_context(turns.one())
        for place in (numpy, jax):
            await place.aclose()
            await place.enter_async_context(turns.one())
        for place in (numpy, jax):
            await place.aclose()

    asyncio.run(take())
    assert parts == [2, 2, 1, 1]


def test_labels_are_taken_backwards():
    labels = {"P1": ["lstm", "gru", "elman"], "P2": ["lstm", "elman"]}
    *_, last = map(list, agenda(labels, labels.get, {}, labels, backwards=True))
    assert [(turn.law, turn.labels) for turn in last] == [
        ("P1", ("elman",)), ("P2", ("elman",)), ("P1", ("gru",)), ("P1", ("lstm",)), ("P2", ("lstm",)),
    ]  # fmt: skip


def test_of_those_that_wait_the_longest_begins_first():
    begun = []
    turns = Turns(5, Deadline())

    async def turn(name, seconds):
        async with turns.one(lambda: seconds):
            begun.append(name)
            await asyncio.sleep(0)

    async def all_turns():
        seconds = {"a": 1, "b": 1, "short": 1, "long": 3, "longer": 9}
        await asyncio.gather(*(turn(*given) for given in seconds.items()))

    asyncio.run(all_turns())
    assert begun == ["a", "b", "longer", "long", "short"]


def test_the_default_tier_alone_has_a_bound():
    assert {name: tier.minutes for name, tier in TIERS.items()} == {"smoke": None, "default": 12, "deep": None}


def test_the_most_telling_law_comes_first_and_none_is_lost():
    found = [law.id for law in telling(properties())]
    told = {id: sum(id in fault.laws for fault in read()) for id in found}
    assert told[found[0]] == max(told.values())
    assert sorted(found) == [law.id for law in properties()]


FAILED = {"id": "P11", "status": "fail", "examples": 1, "kappa_max": 9.0,
          "labels": {"gru": "fail", "lstm": "pass", "elman": "error"}}  # fmt: skip


def test_what_failed_last_is_asked_first_with_more_examples():
    entry = Entry("numpy", precision="f32", properties=[FAILED, {**FAILED, "id": "P04", "status": "pass"}])
    found = failures(report([entry], 0, "deep", 0.0))
    assert found == {"numpy": {"P11": ["gru", "elman"]}}
    (first,) = next(agenda(["P04", "P11"], lambda law: [law], found["numpy"]))
    assert (first.law, first.labels, first.times) == ("P11", ("gru", "elman"), MORE)
    selection = Selection("smoke", examples=1, cells=("elman", "gru", "lstm"), only=LAWS, failed=found)
    assert Selection.from_json(selection.to_json()).failed == found
    entry, messages = held(None, selection)
    assert asked(messages)[0] == "P11"
    law = next(p for p in entry.properties if p["id"] == "P11")
    assert list(law["labels"])[:2] == ["gru", "elman"]
    assert law["examples"] == 2 * MORE + len(law["labels"]) - 2


@pytest.mark.parametrize("text", [None, "[]", "{}", "no JSON"])
def test_an_earlier_report_must_be_one(text, tmp_path):
    file = tmp_path / "before.json"
    if text is not None:
        file.write_text(text)
    done = CliRunner().invoke(app, ["--after", str(file)])
    assert done.exit_code == 2
    assert "--after must name a report" in " ".join(done.output.replace("│", "").split())


def finding(id, status="pass", left=0):
    return {"event": "finding", "left": left, "finding": {
        "id": id, "status": status, "name": "a law", "says": "It holds.", "examples": 2, "kappa_max": 1.0}}  # fmt: skip


def test_progress_is_told_in_plain_lines(monkeypatch):
    monkeypatch.setattr(Deadline, "minutes", 7.25)
    printed = StringIO()
    with Terminal(Console(file=printed, width=200), Deadline(1.0)) as terminal:
        opened = {"event": "entry", "precision": "f32", "expected": 3, "losses": []}
        terminal.watch("torch", opened)
        fails = (finding("P3", "fail", left=1), finding("P3", "fail"))
        for told in (finding("P1", left=2), finding("P2"), fails[0], finding("P1"), fails[1]):
            terminal.watch("torch", {"event": "law", "law": told["finding"]["id"]})
            terminal.watch("torch", told)
            terminal.watch("torch", opened)  # by a process that takes over
        terminal.watch("torch", {"event": "judged", "seconds": 2.0})
        terminal.watch("torch", {"event": "measuring", "row": "lstm train"})
    assert printed.getvalue().splitlines() == [
        "torch f32: P2 pass (2 examples, kappa 1); 1 of 3 laws done, 2 asked, 7.2 minutes left",
        "torch f32: P3 fail, a law: It holds.",
        "torch f32: P1 pass (2 examples, kappa 1); 2 of 3 laws done, 7.2 minutes left",
        "torch f32: tested in 2.0 s; 3 of 3 laws done, 7.2 minutes left",
        "torch: measuring lstm train, 7.2 minutes left",
    ]


def test_a_terminal_shows_what_is_left():
    printed = StringIO()
    console = Console(file=printed, width=120, force_terminal=True)
    with Terminal(console, Deadline.within(60.0)) as terminal:
        terminal.watch("torch", {"event": "entry", "precision": "f32", "expected": 3, "losses": []})
        terminal.watch("torch", {"event": "law", "law": "P2"})
        terminal.watch("torch", finding("P2"))
    assert "minutes left" in printed.getvalue()
    assert "1/3" in printed.getvalue()


def test_the_terminal_says_what_was_not_asked_and_not_measured(cut):
    entry, _ = cut
    document = report([entry], 0, "smoke", 1.0)
    document["backends"][0]["not_measured"] = [{"row": "lstm train at 1,2,3,4", "why": OVER}]
    printed = StringIO()
    show(Console(file=printed, width=200), document)
    assert "laws were not asked on all of their networks" in printed.getvalue()
    assert f"lstm train at 1,2,3,4 was not measured: {OVER}" in printed.getvalue()


def test_results_are_kept_by_their_bytes():
    kept, made = Kept(100), []

    def get(key, size):
        return kept.get(key, lambda: made.append(key) or key, lambda _: size)

    for key, size in (("a", 40), ("b", 40), ("a", 40), ("c", 40), ("huge", 101), ("a", 40), ("b", 40)):
        assert get(key, size) == key
    assert made == ["a", "b", "c", "huge", "b"]
    assert (list(kept), kept.bytes) == (["a", "b"], 80)


def test_a_reference_counts_all_of_its_arrays_and_refined_ones_are_kept_too(monkeypatch):
    kept = Kept(2**20)  # the process's own may be full
    monkeypatch.setattr("conformance.tolerance.yardstick.REFERENCES", kept)
    case = Case(Network(3, [Layer(cells.elman, hidden=4)]), steps=5, batch=2, seed=7)
    found = run(case, PROFILES["f32"])
    assert found.nbytes == sum(10 * 8 * np.size(a[0]) for a in found.leaves.values())
    assert run(case, PROFILES["f32"]) is found
    before = kept.bytes
    assert found.refined() is found.refined()
    assert kept.bytes > before


def test_memory_is_given_back_when_the_process_has_grown():
    sizes, asked = iter((0, STEP, STEP + 1, 5, STEP, STEP + 6, 0)), []
    heap = Heap(lambda: asked.append("trim"), sizes.__next__)
    for expected in ([], ["trim"], ["trim"], ["trim"] * 2):
        heap.give_back()
        assert asked == expected


def test_the_figure_of_the_cost_adds_up_what_the_report_says(whole, cut, figures):
    entries = report([whole[0], cut[0]], 0, "smoke", 1.0)["backends"]
    entries[0]["peak_memory"], entries[0]["not_measured"] = 2**30, [{"row": "lstm train", "why": OVER}]
    found = figures("cost").backend("numpy", entries)
    assert found["seconds"] == sum(entry["seconds"] for entry in entries)
    assert (found["peak_memory"], found["not_measured"], found["speed"]) == (2**30, 1, 0)
    assert found["not_asked"] == sum(map(not_asked, entries)) > 0
    assert found["status"] == ["conforms", "unfinished"]
