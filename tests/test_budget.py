"""Budgets of time: what they cover, how they are held, and that nothing else fails a run for being slow."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_plugins import install, site
from typer.testing import CliRunner

import rnnspec
from conformance.command import app
from conformance.findings.entry import Entry
from conformance.findings.report import conforms, report
from conformance.findings.verdict import beyond, spoken
from conformance.processes.deadline import Deadline
from conformance.registry import Shape
from conformance.speed.arena import FEW, NEVER, ROUNDS, TRIES, Arena
from conformance.speed.outcome import open_question, outcome
from conformance.speed.peers import PEERS, peers
from conformance.speed.row import Row
from rnnspec import cells
from rnnspec.contract.budget import Budget, Size
from rnnspec.errors import NetworkError

ROW = Row("lstm", Shape(16, 64, 32, 64), "train", "f32")
TORCH = PEERS["torch"][0]
READY = {"event": "ready", "compile_s": {"subject": 0.1}, "path": "generic", "budgets": {}}
STEADY = [1.0, 1.001, 0.999] * 5
"""Seconds of fifteen rounds."""
NOISY = [1.0, 3.0, 0.4, 2.0, 0.7] * 3
UNSTEADY = [1.0, 1.035, 0.965, 1.0175, 0.9825] * 3


def times(ratio, subject=STEADY, again=STEADY):
    return {"subject": subject, "again": again, "floor": STEADY, TORCH.module: [1 / ratio] * len(subject)}


def held(ratio, budget, **other):
    budgets = {} if budget is None else {"torch.nn.LSTM": budget}
    return outcome(ROW, READY | {"budgets": budgets}, TORCH, times(ratio, **other), 1)


@pytest.mark.parametrize(
    ("batch", "hidden", "size"),
    [(1, 4, Size.ROW), (1, 1024, Size.ROW), (2, 127, Size.SMALL), (2, 128, Size.LARGE), (64, 1024, Size.LARGE)],
)
def test_the_size_of_a_call(batch, hidden, size):
    assert Size.of(batch, hidden) is size


def test_a_budget_covers_its_cell_mode_and_size_alone():
    budget = Budget(cells.lstm, "train", "torch.nn.LSTM", 1.2, Size.SMALL)
    assert budget.covers(cells.lstm, "train", 16, 64)
    assert not budget.covers(cells.gru, "train", 16, 64)
    assert not budget.covers(cells.lstm, "forward", 16, 64)
    assert not budget.covers(cells.lstm, "train", 1, 64)
    whole = Budget(cells.lstm, "train", "x", 1.2)
    assert all(whole.covers(cells.lstm, "train", batch, hidden) for batch in (1, 9) for hidden in (4, 512))


def test_a_cell_of_another_name_is_the_same_cell():
    @rnnspec.cell
    def theirs(x, R, h):
        return rnnspec.primitives.tanh(x.h + R.h(h))

    assert Budget(theirs, "train", "x", 1.0).covers(cells.elman, "train", 1, 1)


@pytest.mark.parametrize("wrong", [
    {"cell": "lstm"}, {"mode": "backward"}, {"mode": None}, {"peer": ""}, {"peer": 3}, {"ratio": 0}, {"ratio": -1.0},
    {"ratio": True}, {"ratio": float("nan")}, {"ratio": float("inf")}, {"ratio": "1"}, {"size": "small"},
], ids=repr)  # fmt: skip
def test_what_is_no_budget_is_refused(wrong):
    with pytest.raises(NetworkError, match="Budget"):
        Budget(**{"cell": cells.lstm, "mode": "train", "peer": "torch.nn.LSTM", "ratio": 1.2, **wrong})


@pytest.mark.parametrize(
    ("ratio", "budget", "verdict", "against", "words"),
    [
        (1.5, None, "slower", "", "slower"),
        (1.5, 2.0, "slower", "faster", "slower, within the declared 2.00"),
        (1.5, 1.5, "slower", "equal", "slower, within the declared 1.50"),
        (1.5, 1.2, "slower", "slower", "slower, beyond the declared 1.20"),
        (0.8, 0.5, "faster", "slower", "faster, beyond the declared 0.50"),
        (1.0, 1.0, "equal", "equal", "equal, within the declared 1.00"),
    ],
)
def test_the_verdict_and_the_budget(ratio, budget, verdict, against, words):
    found = held(ratio, budget)
    assert (found["verdict"], found["budget_verdict"], spoken(found)) == (verdict, against, words)
    assert found["ratio_peer"] == pytest.approx(ratio, rel=0.01)
    assert beyond(found) == (against == "slower")


def test_noise_is_beyond_no_budget():
    found = held(1.2, 1.0, subject=NOISY)
    assert open_question(found)
    assert not beyond(found)
    assert spoken(found) == "inconclusive after 1 tries, not clearly within the declared 1.00"


def test_a_row_without_a_peer_is_open_to_nobody():
    assert spoken(outcome(ROW, READY, None, times(1.0), 1)) == "no peer"


def test_only_a_declared_budget_or_the_option_fails_a_run():
    def verdict(budget, **options):
        entry = Entry("theirs")
        entry.clock([held(1.5, budget)])
        return entry, conforms(report([entry], 0, "default", 0.0), **options)

    for budget in (None, 2.0):
        entry, good = verdict(budget)
        assert (entry.status, good) == ("conforms", True)
        assert not verdict(budget, require_speed=True)[1]
    entry, good = verdict(1.2)
    assert (entry.status, good) == ("fails", False)
    assert entry.why == "lstm train took 1.50 of the time of torch.nn.LSTM, and at most 1.20 is declared"


def test_what_is_inconclusive_fails_nothing():
    entry = Entry("theirs")
    entry.clock([held(1.2, 1.0, subject=NOISY)])
    assert conforms(report([entry], 0, "default", 0.0), require_speed=True)


@dataclass
class Clock:
    """A contestant whose seconds are given."""

    samples: tuple[str, ...]
    seconds: dict[str, Any]
    peer: Any = None
    asked: int = 0
    budgets: dict[str, float] = field(default_factory=dict)

    async def ask(self, **message):
        if "row" in message:
            return READY | {"budgets": self.budgets}
        self.asked += 1
        return {"event": "time", "seconds": next(self.seconds[message["sample"]])}


def timed(subject, again, peer, budgets=(), floor=STEADY, deadline=NEVER, seed=0):
    """The rows that an arena finds, what it tells, and the rounds that it took."""
    seconds = {"subject": itertools.cycle(subject), "again": itertools.cycle(again), "floor": itertools.cycle(floor)}
    own = Clock(("subject", "again", "floor"), seconds, budgets=dict(budgets))
    rival, told = Clock(("peer",), {"peer": itertools.cycle(peer)}, TORCH), []
    arena = Arena("torch", own, None, seed, None, told.append, {TORCH.module: rival}, deadline)
    return asyncio.run(arena.row(ROW)), told, rival.asked


def test_a_clear_verdict_takes_one_try():
    (found,), told, taken = timed(STEADY, STEADY, [0.5])
    assert (found["verdict"], found["tries"], taken, told) == ("slower", 1, ROUNDS, [])


@pytest.mark.parametrize(("peer", "budgets", "taken"), [
    (2.0, {}, FEW), (1.2, {}, ROUNDS), (2.0, {"torch.nn.LSTM": 0.7}, FEW), (2.0, {"torch.nn.LSTM": 0.6}, ROUNDS),
    (2.0, {"torch.nn.LSTM": 1.2}, FEW), (0.5, {"torch.nn.LSTM": 3.0}, ROUNDS),
])  # fmt: skip
def test_only_what_is_much_faster_than_the_peer_and_the_budget_takes_few_rounds(peer, budgets, taken):
    (found,), _, asked = timed(STEADY, STEADY, [peer], budgets)
    assert (found["tries"], found["rounds"], asked) == (1, taken, taken)


def test_what_stays_inconclusive_is_tried_three_times_and_then_shown_as_such():
    (found,), _, taken = timed(UNSTEADY, UNSTEADY, [1.0], seed=1)
    assert (found["verdict"], found["tries"], found["rounds"], taken) == ("inconclusive", 3, *[3 * ROUNDS] * 2)
    assert TRIES == 3
    assert spoken(found) == "inconclusive after 3 tries"


@pytest.mark.parametrize(("floor", "why"), [
    (NOISY, "the machine is too noisy"), (STEADY, "its own times differ too much"),
])  # fmt: skip
def test_what_the_tries_cannot_decide_is_given_up_after_one(floor, why):
    (found,), _, taken = timed(NOISY, STEADY, [1.0], floor=floor)
    assert (found["verdict"], found["tries"], taken, found["given_up"]) == ("inconclusive", 1, ROUNDS, why)
    assert found["more_rounds"] > ROUNDS * (TRIES - 1)
    assert spoken(found) == f"inconclusive: {why}, needs at least {found['more_rounds']} more rounds"


def test_a_row_without_time_for_one_try_is_not_measured():
    assert timed(STEADY, STEADY, [1.0], deadline=Deadline(0.0))[0] == []


def test_a_large_difference_is_told_in_the_same_noise():
    (found,), _, _ = timed(NOISY, STEADY, [100.0], floor=NOISY)
    assert (found["verdict"], found["tries"], found["given_up"]) == ("faster", 1, "")


def test_what_becomes_clear_is_tried_no_more():
    noise = ([1.0, 1.12, 0.9, 1.05, 0.95] * 3)[:ROUNDS]
    (found,), _, taken = timed([*noise, *[1.0] * 60], [*noise, *[1.0] * 60], [1.0])
    assert found["verdict"] == "equal"
    assert (found["tries"], taken) == (2, 2 * ROUNDS)


def test_a_budget_against_a_peer_that_nobody_knows_is_told():
    _, told, _ = timed(STEADY, STEADY, [1.0], {"torch.nn.LSTN": 1.0})
    assert [message["why"] for message in told] == [
        "the budget against torch.nn.LSTN is not tested: no such peer is known"
    ]


def test_a_plugin_has_the_peers_that_its_budgets_name():
    assert peers("theirs", cells.lstm, "train") == ()
    assert peers("theirs", cells.lstm, "train", ["torch.nn.LSTM"]) == (TORCH,)
    assert peers("theirs", cells.lstm, "train", ["torch.nn.GRU"]) == ()
    assert peers("torch", cells.lstm, "train") == (TORCH,)
    assert peers("theirs", cells.lstm, "train", ["onnxruntime LSTM"]) == ()


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_a_built_in_backend_s_budgets_name_peers_that_it_has(name, open_backend):
    for budget in open_backend(name, "f32").capabilities.budgets:
        layers = [peer.layers[budget.cell] for peer in peers(name, budget.cell, budget.mode)]
        assert budget.peer in layers


def test_a_budget_goes_from_the_backend_into_the_report(tmp_path, monkeypatch):
    file = tmp_path / "report.json"
    with site(tmp_path):
        top = "from rnnspec.contract.budget import Budget\nfrom rnnspec import cells"
        body = "capabilities = Capabilities(budgets=(Budget(cells.elman, 'forward', 'onnxruntime RNN', 1e6),))"
        install(tmp_path, "quick", top=top, body=body)
        monkeypatch.syspath_prepend(tmp_path)
        done = CliRunner().invoke(app, ["--backend", "quick", "--speed-only", "--cell", "elman", "--shape", "2,3,2,2",
                                        "--mode", "forward", "--json", str(file)])  # fmt: skip
    assert done.exit_code == 0, done.output
    (entry,) = json.loads(file.read_text())["backends"]
    (row,) = entry["speed"]
    assert (row["peer"], row["budget"]) == ("onnxruntime RNN", 1e6)
    assert 1 <= row["tries"] <= TRIES
