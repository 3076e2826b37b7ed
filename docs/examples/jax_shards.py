"""A network in a JAX program of one's own: rows over devices, parameters in shards, and checkpoints of them.

    XLA_FLAGS=--xla_force_host_platform_device_count=4 python jax_shards.py shards
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import rnnspec
from rnnspec import Dense, Layer, Network, cells

NET = Network(4, [Layer(cells.lstm, 16)], output=Dense(4))
WHOLE, ROWS, ROWS_IN_TIME = PartitionSpec(), PartitionSpec("rows"), PartitionSpec(None, "rows")


def sums(apply: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """`(params, inputs, labels, lengths) -> ((loss sum, count), gradients)` of all rows, which the devices share."""

    def part(params: Any, inputs: Any, labels: Any, lengths: Any) -> Any:
        def loss(params: Any) -> Any:
            logits, _ = apply(params, inputs, lengths=lengths)
            each = -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[..., None], -1)[..., 0]
            real = jnp.arange(len(inputs))[:, None] < lengths
            return jnp.where(real, each, 0.0).sum(), real.sum()

        return jax.lax.psum(jax.value_and_grad(loss, has_aux=True)(params), "rows")

    places = (WHOLE, ROWS_IN_TIME, ROWS_IN_TIME, ROWS)
    return jax.jit(jax.shard_map(part, mesh=mesh, in_specs=places, out_specs=WHOLE, check_vma=False))


def shardings(params: Any, mesh: Mesh) -> Any:
    """Where each parameter lies: the rows of a map over all devices, where they divide by them."""

    def place(a: Any) -> NamedSharding:
        return NamedSharding(mesh, ROWS if a.shape[0] % mesh.size == 0 else WHOLE)

    return jax.tree.map(place, params)


def write(folder: Path, params: Any) -> None:
    """Write a checkpoint of orbax: every process its own shards."""
    import orbax.checkpoint as ocp  # noqa: PLC0415  # who needs no checkpoint of shards does not wait for it

    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder.absolute(), params)


def read(folder: Path, net: Network, mesh: Mesh) -> Any:
    """Read it onto the devices of a mesh, which may be other ones than it was written from."""
    import orbax.checkpoint as ocp  # noqa: PLC0415

    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, jnp.float32), net.init(seed=0))
    target = jax.tree.map(lambda a, place: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), shapes,
                          shardings(shapes, mesh))  # fmt: skip
    with ocp.StandardCheckpointer() as checkpointer:
        return checkpointer.restore(folder.absolute(), target)


def main(folder: Path) -> None:
    """Sum over rows on devices; then run with parameters in shards, before and after a checkpoint and a file."""
    mesh = Mesh(jax.devices(), ("rows",))
    init, apply = rnnspec.get_backend("jax").as_layer(NET)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(5, 8, 4)).astype(np.float32), rng.integers(0, 4, (5, 8))
    (total, count), _ = sums(apply, mesh)(init(0), x, labels, np.array([5, 2, 0, 1, 4, 3, 5, 5]))
    print(f"{mesh.size} devices: loss {total / count:.3f} over {count} steps")

    run = jax.jit(apply)
    params = jax.device_put(init(0), shardings(init(0), mesh))
    outputs, _ = run(params, x)
    write(folder / "checkpoint", params)

    fewer = read(folder / "checkpoint", NET, Mesh(jax.devices()[:2], ("rows",)))
    rnnspec.save(folder / "network.safetensors", NET, jax.tree.map(np.asarray, fewer))

    _, loaded = rnnspec.load(folder / "network.safetensors")
    again, _ = run(jax.device_put(loaded, shardings(loaded, mesh)), x)
    print(f"from 4 devices to 2, to a file, and to 4: {'the same' if (again == outputs).all() else 'other'} outputs")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
