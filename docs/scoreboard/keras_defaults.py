"""Keras' recurrent layers with their defaults, which give their steps and their states."""

from __future__ import annotations

from typing import Any

from keras import layers

OPTIONS = {"return_sequences": True, "return_state": True}


def SimpleRNN(inputs: int, hidden: int, direction: str) -> Any:  # noqa: N802
    return layers.SimpleRNN(hidden, go_backwards=direction == "reverse", **OPTIONS)


def LSTM(inputs: int, hidden: int, direction: str) -> Any:  # noqa: N802
    return layers.LSTM(hidden, go_backwards=direction == "reverse", **OPTIONS)


def GRU(inputs: int, hidden: int, direction: str) -> Any:  # noqa: N802
    return layers.GRU(hidden, go_backwards=direction == "reverse", **OPTIONS)
