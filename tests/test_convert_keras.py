"""Keras 3, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import refuses

import rnnspec
from rnnspec import Last, Layer, Network, Steps, cells
from rnnspec.convert import Note, from_keras, to_keras
from rnnspec.errors import ArgumentError, NetworkError, UnsupportedError

keras = pytest.importorskip("keras")
kl = keras.layers
def built(*layers):
    return keras.Sequential([keras.Input((None, 3)), *layers])


def reverse(read):
    net = Network(3, [Layer(cells.lstm, 4, "reverse")], read)
    return to_keras(net, net.init(0))


def lstm(**options):
    return lambda: from_keras(built(kl.LSTM(4, **options)))


def projected():
    net = Network(3, [Layer(cells.lstm_projected, {"h": 2, "c": 4})])
    return to_keras(net, net.init(0))


CELLS = {
    "SimpleRNNCell": ({}, cells.elman), "LSTMCell": ({}, cells.lstm), "GRUCell": ({}, cells.gru),
    "GRUCell of the paper": ({"reset_after": False}, cells.gru_reset_before),
}  # fmt: skip


@pytest.mark.parametrize("name", CELLS)
def test_an_rnn_of_a_cell_is_read_as_the_layer(name):
    options, cell = CELLS[name]
    own = getattr(kl, name.split()[0])
    model = built(kl.Bidirectional(kl.RNN(own(4, bias_initializer="normal", **options), return_sequences=True)),
                  kl.RNN(own(3, use_bias=False, **options)))  # fmt: skip
    found = from_keras(model)
    assert [layer.cell for layer in found.net.layers] == [cell, cell]
    assert found.net.layers[0].direction == "bidirectional" and found.net.read == Last()
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, x).outputs
    np.testing.assert_allclose(ours, np.array(model(x.swapaxes(0, 1))), atol=1e-5)
    assert ("layers.1.forward", Note.NO_BIAS) in [(note.place, note.what) for note in found.notes]


def own(a):
    return a * a


REFUSED = {
    "an activation of a cell": (
        lambda: from_keras(built(kl.RNN(kl.LSTMCell(4, activation="sparsemax")))), UnsupportedError, "'sparsemax'"),
    "an activation": (lstm(activation=own), UnsupportedError, "activation="),
    "an activation of gates": (
        lstm(recurrent_activation="softmax"), UnsupportedError, "recurrent_activation='softmax'"),
    "an activation of Dense": (lambda: from_keras(built(kl.GRU(4), kl.Dense(2, activation="glu"))), UnsupportedError,
                               "'glu'"),
    "zero_output_for_mask": (lstm(zero_output_for_mask=True), UnsupportedError, "zero_output_for_mask=True"),
    "steps backwards": (lstm(go_backwards=True, return_sequences=True), UnsupportedError, "go_backwards=True"),
    "merge_mode": (lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), merge_mode="sum"))), UnsupportedError, "'sum'"),
    "an unlike half": (
        lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), backward_layer=kl.LSTM(4, go_backwards=True)))),
        UnsupportedError, "GRU and LSTM"),
    "no sequences": (
        lambda: from_keras(built(kl.GRU(4)).layers[0], built(kl.GRU(4)).layers[0]), UnsupportedError, "after one"),
    "not built": (lambda: from_keras(kl.GRU(4)), ArgumentError, "without weights"),
    "no layer": (lambda: from_keras(3), ArgumentError, "int"),
    "nothing": (from_keras, NetworkError, "none"),
    "projection": (projected, UnsupportedError, "lstm_projected"),
    "reverse steps": (lambda: reverse(Steps()), UnsupportedError, "reverse in layers.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    refuses(*REFUSED[name])
