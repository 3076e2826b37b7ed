"""One process of JAX with four devices: rows over them, and a JAX program of one's own with shards and checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import rnnspec
from rnnspec import Layer, cells
from rnnspec.tree import flat, tree_map
from tests.workers.jax_problems import DEALT, KEY, NOISY, SPREAD, leaky, named, stepped
from tests.workers.launching import ROOT, give
from tests.workers.mpi_problems import classes, trained

sys.path.insert(0, str(ROOT / "docs/examples"))
import jax_shards

LAYERS = {"own": Layer(leaky, 8), "gla": Layer(cells.gla, 4)}
LENGTHS = np.array([5, 1, 0, 5, 2, 5, 4, 1])


def main(folder):
    mesh, found = Mesh(jax.devices(), ("rows",)), {}
    for name, one in SPREAD.items():
        be = one.held(rnnspec.get_backend("jax", precision=one.precision).across(mesh))
        found |= named(name, stepped(be, one.case))
    wide = rnnspec.get_backend("jax", precision="f64").across(mesh)
    found |= named("noisy", stepped(wide, NOISY, key=KEY))
    found |= named("trained", wide.to_numpy(trained(wide, DEALT["own"])))
    for name, layer in LAYERS.items():
        found |= named(f"layers.{name}", of_layers(mesh, classes(layer)))
    found |= in_shards(mesh, folder)
    give(**found)


def of_layers(mesh, net):
    """Sums of a program of one's own by four devices, and by one; and what two mistakes give."""
    apply = rnnspec.get_backend("jax").as_layer(net).apply
    params, x, labels = drawn(net)
    alone = Mesh(jax.devices()[:1], ("rows",))
    (loss, count), grads = jax_shards.sums(apply, mesh)(params, x, labels, LENGTHS)
    (one, real), own = jax_shards.sums(apply, alone)(params, x, labels, LENGTHS)
    return {"found": [loss, count, grads], "right": [one, real, own]}


def drawn(net):
    """Parameters so large that rows have different losses, inputs and labels."""
    rng = np.random.default_rng(0)
    params = tree_map(lambda a: np.float32(5 * a), net.init(0))
    return params, rng.normal(size=(5, 8, 3)).astype(np.float32), rng.integers(0, 4, (5, 8))


def mistakes(mesh):
    """The mean of the devices' means, and the sum of gradients that JAX has already summed."""
    net = classes(LAYERS["own"])
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


def in_shards(mesh, folder):
    """Outputs and gradients by parameters in shards, and the parameters after two checkpoints and a file."""
    net = jax_shards.NET
    init, apply = rnnspec.get_backend("jax").as_layer(net)
    x = np.random.default_rng(1).normal(size=(5, 8, 4)).astype(np.float32)

    def value(params):
        return (apply(params, x, lengths=LENGTHS)[0] ** 2).sum()

    whole = init(0)
    params = jax.device_put(whole, jax_shards.shardings(whole, mesh))
    gradient = jax.jit(jax.value_and_grad(value))
    found = {"in shards": gradient(params), "at one place": gradient(whole)}
    jax_shards.write(Path(folder) / "four", params)
    again = jax_shards.read(Path(folder) / "four", net, Mesh(jax.devices()[:2], ("rows",)))
    devices = {len(a.sharding.device_set) for a in flat(again)}
    assert devices == {2}, devices
    rnnspec.save(Path(folder) / "network.safetensors", net, tree_map(np.asarray, again))
    return named("shards", found) | named("written", whole) | named("wrong", mistakes(mesh))


if __name__ == "__main__":
    main(sys.argv[1])
