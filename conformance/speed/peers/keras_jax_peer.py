"""Keras on JAX, each call one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from conformance.speed.peers.keras_layers import arrays, build
from conformance.speed.row import INPUTS, Row

__all__ = ["make"]


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and state, or the gradients of its parameters and inputs."""
    layer = build(row)
    weights = [v.value for v in layer.trainable_variables]
    rest = [v.value for v in layer.non_trainable_variables]
    inputs, cotangent = arrays(row)
    given, pulled = [jnp.asarray(x) for x in inputs], jnp.asarray(cotangent)

    def apply(own: Any, x: Any) -> Any:
        return layer.stateless_call(own, rest, x)[0]

    def train(own: Any, x: Any) -> Any:
        _, pullback = jax.vjp(lambda *args: apply(*args)[0], own, x)
        return pullback(pulled)

    call = jax.jit({"forward": apply, "train": train}[row.mode])
    return lambda count: jax.block_until_ready(call(weights, given[count % INPUTS])) and None
