"""Choices by measurement: decided once in a process, kept in a file that may hold anything, turned off by a word."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from backends.choices import decisions, measuring
from backends.choices.decisions import Decisions
from backends.choices.measuring import CLEARLY, Measured, quickest
from backends.choices.record import VARIABLE, Record, folder
from conformance.findings.entry import Entry
from conformance.findings.verdict import chosen
from conformance.selection import Selection
from conformance.speed.choices import LEAST_TRIES, MOST_TRIES, ROUNDS, timed, verdicts
from rnnspec.contract.choice import Choice

CONDITIONS = {"processor": "one", "threads": "2"}


def choosing(conditions=CONDITIONS, name="which way", options=("first", "second")):
    return Choice(name, "Which way?", {option: option for option in options}, lambda _: int, lambda: conditions,
                  lambda choice: choice.default)  # fmt: skip


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """The choices that were measured, each time for the second option; the files are in a folder of the test."""
    found = []

    def measure(choice):
        found.append(choice.name)
        return Measured("second", 0.5, True)

    monkeypatch.setenv(VARIABLE, str(tmp_path / "choices"))
    monkeypatch.setattr(decisions, "quickest", measure)
    return found


def files(tmp_path):
    return sorted((tmp_path / "choices").iterdir())


def test_a_choice_is_measured_once_and_read_by_later_processes(measured, tmp_path):
    choice, this = choosing(), Decisions()
    assert [this(choice) for _ in range(3)] == ["second"] * 3
    assert Decisions()(choosing()) == "second"
    assert measured == ["which way"]
    (file,) = files(tmp_path)
    assert json.loads(file.read_text()) == {"choice": "which way", "taken": "second", "ratio": 0.5,
                                            "conditions": CONDITIONS}  # fmt: skip


def test_what_was_decided_stays_whatever_becomes_of_the_file(measured, tmp_path, monkeypatch):
    choice, this = choosing(), Decisions()
    this(choice)
    (file,) = files(tmp_path)
    file.write_text(file.read_text().replace("second", "first"))
    monkeypatch.setenv(VARIABLE, "off")
    assert this(choice) == "second"
    file.unlink()
    assert this(choice) == "second"
    assert measured == ["which way"]


def test_a_deleted_file_is_written_again(measured, tmp_path):
    Decisions()(choosing())
    (file,) = files(tmp_path)
    file.unlink()
    assert Decisions()(choosing()) == "second"
    assert files(tmp_path) == [file]
    assert len(measured) == 2


@pytest.mark.parametrize("held", [
    b"", b"{", b"\xff\xfe", b"[]", b"null", b"7", b"[" * 100_000, b'{"taken": "second"}',
    json.dumps({"taken": "third", "conditions": CONDITIONS}).encode(),
    json.dumps({"taken": ["second"], "conditions": CONDITIONS}).encode(),
    json.dumps({"taken": "first", "conditions": {**CONDITIONS, "processor": "another"}}).encode(),
], ids=["empty", "cut off", "no text", "a list", "null", "a number", "deep", "no conditions", "no option", "no name",
        "another processor"])  # fmt: skip
def test_a_file_that_holds_no_answer_is_as_good_as_none(held, measured, tmp_path):
    record = Record(choosing(), tmp_path / "choices")
    record.write("first", 1.0)
    assert record.read() == "first"
    record.path.write_bytes(held)
    assert record.read() is None
    assert Decisions()(choosing()) == "second"
    assert record.read() == "second"


@pytest.mark.parametrize("other", [{"processor": "another"}, {"threads": "1"}, {"MKL_CBWR": "AVX2"}], ids=repr)
def test_other_conditions_are_another_question(other, measured, tmp_path):
    Decisions()(choosing())
    Decisions()(choosing({**CONDITIONS, **other}))
    assert len(measured) == len(files(tmp_path)) == 2


def test_a_home_that_nobody_can_write_fails_nothing(measured, tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("")
    for place in (tmp_path / "a file" / "below", Path("/proc/none")):
        monkeypatch.setenv(VARIABLE, str(place))
        assert Decisions()(choosing()) == "second"
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(decisions, "folder", lambda: None)
    assert Decisions()(choosing()) == "second"
    assert len(measured) == 3


def test_a_file_that_cannot_be_put_in_its_place_leaves_no_part(measured, tmp_path):
    record = Record(choosing(), tmp_path)
    record.path.mkdir()
    record.write("second", 0.5)
    assert record.read() is None
    assert list(tmp_path.iterdir()) == [record.path]


def test_processes_that_write_at_once_leave_one_whole_file(measured, tmp_path):
    first, stop = Record(choosing(), tmp_path / "choices"), threading.Event()
    first.write("first", 1.0)
    found = []

    def read():
        while not stop.is_set():
            found.append(Record(choosing(), tmp_path / "choices").read())

    reader = threading.Thread(target=read)
    reader.start()
    with ThreadPoolExecutor(4) as pool:
        for option in ("first", "second") * 20:
            pool.submit(Record(choosing(), tmp_path / "choices").write, option, 0.5)
    stop.set()
    reader.join()
    assert set(found) <= {"first", "second"}
    assert files(tmp_path) == [first.path]


def test_off_takes_the_first_option_and_touches_no_file(measured, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "off")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Decisions()(choosing()) == "first"
    assert measured == list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("system", "settings", "expected"), [
    ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache"), ("linux", {}, "/home/one/.cache"),
    ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/one/.cache"), ("darwin", {}, "/home/one/Library/Caches"),
    ("linux", {"XDG_CACHE_HOME": "/cache", VARIABLE: ""}, "/cache"), ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
], ids=repr)  # fmt: skip
def test_the_folder_is_in_the_cache_of_the_user(system, settings, expected, monkeypatch):
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/one"))
    assert folder() == Path(expected) / "rnnspec" / "choices"


def test_a_user_without_a_home_has_no_folder(monkeypatch):
    def missing():
        raise RuntimeError("no home")

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", missing)
    assert folder() is None


def test_threads_wait_for_one_measurement(measured, monkeypatch):
    everyone, choice, this = threading.Barrier(4), choosing(), Decisions()

    def ask(_):
        everyone.wait(10)
        return this(choice)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == ["second"] * 4
    assert measured == ["which way"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning", "ignore:.*fork:RuntimeWarning")
def test_a_forked_process_keeps_the_choice_and_never_waits_for_a_thread_of_its_parent(measured):
    made, open_, this = choosing(), choosing(name="another"), Decisions()
    assert this(made) == "second"
    forks = multiprocessing.get_context("fork")
    answers = forks.SimpleQueue()
    with this._lock:  # a thread of the parent is measuring
        child = forks.Process(target=lambda: answers.put((this(made), this(open_), len(measured))))
        child.start()
    child.join(30)
    assert child.exitcode == 0
    assert answers.get() == ("second", "second", 2)


def test_importing_a_backend_measures_nothing(tmp_path):
    code = ("import backends.choices.measuring as m; m.sampled = None\n"
            "import numpy as np; import rnnspec; be = rnnspec.get_backend('torch')\n"
            "net = rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.gru, 3)])\n"
            "be.run(net, net.init(0), np.zeros((2, 1, 2), 'float32'))\n"
            "from backends.choices.decisions import DECISIONS; assert not DECISIONS._taken")  # fmt: skip
    env = {**os.environ, VARIABLE: str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=120)
    assert not list(tmp_path.iterdir())


@dataclass
class Watch:
    """A clock that calls move, by the seconds of their option."""

    seconds: dict[str, list[float]]
    now: float = 0.0
    calls: list[str] = field(default_factory=list)

    def call(self, option: str):
        def work():
            self.calls.append(option)
            times = self.seconds[option]
            self.now += times[len(self.calls) // 2 % len(times)]

        return work

    def choice(self) -> Choice[Any]:
        options = {name: name for name in self.seconds}
        return Choice("timed", "Which?", options, self.call, dict, lambda choice: choice.default)


@pytest.mark.parametrize(("first", "second", "taken"), [
    ([2.0], [1.0], "second"), ([1.0], [2.0], "first"), ([1.0], [1.0], "first"), ([1.0], [CLEARLY + 0.01], "first"),
    ([1.0], [CLEARLY - 0.01], "second"), ([1.0], [0.8, 7.0, 0.8], "second"),
], ids=["quicker", "slower", "equal", "hardly quicker", "clearly quicker", "quicker, but disturbed"])  # fmt: skip
def test_the_default_is_left_only_for_a_clearly_quicker_option(first, second, taken, monkeypatch):
    watch = Watch({"first": first, "second": second})
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: watch.now)
    found = quickest(watch.choice())
    assert found.taken == taken
    assert found.ratio == pytest.approx(1.0 if taken == "first" else min(second) / min(first))
    assert watch.calls.count("first") == watch.calls.count("second")


def test_a_disturbed_measurement_decides_for_its_process_alone(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "choices"))
    rounds = {"steady": [1.0, 1.05, 1.0, 1.05], "disturbed": [1.0, 1.3, 1.0, 1.3]}
    for name, others in rounds.items():
        monkeypatch.setattr(measuring, "sampled", lambda _, others=others: {"first": [2.0] * 4, "second": others})
        choice = choosing(name=name)
        found = quickest(choice)
        assert (found.taken, found.steady) == ("second", name == "steady")
        assert Decisions()(choice) == "second"
        assert (Record(choice, folder()).read() == "second") is found.steady


READY = {"event": "ready", "name": "products", "question": "Whose?", "taken": "torch",
         "samples": ["subject", "again", "onednn"]}  # fmt: skip
STEADY = [1.0, 1.001, 0.999]


def judged(ratio):
    """The rows of one choice whose option takes this many times the other's time, what was asked, and the entry."""
    asked: list[dict[str, Any]] = []

    async def ask(**message):
        asked.append(message)
        if "choice" in message:
            return READY
        return {"event": "time", "seconds": STEADY[len(asked) % 3] / (ratio if message["sample"] == "onednn" else 1)}

    rows, entry = asyncio.run(timed(ask, 0, 0)), Entry("theirs")
    entry.decide(rows)
    return rows, (len(asked) - 1) // (3 * ROUNDS), entry


