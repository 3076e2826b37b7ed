"""Keras on TensorFlow: as a graph, with XLA or without, whichever is faster."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from conformance.speed.peers.keras_layers import arrays, build
from conformance.speed.row import INPUTS, Row

__all__ = ["make", "timed"]


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and state, or the gradients of its parameters and inputs."""
    return timed(row, build(row))


def timed(row: Row, layer: Any) -> Callable[[int], None]:
    """The call of any layer of Keras that returns sequences and state."""
    inputs, cotangent = arrays(row)
    given, pulled = [tf.constant(x) for x in inputs], tf.constant(cotangent)

    def forward(x: Any) -> Any:
        return layer(x)

    def train(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x)[0]
        return tape.gradient(outputs, [x, *layer.trainable_variables], pulled)

    function = {"forward": forward, "train": train}[row.mode]
    modes = [tf.function(function, jit_compile=compiled) for compiled in (False, True)]
    best = min(modes, key=lambda mode: _seconds(mode, given[0]))
    return lambda count: _await(best(given[count % INPUTS]))


def _seconds(call: Callable[[Any], Any], x: Any) -> float:
    found = []
    for _ in range(4):
        begun = time.perf_counter()
        _await(call(x))
        found.append(time.perf_counter() - begun)
    return min(found)


def _await(tensors: Any) -> None:
    tensors[-1].numpy()
