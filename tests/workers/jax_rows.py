"""One process of JAX with two devices: the gradients of programs of one's own, in which each has half of the rows."""

from __future__ import annotations

import jax
import numpy as np

import rnnspec
from rnnspec import Path
from tests.test_jax_transforms import HELD, LENGTHS, POLICY, SHARDED, compiled, drawn, loss_of
from tests.workers.launching import give
from tests.workers.trees import named


def main():
    """NumPy's parameters come first, before any other call."""
    loss = over_rows(loss_of(rnnspec.get_backend("jax").as_layer(POLICY).apply), False)
    first = loss(*drawn(POLICY)[:2], None, None)
    give(loss=first, **{name: a for held in HELD for name, a in gradients(held).items()})


def gradients(held):
    """Of parameters and inputs: by the network's number, whether rows have lengths, and whether JAX checks what varies.

    They are named as the test does.
    """
    found = {}
    for number, net in enumerate(SHARDED):
        be = HELD[held](rnnspec.get_backend("jax"))
        if be.path is Path.FRAMEWORK and net is POLICY:
            continue
        loss, (params, x, state) = loss_of(be.as_layer(net).apply), drawn(net)
        for given, checks in (((params, x, None, None), (True,)), ((params, x, state, LENGTHS), (True, False))):
            for check in checks:
                place = f"{held}.{number}.{given[-1] is not None}.{check}"
                found |= named(place, compiled(jax.grad(over_rows(loss, check), (0, 1)))(*given))
    return found


def over_rows(loss, check):
    """The loss with the rows on both devices."""
    mesh, P = jax.sharding.Mesh(np.array(jax.devices()), ("rows",)), jax.sharding.PartitionSpec

    def run(params, x, state, lengths):
        specs = (P(), P(None, "rows"), None if state is None else P("rows"), None if lengths is None else P("rows"))
        mapped = jax.shard_map(lambda *given: jax.lax.psum(loss(*given), "rows"), mesh=mesh, in_specs=specs,
                               out_specs=P(), check_vma=check)  # fmt: skip
        return mapped(params, x, state, lengths)

    return run


if __name__ == "__main__":
    main()
