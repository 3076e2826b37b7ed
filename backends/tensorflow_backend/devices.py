"""One worker's rows on several devices: each device runs the step of its part, in one graph, at the same time."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import tensorflow as tf

from rnnspec.contract.arrays import Array
from rnnspec.losses import CTC
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.running import execution
from rnnspec.tree import Tree, named_map, tree_map

__all__ = ["on_devices"]


def on_devices(backend: Any, net: Network, devices: tuple[str, ...], *given: Tree) -> tuple[Tree, Tree]:
    """As `execution.value_and_grad`: rows in the order of devices, sums over them; at least one row for each device."""
    batch, found = given[1].shape[1], []
    aligned = isinstance(net.read, Last) or isinstance(net.loss, CTC)
    for i, device in enumerate(devices):
        rows = slice(i * batch // len(devices), (i + 1) * batch // len(devices))
        first, second = partial(_cut, rows, 0), partial(_cut, rows, 1)
        cuts: tuple[Callable[[Tree], Tree], ...] = (
            _all, second, first, first, second, first if aligned else second, _all, partial(_masks, second)
        )
        with tf.device(device):
            part = [cut(tree) for cut, tree in zip(cuts, given, strict=False)]
            found.append(execution.value_and_grad(backend, net, *part)[0])
    losses, own, x, begun, final = zip(*found, strict=True)
    return (_sum(*losses), tree_map(_sum, *own), _joined(1, *x), tree_map(partial(_joined, 0), *begun),
            tree_map(partial(_joined, 0), *final)), None  # fmt: skip


def _all(tree: Tree) -> Tree:
    return tree


def _cut(rows: slice, axis: int, tree: Tree) -> Tree:
    return tree_map(lambda a: None if a is None else a[(*[slice(None)] * axis, rows)], tree)


def _masks(cut: Callable[[Tree], Tree], noise: Tree) -> Tree:
    """The masks of some rows; those of maps belong to all."""
    return named_map(lambda name, mask: mask if ".U." in name else cut(mask), noise)


def _sum(*parts: Array) -> Array:
    """The sum of all devices, in their order; 16 bits are rounded once."""
    if parts[0].dtype.size > tf.float16.size:
        return reduce(operator.add, parts)
    return tf.cast(reduce(operator.add, (tf.cast(part, tf.float32) for part in parts)), parts[0].dtype)


def _joined(axis: int, *parts: Array | None) -> Array | None:
    return None if parts[0] is None else tf.concat(parts, axis)
