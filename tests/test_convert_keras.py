"""Keras 3, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import pytest
from conversions import refuses

from rnnspec import Layer, Network, Steps, cells
from rnnspec.convert import from_keras, to_keras
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


REFUSED = {
    "dropout": (lstm(dropout=0.5), UnsupportedError, "dropout=0.5"),
    "dropout of the state": (lstm(recurrent_dropout=0.5), UnsupportedError, "recurrent_dropout=0.5"),
    "an activation": (lstm(activation="relu"), UnsupportedError, "activation='relu'"),
    "an activation of gates": (
        lstm(recurrent_activation="hard_sigmoid"), UnsupportedError, "recurrent_activation='hard_sigmoid'"),
    "zero_output_for_mask": (lstm(zero_output_for_mask=True), UnsupportedError, "zero_output_for_mask=True"),
    "steps backwards": (lstm(go_backwards=True, return_sequences=True), UnsupportedError, "go_backwards=True"),
    "merge_mode": (lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), merge_mode="sum"))), UnsupportedError, "'sum'"),
    "stateful": (
        lambda: from_keras(keras.Sequential([keras.Input((None, 3), batch_size=2), kl.GRU(4, stateful=True)])),
        UnsupportedError, "stateful=True"),
    "a dropout inside of both": (
        lambda: from_keras(built(kl.Bidirectional(kl.GRU(4, dropout=0.1)))), UnsupportedError, "dropout=0.1"),
    "an unlike half": (
        lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), backward_layer=kl.LSTM(4, go_backwards=True)))),
        UnsupportedError, "GRU and LSTM"),
    "a layer for training": (lambda: from_keras(built(kl.GRU(4), kl.Dropout(0.5))), UnsupportedError, "Dropout"),
    "probabilities": (
        lambda: from_keras(built(kl.GRU(4), kl.Dense(2, activation="softmax"))), UnsupportedError, "'softmax'"),
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
