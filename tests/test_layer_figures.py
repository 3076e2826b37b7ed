"""The scripts that time layers, and calls beyond their aim: they run, on rows that take no time."""

import json
from pathlib import Path

import pytest

from conformance.registry import Shape
from conformance.speed.row import Row

FOLDER = Path(__file__).parents[1] / "docs/figures"
KERAS_ELSEWHERE = "conformance.speed.peers.keras_jax_peer"
"""Keras runs on one framework in a process, here on TensorFlow."""


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("mode", ["forward", "train"])
def test_a_layer_is_timed_as_the_peers_are(name, mode, figures, monkeypatch):
    layers = figures("layers")
    monkeypatch.setattr(layers, "ROUNDS", 2)
    monkeypatch.setitem(layers.PEERS, name, [peer for peer in layers.PEERS[name] if peer.module != KERAS_ELSEWHERE])
    found = layers.measured(name, Row("gru", Shape(2, 3, 2, 4), mode, "f32"))
    assert [row["mode"] for row in found] == [mode]
    assert all(row["seconds"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in found)


def test_every_call_beyond_its_aim_has_its_parts_on_record(figures):
    missed = figures("missed")

    def key(row):
        return row["backend"], row["cell"], row["mode"], *row["shape"].values()

    recorded = {key(row): row for row in json.loads((FOLDER / "missed.json").read_text())["rows"]}
    assert recorded.keys() == {key(row) for row in missed.missed(FOLDER)}
    assert all(row["ratio"] > row["aim"] and row["call"] > 0 for row in recorded.values())


def test_the_parts_of_a_call_are_timed(figures, monkeypatch):
    missed = figures("missed")
    monkeypatch.setattr(missed, "ROUNDS", 1)
    for mode in ("forward", "train"):
        found = missed.timed(missed.parts("torch", Row("gru", Shape(2, 3, 2, 4), mode, "f32")))
        assert sorted(found) == ["call", "checks", "program"]
        assert min(found.values()) > 0
