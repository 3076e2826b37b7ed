"""Rows over several devices of one process: each computes the step of its rows, and their sums come back."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from rnnspec.contract.arrays import Array
from rnnspec.losses import CTC
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.running import execution
from rnnspec.tree import Tree, named_map, tree_map

__all__ = ["over_devices"]

ROWS = "rows"
"""The axis of the mesh."""
WHOLE, FIRST, SECOND = PartitionSpec(), PartitionSpec(ROWS), PartitionSpec(None, ROWS)
"""Where an array has its rows: nowhere, on its first axis, on its second one after time."""
FOUND = (WHOLE, WHOLE, SECOND, FIRST, FIRST)
"""The rows of what `value_and_grad` returns: loss, and gradients of parameters, inputs and state; the final state."""


def over_devices(
    backend: Any, net: Network, devices: list[Any], given: tuple[Tree, ...], more: tuple[Tree, ...]
) -> tuple[Tree, ...]:
    """What `execution.value_and_grad` returns, by all devices, on one device; call it within the backend's settings.

    Where rows do not divide by the devices, rows of length 0 come after them.
    """
    mesh, (steps, rows) = Mesh(np.array(devices), (ROWS,)), given[1].shape[:2]
    missing = -rows % len(devices)
    params, x, first, ends, begun = given
    if missing and ends is None:
        ends = np.full(rows, steps, np.int32)
    arguments = (params, x, first, ends, begun, *more)
    places = _places(net, arguments)
    padded = jax.tree.map(lambda spec, tree: _padded(tree, spec, missing), places, arguments, is_leaf=_is_place)
    if missing and isinstance(net.loss, CTC):
        padded = (*padded[:5], _without_labels(net.loss, padded[5], rows), *padded[6:])
    sharded = jax.device_put(padded, jax.tree.map(lambda spec: NamedSharding(mesh, spec), places, is_leaf=_is_place))
    found, _ = backend.program(_mapped, net, mesh)(*sharded)
    return tuple(_home(tree, spec, rows) for tree, spec in zip(found, FOUND, strict=True))


def _mapped(backend: Any, net: Network, mesh: Mesh, *arguments: Tree) -> tuple[Tree, None]:
    """As `execution.value_and_grad`, of arrays that are spread over a mesh."""

    def part(*own: Tree) -> tuple[Tree, ...]:
        (loss_sum, grads, *rest), _ = execution.value_and_grad(backend, net, *own)
        return (*jax.tree.map(_over_all, (loss_sum, grads)), *rest)

    mapped = jax.shard_map(part, mesh=mesh, in_specs=_places(net, arguments), out_specs=FOUND, check_vma=False)
    return mapped(*arguments), None


def _over_all(a: Array) -> Array:
    """The sum over the devices, of 16 bits in float32."""
    return lax.psum(a.astype(jnp.promote_types(a.dtype, jnp.float32)), ROWS).astype(a.dtype)


def _places(net: Network, arguments: tuple[Tree, ...]) -> tuple[Tree, ...]:
    """Where the arguments of `execution.value_and_grad` have their rows."""
    targets = FIRST if isinstance(net.read, Last) or isinstance(net.loss, CTC) else SECOND
    known = (WHOLE, SECOND, FIRST, FIRST, SECOND, targets, WHOLE)
    return (*known[: len(arguments)], *[named_map(_place_of_mask, noise) for noise in arguments[7:]])


def _place_of_mask(name: str, _: Array) -> PartitionSpec:
    """A mask of a map, such as `layers.0.forward.U.f`, has no rows."""
    return WHOLE if name.split(".")[3:4] == ["U"] else SECOND


def _is_place(tree: Tree) -> bool:
    return isinstance(tree, PartitionSpec)


def _padded(tree: Tree, place: PartitionSpec, missing: int) -> Tree:
    """The tree in NumPy's arrays, with so many rows of zeros after the others."""
    if tree is None:
        return None
    return jax.tree.map(lambda a: _lengthened(np.asarray(a), len(place) - 1, missing if place else 0), tree)


def _lengthened(a: np.ndarray[Any, Any], axis: int, missing: int) -> np.ndarray[Any, Any]:
    return np.pad(a, [(0, missing if i == axis else 0) for i in range(a.ndim)]) if missing else a


def _without_labels(loss: CTC, spelled: np.ndarray[Any, Any], rows: int) -> np.ndarray[Any, Any]:
    """The spelled labels, of which those after the rows are of no label."""
    spelled[rows:] = -1
    spelled[rows:, 0] = loss.blank
    return spelled


def _home(tree: Tree, place: PartitionSpec, rows: int) -> Tree:
    """The arrays on one device, without what was padded."""
    cut = (slice(None),) * (len(place) - 1) + (slice(rows),) if place else ()
    return tree_map(lambda a: None if a is None else jax.device_put(np.asarray(a)[cut]), tree)
