"""A cell by hand in JAX: `lax.scan`, differentiated by JAX, each call one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from conformance.speed.peers.by_hand import Functions, by_hand
from conformance.speed.row import INPUTS, Row

__all__ = ["make"]

FUNCTIONS = Functions(jnp.tanh, jax.nn.sigmoid, jnp.maximum, jnp.where, lambda a, count: jnp.split(a, count, -1))


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and final states, or the gradients of its parameters and inputs."""
    own = by_hand(row)
    weights = {name: jnp.asarray(a) for name, a in own.weights.items()}
    given, pulled = [jnp.asarray(x) for x in row.inputs()], jnp.asarray(row.cotangent(row.network.features))

    def layer(w: Any, x: Any) -> tuple[Any, Any]:
        def step(states: Any, now: Any) -> tuple[Any, Any]:
            y, *new = own.step(FUNCTIONS, now, w, *states)
            return tuple(new), y

        zeros = tuple(jnp.zeros((x.shape[1], width), x.dtype) for width in own.states)
        final, outputs = jax.lax.scan(step, zeros, x @ w["W"] + w["b"])
        return outputs, final

    def train(w: Any, x: Any) -> Any:
        _, pullback = jax.vjp(lambda *args: layer(*args)[0], w, x)
        return pullback(pulled)

    call = jax.jit({"forward": layer, "train": train}[row.mode])
    return lambda count: jax.block_until_ready(call(weights, given[count % INPUTS])) and None
