"""The runs that show which cures work: their tasks, the command, and a training that a kill does not change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rnnspec
from rnnspec.tree import leaves

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def tasks(examples):
    return examples("memory_tasks")


@pytest.fixture(scope="module")
def runs(examples):
    return examples("memory_runs")


def test_the_adding_problem_is_the_sum_of_what_is_marked(tasks):
    x, y = tasks.Adding(9).batch(np.random.default_rng(0), 200)
    numbers, marks = x[..., 0], x[..., 1]
    assert x.shape == (9, 200, 2)
    assert y.shape == (200, 1)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert (marks[:4].sum(0) == 1).all()
    assert (marks[4:].sum(0) == 1).all()
    for row in range(200):
        assert y[row, 0] == pytest.approx(sum(numbers[t, row] for t in range(9) if marks[t, row] == 1), abs=1e-15)
    assert (marks.sum(1) > 0).all()  # every step can be marked


def test_chance_at_the_adding_problem_is_a_sixth(tasks):
    task = tasks.Adding(10)
    _, y = task.batch(np.random.default_rng(1), 200_000)
    assert task.chance == 1 / 6
    assert task.error(np.ones_like(y), y) == pytest.approx(1 / 6, rel=0.01)
    assert task.error(y, y) == 0
    assert task.error(np.full_like(y, 0.9), y) > task.error(np.ones_like(y), y)


def test_copying_says_the_ten_symbols_again_after_the_sign(tasks):
    x, y = tasks.Copying(6).batch(np.random.default_rng(0), 50)
    shown = x.argmax(-1)
    assert x.shape == (26, 50, 10)
    assert (x.sum(-1) == 1).all()
    np.testing.assert_array_equal(y[-10:], shown[:10])
    assert (shown[:10] < 8).all()
    assert (y[:-10] == 8).all()
    assert (shown[10:15] == 8).all()
    assert (shown[15] == 9).all()
    assert (shown[16:] == 8).all()


def test_without_memory_copying_costs_ten_guesses_among_eight(tasks):
    task = tasks.Copying(100)
    _, y = task.batch(np.random.default_rng(2), 300)
    guessing = np.full((120, 300, 10), -1e3)
    guessing[:110, :, 8] = guessing[110:, :, :8] = 0.0
    assert task.chance == pytest.approx(10 * np.log(8) / 120)
    assert task.error(guessing, y) == pytest.approx(task.chance)
    assert task.error(1e3 * np.eye(10)[y], y) == pytest.approx(0, abs=1e-12)


def test_there_are_twenty_runs_of_every_remedy_clipped_and_not(runs):
    names = {experiment.name for experiment in runs.EXPERIMENTS}
    assert len(names) == len(runs.EXPERIMENTS) == 20
    for remedy in runs.REMEDIES:
        assert {f"adding, T = {steps}, {remedy}, {how}" for steps in (100, 200)
                for how in ("clipped at 1", "not clipped")} <= names  # fmt: skip


COURSE = {"hidden": 5, "batch": 4, "steps": 12, "every": 4, "held": 8, "testing": 8}


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(backend, runs, tasks, open_backend, tmp_path):
    experiment = runs.Experiment(tasks.Adding(6), "LSTM", 1.0, 0.01)
    training = runs.Training(open_backend(backend, "f32"), experiment, runs.Course(**COURSE))
    whole = training.run()
    stop = StopAt(2)
    with pytest.raises(KeyboardInterrupt):
        training.run(tmp_path, stop)
    parted = training.run(tmp_path)
    assert stop.looks == 2
    same(training.be, whole, parted)


class StopAt:
    """Interrupts a run at one of its looks."""

    def __init__(self, at):
        self.at, self.looks = at, 0

    def __call__(self, run):
        self.looks += 1
        if self.looks == self.at:
            raise KeyboardInterrupt


def same(be, whole, parted):
    assert (parted.step, parted.errors) == (whole.step, whole.errors)
    for tree in ("params", "state"):
        for (name, a), (_, b) in zip(leaves(be.to_numpy(getattr(whole, tree))),
                                     leaves(be.to_numpy(getattr(parted, tree))), strict=True):  # fmt: skip
            np.testing.assert_array_equal(a, b, err_msg=name)


LONG = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import memory_runs, memory_tasks, rnnspec
experiment = memory_runs.Experiment(memory_tasks.Adding(6), "GRU", None, 0.001)
course = memory_runs.Course(hidden=5, batch=4, steps=int(sys.argv[3]), every=20, held=8, testing=8)
memory_runs.Training(rnnspec.get_backend("numpy"), experiment, course).run(Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_goes_on_to_the_same_bits(runs, tasks, tmp_path):
    steps = 300
    child = subprocess.Popen([sys.executable, "-c", LONG, EXAMPLES, tmp_path, str(steps)])
    while not list(tmp_path.glob("*.safetensors")) and child.poll() is None:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    course = runs.Course(hidden=5, batch=4, steps=steps, every=20, held=8, testing=8)
    training = runs.Training(rnnspec.get_backend("numpy"), runs.Experiment(tasks.Adding(6), "GRU", None, 0.001), course)
    seen = []
    parted = training.run(tmp_path, lambda run: seen.append(run.step))
    assert seen[0] > 20  # the first look is not repeated
    same(training.be, training.run(), parted)


def test_a_checkpoint_of_another_declaration_is_not_gone_on_from(runs, tasks, tmp_path):
    be, course = rnnspec.get_backend("numpy"), runs.Course(**COURSE)
    first = runs.Training(be, runs.Experiment(tasks.Adding(6), "GRU", None, 0.01), course)
    first.run(tmp_path)
    for other in (replace(first, course=replace(course, seed=1)),
                  replace(first, experiment=replace(first.experiment, rate=0.02))):  # fmt: skip
        same(be, other.run(), other.run(tmp_path))


def test_a_run_ends_when_it_is_solved_and_when_it_diverges(runs, tasks):
    be, course = rnnspec.get_backend("numpy"), runs.Course(**COURSE)
    training = runs.Training(be, runs.Experiment(tasks.Adding(6), "GRU", None, 0.01), replace(course, steps=10**6))
    solved = training.run()
    assert solved.errors[-1] < runs.SOLVED / 2 <= solved.errors[-2]
    diverging = replace(training, experiment=replace(training.experiment, remedy="ReLU Elman", rate=1e12))
    row = runs.row(diverging, diverging.run())
    assert row["diverged"]
    assert not row["solved"]
    assert row["test_error"] is row["errors"][-1] is None


def test_the_command_runs_what_is_missing(tmp_path):
    command = [sys.executable, EXAMPLES / "experiments.py", "--quick", "--json", "runs.json", "--jobs", "1",
               "--checkpoints", "kept"]  # fmt: skip
    first = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    rows = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert len(rows) == 20
    assert all(len(row["errors"]) == len(row["looks"]) > 0 for row in rows)
    kept = [*rows[3:], {**rows[0], "rate": 7.0}]
    (tmp_path / "runs.json").write_text(json.dumps({"runs": kept}))
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.stdout.count(" beside ") == 3
    numbers = [{name: value for name, value in row.items() if name != "processor_seconds"} for row in rows]
    found = [{name: value for name, value in row.items() if name != "processor_seconds"}
             for row in json.loads((tmp_path / "runs.json").read_text())["runs"]]  # fmt: skip
    assert sorted(found, key=str) == sorted(numbers, key=str)
