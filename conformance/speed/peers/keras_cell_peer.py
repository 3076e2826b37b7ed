"""A cell by hand in Keras on TensorFlow, under `keras.layers.RNN`: with XLA or without, whichever is faster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from conformance.speed.peers.by_hand import ByHand, Functions, by_hand
from conformance.speed.peers.keras_tensorflow_peer import timed
from conformance.speed.row import Row

__all__ = ["make"]

FUNCTIONS = Functions(tf.tanh, tf.sigmoid, tf.maximum, tf.where, lambda a, count: tf.split(a, count, -1))


class OwnCell(keras.layers.Layer):  # type: ignore[misc]  # Keras' types are not read
    """The step as a Keras cell, which applies the input maps in each step."""

    def __init__(self, own: ByHand, features: int, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.own, self.state_size, self.output_size = own, list(own.states), features
        self.maps = {name: self.add_weight(shape=a.shape, name=f"map {name}") for name, a in own.weights.items()}
        for name, weight in self.maps.items():
            weight.assign(own.weights[name])

    def call(self, inputs: Any, states: Any) -> tuple[Any, Any]:
        """One step."""
        w = {name: tf.convert_to_tensor(weight) for name, weight in self.maps.items()}
        y, *new = self.own.step(FUNCTIONS, inputs @ w["W"] + w["b"], w, *states)
        return y, new


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and state, or the gradients of its parameters and inputs."""
    dtype = "float64" if row.precision == "f64" else "float32"
    cell = OwnCell(by_hand(row), row.network.features, dtype)
    return timed(row, keras.layers.RNN(cell, return_sequences=True, return_state=True, dtype=dtype))
