"""The example that tells speakers: the published split, lengths that hold, and another backend that hears the same."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

import rnnspec

pytestmark = pytest.mark.usefixtures("examples")


@pytest.fixture(scope="module")
def parts(examples):
    return examples("utterances").utterances()


@pytest.fixture(scope="module")
def app(examples):
    app = Typer()
    app.command()(examples("speech").main)
    return app


def test_it_learns_on_numpy_and_torch_hears_the_same(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = ("--json", "figures.json", "--picture", "speech.png", "--save", "listener.safetensors")
    done = CliRunner().invoke(app, ["--quick", "--check-backend", "torch", *files])
    assert done.exit_code == 0, done.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["test_accuracy"] > 0.9  # an untrained network names a ninth
    assert np.trace(figures["confusion"]) == round(figures["test_accuracy"] * 370)
    assert np.sum(figures["confusion"], axis=1).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    (check,) = figures["checks"]
    assert check["same_answers"] == check["of"] == 370
    assert (tmp_path / "speech.png").read_bytes().startswith(b"\x89PNG")
    assert "epoch 6 of 6: loss" in done.output
    assert rnnspec.load(tmp_path / "listener.safetensors")[0].layers[0].gradient is not None


def test_an_unknown_cell_is_a_wrong_command(app):
    done = CliRunner().invoke(app, ["--cell", "elman"])
    assert done.exit_code == 2
    assert "lstm, gru" in done.output


def test_the_split_is_the_published_one(parts):
    training, testing = parts
    assert np.bincount(training.speakers).tolist() == [30] * 9
    assert np.bincount(testing.speakers).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    assert (training.lengths.min(), testing.lengths.max()) == (7, 29)
    spoken = [{part.frames[:length, n].tobytes() for n, length in enumerate(part.lengths)} for part in parts]
    assert [len(each) for each in spoken] == [270, 370]
    assert not spoken[0] & spoken[1]


def test_cepstra_are_standardised_by_the_training_frames_and_padding_is_zero(parts):
    training, testing = parts
    heard = training.frames[training.real]
    np.testing.assert_allclose(heard.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(heard.std(0), 1, rtol=1e-12)
    assert abs(testing.frames[testing.real].mean(0)).max() > 0.01
    for part in parts:
        assert part.real.sum() == part.lengths.sum()
        assert not part.frames[~part.real].any()


def test_what_stands_behind_an_utterance_is_not_heard(examples, parts, reference):
    speech, (training, _) = examples("speech"), parts
    net = speech.network(rnnspec.cells.gru, speech.Course(hidden=4))
    params, few = net.init(0), training.take(np.arange(0, 270, 27))
    clean = speech.logits(reference, net, params, few)
    few.frames[~few.real] = np.nan
    np.testing.assert_array_equal(speech.logits(reference, net, params, few), clean)
    alone = [speech.logits(reference, net, params, examples("utterances").Utterances(
        few.frames[:length, n : n + 1], few.lengths[n : n + 1], few.speakers[n : n + 1]))
        for n, length in enumerate(few.lengths)]  # fmt: skip
    np.testing.assert_allclose(np.concatenate(alone), clean, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_seed_fixes_the_numbers(examples, parts, cell):
    speech, be = examples("speech"), rnnspec.get_backend("numpy")
    course, few = speech.Course(hidden=4, epochs=2), parts[0].take(np.arange(0, 270, 3))
    first, second, other = (speech.train(be, speech.CELLS[cell], few, course, seed).losses for seed in (0, 0, 1))
    assert first == second != other
