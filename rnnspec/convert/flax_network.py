"""A network of Flax nnx modules that is called with the arguments of `Backend.run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx

from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree, tree_map

__all__ = ["FlaxNetwork"]

Array = Any


class FlaxNetwork(nnx.Module):  # type: ignore[misc]  # Flax is not read by the type checker
    """A module made of nnx modules only: `layers`, an nnx.RNN for each half, and `output`, a Linear or None.

    `embedding` is the Embed of class numbers, or None.
    `network` is the network that was converted; `states` are the names of each layer's states, `h` before `c`.
    """

    def __init__(
        self, network: Network, states: Sequence[tuple[str, ...]], layers: Sequence[Mapping[str, nnx.RNN]],
        output: nnx.Linear | None, embedding: nnx.Embed | None = None,
    ) -> None:  # fmt: skip
        self.network, self.states = network, tuple(states)
        self.layers = nnx.List([nnx.Dict(halves) for halves in layers])
        self.output, self.embedding = nnx.data(output), nnx.data(embedding)

    def __call__(self, inputs: Array, state: Tree = None, lengths: Array = None) -> tuple[Array, Tree]:
        """Outputs and final state for inputs (time, batch, feature), or class numbers; the rest as in `Backend.run`."""
        steps, batch = inputs.shape[:2]
        ends = jnp.full(batch, steps) if lengths is None else jnp.asarray(lengths)
        real = (jnp.arange(steps)[:, None] < ends)[..., None]
        if self.embedding is not None:  # a class number at a padded step may be any
            inputs = self.embedding(jnp.where(real[..., 0], jnp.asarray(inputs), 0))
        values, final = jnp.where(real, inputs, 0.0), []
        first = self._zeros(batch, inputs) if state is None else state
        for layer, names, halves, own in zip(self.network.layers, self.states, self.layers, first, strict=True):
            found = {half: _half(halves[half], names, values, own[half], ends) for half in layer.halves}
            values = jnp.where(real, jnp.concatenate([out for out, _ in found.values()], -1), 0.0)
            final.append({half: end for half, (_, end) in found.items()})
        if isinstance(self.network.read, Last):
            real = (ends > 0)[:, None]
            last = [final[-1][half][self.states[-1][0]] for half in self.network.layers[-1].halves]
            values = jnp.where(real, jnp.concatenate(last, -1), 0.0)
        if self.output is not None:
            values = jnp.where(real, self.output(values), 0.0)
        return values, final

    def _zeros(self, batch: int, like: Array) -> Tree:
        return [{half: {name: jnp.zeros(shape, like.dtype) for name, shape in shapes.items()}
                 for half, shapes in tree.items()} for tree in self.network.state_shapes(batch)]  # fmt: skip


def _half(rnn: Any, names: Sequence[str], values: Array, first: Tree, ends: Array) -> tuple[Array, Tree]:
    """One direction; a carry is (c, h)."""
    if not values.shape[0] * values.shape[1]:  # a scan needs a step
        return jnp.zeros((*values.shape[:2], first[names[0]].shape[1]), values.dtype), first
    given = tuple(first[name] for name in reversed(names))
    carry, out = rnn(values, initial_carry=given if len(names) > 1 else given[0], seq_lengths=ends, return_carry=True)
    ended = dict(zip(reversed(names), carry if len(names) > 1 else [carry], strict=True))
    return out, tree_map(lambda new, old: jnp.where((ends > 0)[:, None], new, old), ended, first)
