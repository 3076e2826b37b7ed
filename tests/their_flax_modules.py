"""Cells of Flax nnx as people write them, with one fault each, for the suite to judge."""

from __future__ import annotations

import jax
from flax import nnx
from jax import numpy as jnp


class Faulty(nnx.OptimizedLSTMCell):
    """An LSTM whose sums can be changed."""

    def change(self, sums):
        return sums

    def __call__(self, carry, inputs):
        c, h = carry
        i, f, g, o = self.change(jnp.split(self.dense_i(inputs) + self.dense_h(h), 4, -1))
        c = nnx.sigmoid(f) * c + nnx.sigmoid(i) * jnp.tanh(g)
        h = nnx.sigmoid(o) * jnp.tanh(c)
        return (c, h), h


class GatesSwapped(Faulty):
    def change(self, sums):
        i, f, g, o = sums
        return o, f, g, i


class ForgetBiasAdded(Faulty):
    def change(self, sums):
        i, f, g, o = sums
        return i, f + 1, g, o


class BiasDropped(Faulty):
    def change(self, sums):
        return [s - b for s, b in zip(sums, jnp.split(self.dense_h.bias[...], 4), strict=True)]


class StateIgnored(Faulty):
    def __call__(self, carry, inputs):
        return super().__call__((carry[0], jnp.zeros_like(carry[1])), inputs)


class Detached(nnx.RNN):
    def __call__(self, inputs, **options):
        carry, outputs = super().__call__(inputs, **options)
        return jax.lax.stop_gradient(carry), outputs


def final_gradient_dropped(inputs, hidden):
    """A factory of a faulty wrapper about a sound cell."""
    return Detached(nnx.OptimizedLSTMCell(inputs, hidden, rngs=nnx.Rngs(0)), time_major=True, rngs=False)


FAULTY = (GatesSwapped, ForgetBiasAdded, BiasDropped, StateIgnored, final_gradient_dropped)
