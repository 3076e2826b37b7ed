"""The steps that a network reads, what its head sees of them, and the output layer, with their pullbacks."""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.network import Network
from rnnspec.output import Tied
from rnnspec.running.padding import counted, mask, selected
from rnnspec.tree import Tree

__all__ = ["as_read", "as_steps", "dense", "has_step", "logits", "read", "undense", "unlogits", "unread"]


def read(arrays: Arrays, net: Network, values: Array, lengths: Array | None) -> Array:
    """Each direction's last processed step, zeros for a row of length 0."""
    steps, batch, _ = values.shape
    if steps == 0 or batch == 0:
        return arrays.zeros((batch, values.shape[-1]))
    layer, found, low = net.read_layer, [], 0
    for half in layer.halves:
        part = values[..., low : low + layer.half_width]
        low += layer.half_width
        if lengths is None:
            found.append(part[-1] if half == "forward" else part[0])
        else:
            last = lengths[None, :] - 1
            index = arrays.functions["where"]((last >= 0) if half == "forward" else (last < -1), last, 0)
            found.append(arrays.take(part, index)[0])
    joined = found[0] if len(found) == 1 else arrays.concatenate(found, -1)
    return selected(arrays, counted(arrays, net, steps, batch, lengths), joined)


def unread(arrays: Arrays, net: Network, shape: tuple[int, int], lengths: Array | None, cotangent: Array) -> Array:
    """The pullback of `read`, whose values had `shape` (time, batch)."""
    (steps, batch), layer = shape, net.read_layer
    if steps == 0 or batch == 0:
        return arrays.zeros((steps, batch, layer.width))
    t, found, low = arrays.steps(steps)[:, None, None], [], 0
    for half in layer.halves:
        part = cotangent[None, :, low : low + layer.half_width]
        low += layer.half_width
        ends = steps if lengths is None else lengths[None, :, None]
        here = t < 1 if half == "reverse" else t >= ends - 1
        found.append(arrays.functions["where"](here, part, arrays.scalar(0.0)))
    spread = found[0] if len(found) == 1 else arrays.concatenate(found, -1)
    return selected(arrays, mask(arrays, steps, lengths), spread)


def as_steps(arrays: Arrays, values: Array, steps: int) -> Array:
    """What `Last()` reads as the one step (1, batch, feature) that a head sees; no step where there are none at all."""
    batch, features = values.shape
    return arrays.reshape(values, (1, batch, features)) if steps != 0 else arrays.zeros((0, batch, features))


def as_read(arrays: Arrays, values: Array) -> Array:
    """The values of that step (batch, feature), zeros where there are no steps; also the pullback of `as_steps`."""
    steps, batch, features = values.shape
    return values[0] if steps else arrays.zeros((batch, features))


def has_step(arrays: Arrays, lengths: Array | None) -> Array | None:
    """The lengths of the rows of that step: 0 for a row of length 0, and 1 for every other."""
    if lengths is None:
        return None
    return arrays.functions["where"](lengths > 1, lengths - lengths + 1, lengths)


def logits(arrays: Arrays, net: Network, params: Tree, values: Array) -> Array:
    """The output layer over the last axis, from the parameters of the network."""
    return dense(arrays, _of_output(net, params), values)


def unlogits(arrays: Arrays, net: Network, params: Tree, values: Array, cotangent: Array) -> tuple[Tree, Array]:
    """The pullback of `logits`: the cotangents of the parameters that it reads, and of its values."""
    own, found = undense(arrays, _of_output(net, params), values, cotangent)
    if isinstance(net.output, Tied):
        return {"output": {"b": own["b"]}, "embedding": {"E": own["W"]}}, found
    return {"output": own}, found


def _of_output(net: Network, params: Tree) -> Tree:
    """The map and the bias of the output layer."""
    if isinstance(net.output, Tied):
        return {"W": params["embedding"]["E"], "b": params["output"]["b"]}
    return params["output"]


def dense(arrays: Arrays, params: Tree, values: Array) -> Array:
    """A map `W` and a bias `b` over the last axis."""
    features = values.shape[-1]
    flat = arrays.reshape(values, (-1, features)) if len(values.shape) == 3 else values
    product = arrays.projection(params["W"], flat.shape[0])(flat) + params["b"]
    return arrays.reshape(product, (*values.shape[:-1], params["W"].shape[0]))


def undense(arrays: Arrays, params: Tree, values: Array, cotangent: Array) -> tuple[Tree, Array]:
    """The pullback of `dense`: the cotangents of its parameters and of its values."""
    rows = 1
    for size in values.shape[:-1]:
        rows *= size
    x = arrays.reshape(values, (rows, values.shape[-1]))
    d = arrays.reshape(cotangent, (rows, cotangent.shape[-1]))
    own = {"W": arrays.matmul(arrays.transpose(d), x), "b": arrays.sum(d, (0,), False)}
    return own, arrays.reshape(arrays.matmul(d, params["W"]), tuple(values.shape))
