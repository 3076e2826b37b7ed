"""The example that reads lines: its data, its errors, its training, which a kill does not change."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer

import rnnspec
from rnnspec.tree import leaves

pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(params=("digits", "words"))
def exercise(examples, request):
    return examples("text_tasks").EXERCISES[request.param]


@pytest.mark.parametrize("task", ("digits", "words"))
def test_it_learns_and_says_so(task, run_example, tmp_path):
    files = ("--json", "figures.json", "--picture", "lines.png", "--checkpoint", "run.safetensors")
    done = run_example("text_recognition", "--quick", "--task", task, *files)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["losses"][-1] < figures["losses"][0]
    assert 0 < figures["character_error_rate"] <= 1
    assert figures["rounds"] == len(figures["errors"]) == 3
    assert (tmp_path / "lines.png").read_bytes().startswith(b"\x89PNG")
    net, params = rnnspec.load(tmp_path / "lines.safetensors")
    assert net.loss == rnnspec.losses.CTC(10 if task == "digits" else 52)
    assert figures["parameters"] == sum(array.size for _, array in leaves(params))
    assert "round 3: loss" in done.stdout


def test_tesseract_is_asked_for_the_same_lines(examples, tmp_path, monkeypatch):
    stand_in = tmp_path / "tesseract"
    stand_in.write_text('#!/bin/sh\ncase "$1" in --version) echo tesseract 5.0;; *) echo "Mu-d.";; esac\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    examples("text_tesseract").main(tmp_path / "found.json", 20)
    found = json.loads((tmp_path / "found.json").read_text())
    lines = examples("text_tasks").EXERCISES["words"].task.testing(20, 2)
    edits = sum(examples("text_readings").edits(line.text, "Mud") for line in lines)
    assert found["character_error_rate"] == edits / sum(len(line.text) for line in lines)
    assert set(found["errors_by_hand"]) == {line.hand for line in lines} and found["version"] == "5.0"


def test_a_missing_tesseract_is_named(examples, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(typer.BadParameter, match="Tesseract must be installed"):
        examples("text_tesseract").main(tmp_path / "found.json", 1)
    assert not (tmp_path / "found.json").exists()


def test_backends_read_the_same_from_one_file(examples, tmp_path):
    readings, exercise = examples("text_readings"), examples("text_tasks").EXERCISES["words"]
    net = exercise.quick.network(exercise.task)
    rnnspec.save(tmp_path / "net.safetensors", net, net.init(3))
    net, params = rnnspec.load(tmp_path / "net.safetensors")
    given = exercise.task.batches(exercise.task.testing(8, 2), 8)[-1:]
    found = [readings.read(readings.logits(rnnspec.get_backend(name), net, params), given, exercise.task.alphabet)
             for name in ("numpy", "torch", "jax", "tensorflow")]  # fmt: skip
    assert any(reading.answer for reading in found[0])
    answers = [[reading.answer for reading in row] for row in found]
    assert answers == [answers[0]] * 4


def test_backends_begin_with_the_same_losses(examples):
    table, exercise = examples("text_table"), examples("text_tasks").EXERCISES["digits"]
    parts = table.alike(exercise.task, exercise.quick, 3)
    numpy, torch = (table.first_steps(rnnspec.get_backend(name), exercise.task, exercise.quick, parts)[0]
                    for name in ("numpy", "torch"))  # fmt: skip
    assert len(set(numpy)) > 1
    np.testing.assert_allclose(torch, numpy, rtol=1e-5)


def test_the_reference_begins_with_the_same_loss(examples, exercise):
    reference, course = examples("text_reference"), exercise.quick
    part = next(examples("text_training").practice(exercise.task, course, 0, 0))
    net = course.network(exercise.task)
    be = rnnspec.get_backend("numpy")
    ours = be.value_and_grad(net, net.init(0), part.frames, part.labels)
    reader = reference.Reader(exercise.task, course, 0)
    optimiser = reference.torch.optim.Adam(reader.parameters())
    theirs = reference.step(reader, optimiser, part, course.norm)
    np.testing.assert_allclose(theirs, float(ours.loss_sum) / ours.count, rtol=1e-5)


def test_the_reference_trains(examples):
    reference, exercise, seen = examples("text_reference"), examples("text_tasks").EXERCISES["digits"], []
    reader, run = reference.train(exercise.task, exercise.quick, 0, seen.append)
    assert run.losses[-1] < run.losses[0]
    assert [r.round for r in seen] == [1, 2, 3]
    assert all((a == run.best[name]).all() for name, a in reader.state_dict().items())


def test_no_scan_is_in_two_parts(examples):
    parts = [{scan.image.tobytes() for scan in part} for part in examples("digit_lines").scans()]
    assert [len(part) for part in parts] == [1212, 135, 450]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_no_word_and_no_family_is_in_two_parts(examples):
    words = [set(part) for part in examples("word_lines").words()]
    fonts = examples("word_fonts")
    families = [{family.name for family in part} for part in (fonts.TRAINING, fonts.VALIDATION, fonts.TESTING)]
    for parts in (words, families):
        assert len(set.union(*parts)) == sum(map(len, parts))
    assert len(words[2]) / sum(map(len, words)) == pytest.approx(0.2, abs=1e-3)
    assert len(families[0]) >= 20
    assert len(families[2]) == 5


def test_every_face_shows_every_letter(examples):
    fonts = examples("word_fonts")
    for family in (*fonts.TRAINING, *fonts.VALIDATION, *fonts.TESTING):
        for face in family.faces:
            font = fonts.opened(family, face)
            nothing = bytes(font.getmask("\ue123"))  # of private use: what a font shows that lacks a letter
            shown = [bytes(font.getmask(letter)) for letter in examples("word_lines").TASK.alphabet]
            assert len(set(shown)) > 26, (family.name, face)
            assert nothing not in shown, (family.name, face)
            _, top, _, bottom = font.getbbox(fonts.TALLEST)
            assert abs(bottom - top - fonts.TALL) <= 2, (family.name, face)


def test_lines_follow_from_their_seed_and_fit_their_frames(examples, exercise):
    task, columns = exercise.task, examples("text_lines").COLUMNS
    first, second = task.training(40, 7), task.training(40, 7)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))
    assert any(not np.array_equal(a.image, b.image) for a, b in zip(first, task.training(40, 8), strict=True))
    for part in task.batches(first, 8):
        time, batch, feature = part.frames.shape
        assert (batch, feature) == (len(part.lines), columns * task.height)
        for n, line in enumerate(part.lines):
            assert line.width == time * columns
            assert time >= 2 * len(line.text) + 1  # long enough for repeats and blanks
            assert "".join(task.alphabet[label] for label in part.labels[n] if label >= 0) == line.text
            assert np.isfinite(line.image).all()
            assert line.image.max() > 0.4
    assert sorted(line.text for part in task.batches(first, 8) for line in part.lines) == sorted(l.text for l in first)


def test_frames_are_columns_side_by_side(examples):
    lines = examples("text_lines")
    image = np.arange(2 * 16.0).reshape(2, 16) / 32
    task = lines.Task("a", 2, None, None, None)
    (batch,) = task.batches([lines.Line(image, "a")], 1)
    assert batch.frames.shape == (8, 1, 4)
    np.testing.assert_allclose(batch.frames[3, 0], (np.concatenate([image[:, 6], image[:, 7]]) - 0.3) / 0.2, rtol=1e-6)


@pytest.mark.parametrize(
    ("truth", "answer", "count"),
    [("", "", 0), ("123", "123", 0), ("123", "13", 1), ("", "44", 2), ("12", "21", 2), ("1234", "923", 2)],
)
def test_edits(examples, truth, answer, count):
    edits = examples("text_readings").edits
    assert edits(truth, answer) == edits(answer, truth) == count


def test_a_run_that_was_stopped_goes_on_to_the_same_numbers(examples, tmp_path):
    be, train = rnnspec.get_backend("numpy"), examples("text_training").train
    exercise = examples("text_tasks").EXERCISES["digits"]
    course, file = exercise.quick, tmp_path / "run.safetensors"
    whole = train(be, exercise.task, course, 0)

    class Stopped(Exception):
        pass

    def stop(run):
        raise Stopped

    for _ in range(2):
        with pytest.raises(Stopped):
            train(be, exercise.task, course, 0, file, stop)
    parted = train(be, exercise.task, course, 0, file)
    assert (parted.losses, parted.errors, parted.round) == (whole.losses, whole.errors, 3)
    for tree in ("params", "state", "best"):
        for (name, a), (_, b) in zip(leaves(getattr(whole, tree)), leaves(getattr(parted, tree)), strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


def test_a_stage_that_gets_no_better_falls_back_and_ends(examples):
    parts = examples("text_course")
    course = parts.Course((parts.Stage(1e-2, 9), parts.Stage(1e-3, 9)), patience=2)
    run = parts.Run(params="now", state=None, best="best", best_error=0.1, round=3)
    assert parts.looked_at(course, run, 0.05).best == "now"
    waiting = parts.looked_at(course, run, 0.2)
    assert (waiting.stage, waiting.params, waiting.waited) == (0, "now", 1)
    worse = parts.looked_at(course, waiting, 0.2)
    assert (worse.stage, worse.params, worse.waited, worse.begun) == (1, "best", 0, 3)
    assert not parts.is_over(course, worse)
    ended = parts.looked_at(course, replace(worse, round=12), 0.2)
    assert parts.is_over(course, ended)