@pytest.mark.parametrize(("ratio", "verdict", "says"), [
    (0.5, "faster", "agrees"), (1.0, "equal", "agrees"), (1.07, "equal", "agrees"), (1.3, "slower", "disagrees by 30%"),
])  # fmt: skip
def test_a_choice_fails_where_what_is_taken_is_slower_by_more_than_a_tenth(ratio, verdict, says):
    (row,), tries, entry = judged(ratio)
    assert (row["verdict"], row["taken"], row["other"]) == (verdict, "torch", "onednn")
    assert chosen(row) == f"products: torch is taken, {row['ratio']:.2f} of the time of onednn, {says}"
    assert entry.status == ("fails" if verdict == "slower" else "conforms")
    assert tries == row["tries"] == (LEAST_TRIES if verdict == "slower" else 1)
    assert (says in entry.why or "torch is taken" in entry.why) == (verdict == "slower")


def test_noise_fails_no_choice():
    noise = [1.0, 3.0, 0.4, 2.0, 0.7] * 3
    (row,) = verdicts(READY, {"subject": noise, "again": STEADY * 5, "onednn": [0.9] * 15}, MOST_TRIES)
    assert row["verdict"] == "inconclusive"
    entry = Entry("theirs")
    entry.decide([row])
    assert entry.status == "conforms"


def test_choices_are_timed_in_the_deep_tier_where_no_row_is_named():
    assert Selection(tier="deep").choices
    assert not Selection(tier="default").choices
    assert not Selection(tier="deep", cells=("gru",)).choices
