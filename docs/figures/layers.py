"""Times rnnspec's layers beside the framework's own, each as people call it: in a program of the framework's.

    python docs/figures/layers.py --backend jax --json docs/figures/layers-jax.json

`be.as_layer(net)` looks at its arguments once, when the program is traced, where `be.run` looks at every call. In JAX
both are compiled by `jax.jit`; in TensorFlow by `tf.function`, with XLA or without, whichever is faster; in PyTorch
both are modules. Float32, medians of rounds in random order, judged by the paired rule of the speed table.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import track
from rounds import interleaved

import rnnspec
from conformance.speed.paired import judge
from conformance.speed.peers import PEERS
from conformance.speed.row import INPUTS, Row
from conformance.tiers import BOTH, CELLS, MIDDLE, ONE, SMALL

ROUNDS = 15

Call = Callable[[int], None]


def jax_layer(be: Any, row: Row) -> Call:
    import jax  # noqa: PLC0415  # one framework in a process
    import jax.numpy as jnp  # noqa: PLC0415

    apply = be.as_layer(row.network).apply
    params = be.asarray(row.network.init(0))
    given, pulled = [jnp.asarray(x) for x in row.inputs()], jnp.asarray(row.cotangent(row.network.features))

    def train(own: Any, x: Any) -> Any:
        _, pullback = jax.vjp(lambda *args: apply(*args)[0], own, x)
        return pullback(pulled)

    call = jax.jit({"forward": apply, "train": train}[row.mode])
    return lambda count: jax.block_until_ready(call(params, given[count % INPUTS])) and None


def torch_layer(be: Any, row: Row) -> Call:
    from conformance.speed.peers.torch_peer import timed  # noqa: PLC0415

    return timed(row, be.as_layer(row.network))


def keras_layer(be: Any, row: Row) -> Call:
    from conformance.speed.peers.keras_layers import arrays  # noqa: PLC0415
    from conformance.speed.peers.keras_tensorflow_peer import timed  # noqa: PLC0415

    layer = be.as_layer(row.network)
    layer.build(arrays(row)[0][0].shape)

    class Returning:
        """The layer as the peer is called: outputs and states."""

        trainable_variables = layer.trainable_variables

        def __call__(self, x: Any) -> tuple[Any, ...]:
            outputs, state = layer.with_state(x)
            return (outputs, *state[0]["forward"].values())

    return timed(row, Returning())


LAYERS = {"jax": jax_layer, "torch": torch_layer, "tensorflow": keras_layer}


def measured(name: str, row: Row) -> list[dict[str, Any]]:
    """The row against each peer."""
    rivals = {peer.layers[row.declared]: importlib.import_module(peer.module).make(row)
              for peer in PEERS[name] if row.declared in peer.layers}  # fmt: skip
    call = LAYERS[name](rnnspec.get_backend(name), row)
    subject, again, times = interleaved(call, rivals, ROUNDS)
    own = {"cell": row.cell, "shape": asdict(row.shape), "mode": row.mode, "seconds": min(subject)}
    return [{**own, "peer": peer, **asdict(judge(subject, again, other))}
            for peer, other in times.items()]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=LAYERS, required=True)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    os.environ["KERAS_BACKEND"] = given.backend
    asked = [Row(cell, shape, mode, "f32") for cell in CELLS for shape in (ONE, SMALL, MIDDLE) for mode in BOTH]
    rows = [found for row in track(asked, given.backend) for found in measured(given.backend, row)]
    given.json.write_text(json.dumps({"backend": given.backend, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
