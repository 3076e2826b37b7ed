"""One process of JAX with four devices: rows over them, and a JAX program of one's own with shards and checkpoints."""

from __future__ import annotations

import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import rnnspec
from rnnspec import Layer, cells
from rnnspec.tree import flat, tree_map
from tests.workers.jax_spread import SPREAD, stepped
from tests.workers.launching import ROOT, give
from tests.workers.problems import classes, leaky
from tests.workers.trees import named

sys.path.insert(0, str(ROOT / "docs/examples"))
import jax_shards

LAYERS = {"own": Layer(leaky, 8), "gla": Layer(cells.gla, 4)}
LENGTHS = np.array([5, 1, 0, 5, 2, 5, 4, 1])


def main():
    mesh, found = Mesh(jax.devices(), ("rows",)), {}
    for name, one in SPREAD.items():
        be = one.held(rnnspec.get_backend("jax", precision=one.precision).across(mesh))
        found |= named(name, stepped(be, one.case))
    for name, layer in LAYERS.items():
        found |= named(f"layers.{name}", of_layers(mesh, classes(layer)))
    give(**found, **named("wrong", mistakes(mesh, classes(LAYERS["own"]))), **named("shards", in_shards(mesh)))


def of_layers(mesh, net):
    """The loss, the count and the gradients of a program of one's own."""
    apply = rnnspec.get_backend("jax").as_layer(net).apply
    (loss, count), grads = jax_shards.sums(apply, mesh)(*drawn(net), LENGTHS)
    return {"loss_sum": loss, "count": count, "grads": grads}


def drawn(net):
    """Parameters so large that rows have different losses, inputs and labels."""
    rng = np.random.default_rng(0)
    params = tree_map(lambda a: np.float32(5 * a), net.init(0))
    return params, rng.normal(size=(5, 8, 3)).astype(np.float32), rng.integers(0, 4, (5, 8))


def mistakes(mesh, net):
    """The mean of the devices' means, and the sum of gradients that JAX has already summed."""
    apply = rnnspec.get_backend("jax").as_layer(net).apply
    params, x, labels = drawn(net)
    rows, P = PartitionSpec(None, "rows"), PartitionSpec

    def part(params, x, labels, lengths):
        def loss(params):
            each = -jnp.take_along_axis(jax.nn.log_softmax(apply(params, x, lengths=lengths)[0]), labels[..., None], -1)
            return jnp.where(jnp.arange(5)[:, None] < lengths, each[..., 0], 0.0).sum()

        value, grads = jax.value_and_grad(loss)(params)
        mean = value / jnp.maximum(jnp.minimum(lengths, 5).sum(), 1)
        return jax.lax.pmean(mean, "rows"), jax.lax.psum(grads, "rows")

    checked = jax.jit(jax.shard_map(part, mesh=mesh, in_specs=(P(), rows, rows, P("rows")), out_specs=P()))
    mean, grads = checked(params, x, labels, LENGTHS)
    return {"mean of means": mean, "summed twice": grads["output"]["b"]}


def in_shards(mesh):
    """The loss and the gradients of parameters in shards, and of whole ones."""
    net = classes(Layer(cells.lstm, 8))
    apply = rnnspec.get_backend("jax").as_layer(net).apply
    params, x, _ = drawn(net)
    gradient = jax.jit(jax.value_and_grad(lambda params: (apply(params, x, lengths=LENGTHS)[0] ** 2).sum()))
    spread = jax.device_put(params, jax_shards.shardings(params, mesh))
    shapes = [a.sharding.shard_shape(a.shape) for a in flat(spread["layers"])]
    return {"found": gradient(spread), "right": gradient(params), "rows": [shape[0] for shape in shapes]}


if __name__ == "__main__":
    main()
