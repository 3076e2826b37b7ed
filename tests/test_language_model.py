"""The example that writes: its text, its perplexity by hand, the state that goes on, and what it says."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import rnnspec
from rnnspec.tree import tree_map

pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def example(examples):
    return examples("language_model")


@pytest.fixture(scope="module")
def course(examples):
    return examples("language_training")


@pytest.fixture(scope="module")
def app(example):
    app = Typer()
    app.command()(example.main)
    return app


@pytest.fixture(scope="module")
def reference():
    return rnnspec.get_backend("numpy", precision="f64")  # which takes class numbers


@pytest.fixture(scope="module")
def bible(examples):
    return examples("king_james")


@pytest.fixture(scope="module")
def parts(bible):
    return bible.texts(bible.verses()[:20_000])


def test_it_learns_more_than_counting_and_torch_reads_the_same(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ("--json", "figures.json", "--picture", "course.png", "--save", "writer.safetensors")
    done = CliRunner().invoke(app, ["--quick", "--check-backend", "torch", *files])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    *_, ours = figures["nats"].values()
    assert ours < figures["nats"]["bigram"] < figures["nats"]["unigram"]
    assert figures["losses"] == sorted(figures["losses"], reverse=True)
    assert figures["perplexity"] == pytest.approx(2 ** figures["bits"])
    (check,) = figures["checks"]
    assert check["backend"] == "torch"
    assert check["perplexity"] == pytest.approx(figures["perplexity"], rel=1e-5)
    assert len(figures["sample"]) == len("In the beginning ") + 300
    assert (tmp_path / "course.png").read_bytes().startswith(b"\x89PNG")
    assert "round 3 of 3: " in done.output
    net, params = rnnspec.load(tmp_path / "writer.safetensors")
    assert params["output"]["W"].shape == (net.inputs.classes, 48)


def test_the_text_is_whole_and_split_by_position(bible):
    whole = bible.verses()
    assert (whole.count("\n"), len(whole)) == (31_102, 4_138_498)
    assert whole.startswith("In the beginning God created the heaven and the earth.\n")
    parts = bible.texts(whole)
    assert "".join(map(str, parts)) == whole
    assert [len(part.numbers) for part in parts] == [3_724_648, 206_924, 206_926]


def test_pieces_are_the_text_and_what_comes_next(course, parts):
    text = parts[1]
    found = list(course.pieces(text, rows=3, steps=50))
    assert [piece.begins for piece in found] == [True] + [False] * (len(found) - 1)
    given = np.concatenate([piece.inputs for piece in found])
    following = np.concatenate([piece.targets for piece in found])
    rows = (len(text.numbers) - 1) // 3
    np.testing.assert_array_equal(given.T.ravel(), text.numbers[: 3 * rows])
    np.testing.assert_array_equal(following.T.ravel(), text.numbers[1 : 3 * rows + 1])
    again = list(islice(course.again_and_again(text, 3, 50), len(found) + 1))
    assert [n for n, piece in enumerate(again) if piece.begins] == [0, len(found) - 1]  # without the short one


def test_the_state_goes_on_from_piece_to_piece(course, parts, reference):
    text = parts[1]
    net = course.network(course.Course(hidden=8), len(text.alphabet))
    params = net.init(0)
    parted, whole = (course.nats(reference, net, params, text, rows=4, steps=steps) for steps in (7, 10_000))
    assert parted == pytest.approx(whole, rel=1e-12)


def test_a_network_that_knows_nothing_has_the_perplexity_of_the_alphabet(course, parts, reference):
    text = parts[1]
    net = course.network(course.Course(hidden=2), len(text.alphabet))
    params = tree_map(np.zeros_like, net.init(0))
    assert np.exp(course.nats(reference, net, params, text)) == pytest.approx(len(text.alphabet))


def test_counting_by_hand(bible, examples):
    ngrams = examples("ngrams")
    training, testing = bible.Text(np.array([0, 0, 1]), "ab"), bible.Text(np.array([0, 1, 1]), "ab")
    assert ngrams.unigram(training, testing) == pytest.approx(-(np.log(3 / 5) + 2 * np.log(2 / 5)) / 3)
    assert ngrams.bigram(training, testing) == pytest.approx(-(np.log(2 / 4) + np.log(1 / 2)) / 2)


def test_what_is_written_follows_from_its_seed(example, course, parts, reference):
    alphabet = parts[0].alphabet
    net = course.network(course.Course(hidden=4), len(alphabet))
    params = net.init(0)
    first, second, other = (example.written(reference, net, params, alphabet, 40, 1.0, seed) for seed in (0, 0, 1))
    assert first == second != other
    assert first.startswith(example.BEGINNING)
    assert set(first) <= set(alphabet)
    cold, colder = (example.written(reference, net, params, alphabet, 40, 1e-6, seed) for seed in (0, 1))
    assert cold == colder  # without heat the likeliest character is drawn, whatever the seed
