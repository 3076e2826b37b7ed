"""Flax's cells under `nnx.RNN`, time-major, each call one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from conformance.speed.row import INPUTS, Row
from rnnspec import cells

__all__ = ["make"]

CELLS = {cells.lstm: nnx.OptimizedLSTMCell, cells.gru: nnx.GRUCell, cells.elman: nnx.SimpleCell}


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and state, or the gradients of its parameters and inputs."""
    cell = CELLS[row.declared](row.shape.inputs, row.shape.hidden, rngs=nnx.Rngs(0))
    definition, weights = nnx.split(nnx.RNN(cell, time_major=True, return_carry=True))
    given, pulled = [jnp.asarray(x) for x in row.inputs()], jnp.asarray(row.cotangent(row.shape.hidden))

    def apply(own: Any, x: Any) -> Any:
        return nnx.merge(definition, own)(x)

    def train(own: Any, x: Any) -> Any:
        _, pullback = jax.vjp(lambda *args: apply(*args)[1], own, x)
        return pullback(pulled)

    call = jax.jit({"forward": apply, "train": train}[row.mode])
    return lambda count: jax.block_until_ready(call(weights, given[count % INPUTS])) and None
