"""The script that times layers beside layers runs, on a row that takes no time."""

import importlib
from pathlib import Path

import pytest

from conformance.registry import Shape
from conformance.speed.row import Row

FOLDER = Path(__file__).parents[1] / "docs/figures"
KERAS_ELSEWHERE = "conformance.speed.peers.keras_jax_peer"
"""Keras runs on one framework in a process, here on TensorFlow."""


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
@pytest.mark.parametrize("mode", ["forward", "train"])
def test_a_layer_is_timed_as_the_peers_are(name, mode, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    layers = importlib.import_module("layers")
    monkeypatch.setattr(layers, "ROUNDS", 2)
    monkeypatch.setitem(layers.PEERS, name, [peer for peer in layers.PEERS[name] if peer.module != KERAS_ELSEWHERE])
    found = layers.measured(name, Row("gru", Shape(2, 3, 2, 4), mode, "f32"))
    assert [row["mode"] for row in found] == [mode]
    assert all(row["seconds"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in found)
