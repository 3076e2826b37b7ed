"""A network on tensors of a user's TensorFlow program, which may differentiate it."""

from __future__ import annotations

import copy
from typing import Any

import tensorflow as tf

from backends.tensorflow_backend.backend import TensorflowBackend
from backends.tensorflow_backend.sizes import sized, sized_arrays, tensors
from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Path
from rnnspec.network import Network
from rnnspec.running.stack import backward, forward
from rnnspec.tree import Tree, filled, flat, flat_as

__all__ = ["run"]


def run(
    backend: TensorflowBackend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None, keep: bool, noise: Tree = None,
) -> tuple[Array, Tree]:
    """Outputs and final state, differentiable in parameters, inputs and state."""
    if None in inputs.shape:
        backend = copy.copy(backend)
        backend.arrays = sized_arrays(backend.arrays)

    def ran(params: Tree, inputs: Array, state: Tree, pullback: bool) -> tuple[Array, Tree, Any]:
        given = (params, inputs, state, lengths, resets, noise)
        return forward(backend, net, *(map(sized, given) if None in inputs.shape else given), pullback=pullback)

    if backend.path is Path.FRAMEWORK:
        return tensors(ran(params, inputs, state, pullback=False)[:2])  # type: ignore[no-any-return]

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def derived(*arrays: Array) -> tuple[list[Array], Any]:
        own, x, first = filled((params, inputs, state), arrays)
        outputs, final, tape = ran(own, x, first, pullback=keep)

        def pull(*cotangents: Array) -> list[Array]:
            given = (own, *filled((outputs, final), cotangents))
            p, *rest = map(sized, given) if None in inputs.shape else given
            kept = tape if keep else ran(own, x, first, pullback=True)[2]
            found = tensors(backward(backend, net, p, kept, *rest))
            return flat_as((own, x, first), found)

        return flat(tensors((outputs, final))), pull

    outputs, *final = derived(*flat((params, inputs, state)))
    return outputs, filled(state, final)
