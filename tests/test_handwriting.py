"""The example learns to read, says so, and another backend reads the same."""

import json

import numpy as np
import pytest

import rnnspec

pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def example(examples):
    return examples("handwriting")


def test_it_learns_on_numpy_and_torch_reads_the_same(run_example, tmp_path):
    files = ("--json", "figures.json", "--picture", "reading.png", "--save", "reader.safetensors")
    done = run_example("handwriting", "--quick", "--check-backend", "torch", *files)
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test_accuracy"] > 0.8  # an untrained network reads a tenth
    assert figures["losses"] == sorted(figures["losses"], reverse=True)
    assert figures["check"]["same_answers"] == figures["check"]["of"] == 450
    assert (tmp_path / "reader.safetensors").exists()
    assert (tmp_path / "reading.png").read_bytes().startswith(b"\x89PNG")
    assert "digit (row) taken for (column)" in done.stdout


def test_an_unknown_cell_is_a_wrong_command(run_example):
    done = run_example("handwriting", "--cell", "lstn")
    assert done.exit_code == 2
    assert "lstm, gru, elman" in done.stderr


@pytest.mark.parametrize("cell", ["gru", "elman"])
def test_every_cell_learns_and_a_seed_fixes_the_numbers(example, cell):
    be, (training, testing) = rnnspec.get_backend("numpy"), example.digits()
    course = example.Course(hidden=16, epochs=4, batch=32)
    first, second, other = (example.train(be, example.CELLS[cell], training, course, seed) for seed in (0, 0, 1))
    answers = example.logits(be, first.net, first.params, testing).argmax(-1)
    assert (answers == testing.labels).mean() > 0.7
    assert first.losses == second.losses
    assert first.losses != other.losses


def test_the_confusion_matrix_counts_every_answer(examples):
    labels, answers = np.array([3, 3, 7]), np.array([3, 8, 7])
    found = examples("confusion").confusion(labels, answers, tuple("0123456789"), "digit")
    counts = found.counts
    assert (found.right, found.of, found.accuracy) == (2, 3, 2 / 3)
    assert {(int(a), int(b)): int(counts[a, b]) for a, b in np.argwhere(counts)} == {(3, 3): 1, (3, 8): 1, (7, 7): 1}


def test_no_digit_is_for_training_and_for_testing(example):
    rows = [np.swapaxes(part.images, 0, 1).reshape(len(part.labels), 64) for part in example.digits()]
    assert [len(part) for part in rows] == [1347, 450]
    assert len(np.unique(np.concatenate(rows), axis=0)) == 1797
