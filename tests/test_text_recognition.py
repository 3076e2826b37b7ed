"""The example that reads lines: its data, its errors, its training, which a kill does not change."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import rnnspec
from rnnspec.tree import leaves

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"


@pytest.fixture(scope="module", autouse=True)
def examples():
    sys.path.insert(0, str(EXAMPLES))
    yield
    sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def lines(examples):
    return import_module("digit_lines")


@pytest.fixture(scope="module")
def example(examples):
    return import_module("text_recognition")


def test_it_learns_and_says_so(tmp_path):
    files = ("--json", "figures.json", "--picture", "lines.png", "--checkpoint", "run.safetensors")
    command = [sys.executable, EXAMPLES / "text_recognition.py", "--quick", *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["losses"][-1] < figures["losses"][0]
    assert 0 < figures["character_error_rate"] <= 1
    assert (tmp_path / "lines.png").read_bytes().startswith(b"\x89PNG")
    net, _ = rnnspec.load(tmp_path / "lines.safetensors")
    assert net.loss == rnnspec.losses.CTC(10)
    assert "round 3: loss" in done.stdout


def test_no_scan_is_in_two_parts(lines):
    parts = [{image.tobytes() for image in part.images} for part in lines.scans()]
    assert [len(part) for part in parts] == [1077, 270, 450]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_lines_follow_from_their_seed_and_fit_their_columns(lines):
    training, _, _ = lines.scans()
    first, second = lines.lines(training, 40, 7), lines.lines(training, 40, 7)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    assert {len(line.digits) for line in first} <= set(range(1, 13))
    for line in first:
        assert line.image.shape[0] == lines.HEIGHT
        assert line.image.max() > 8
        assert line.image.shape[1] >= 2 * len(line.digits) + 1  # long enough for repeats and blanks
    batch = lines.batch(first[:3])
    assert batch.columns.shape[0] % 16 == 0
    np.testing.assert_array_equal(batch.lengths, [line.image.shape[1] for line in first[:3]])


@pytest.mark.parametrize(
    ("truth", "answer", "count"),
    [((), (), 0), ((1, 2, 3), (1, 2, 3), 0), ((1, 2, 3), (1, 3), 1), ((), (4, 4), 2), ((1, 2), (2, 1), 2),
     ((1, 2, 3, 4), (9, 2, 3), 2)],
)  # fmt: skip
def test_edits(example, truth, answer, count):
    assert example.edits(truth, answer) == example.edits(answer, truth) == count


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(example, tmp_path):
    be = rnnspec.get_backend("numpy")
    course = example.Course(hidden=6, batch=8, batches=2, rounds=3, validation=8)
    net = example.network(course.hidden)
    whole = example.train(be, net, course, 0)
    file = tmp_path / "run.safetensors"
    example.train(be, net, replace(course, rounds=1), 0, file)
    example.train(be, net, replace(course, rounds=2), 0, file)
    parted = example.train(be, net, course, 0, file)
    assert (parted.losses, parted.errors, parted.round) == (whole.losses, whole.errors, 3)
    for tree in ("params", "state", "best"):
        for (name, a), (_, b) in zip(leaves(getattr(whole, tree)), leaves(getattr(parted, tree)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_course_that_gets_no_better_falls_back_and_ends(example, monkeypatch):
    monkeypatch.setattr(example, "read", lambda *given: [((1, 2), (1, 3))])
    course = example.Course(patience=1)
    run = example.Run(params="now", state=None, best="best", best_error=0.1, waited=0)
    worse = example.looked_at(None, None, course, run, [])
    assert (worse.stage, worse.params, worse.waited) == (1, "best", 0)
    last = replace(run, stage=len(course.rates) - 1, waited=1)
    assert example.is_over(course, last)
    assert not example.is_over(course, run)
    assert example.is_over(course, replace(run, seconds=course.seconds + 1))
