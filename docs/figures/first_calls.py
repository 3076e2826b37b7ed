"""Measures what first calls cost: time and memory against the steps, and the memory that many shapes leave behind.

    python docs/figures/first_calls.py --json docs/figures/first_calls.json

A GRU of width 2 with its gradients, float32, in each backend's layer and in the framework's own, every figure in a
process of its own. A first call is one of a shape that the process has not seen, after one of 8 steps. Memory is the
process's resident set, beyond what it held before.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Layer, Network, cells

WIDTH, SHORT = 2, 8
STEPS = (1_000, 10_000, 100_000)
BATCHES, BATCH_STEPS = 60, 20
LIMIT = 600
"""Seconds after which a process is given up; its figure is then None."""

Call = Callable[[Any], object]
NET = Network(WIDTH, [Layer(cells.gru, WIDTH)])


def numpy_backend() -> Call:
    be, params = rnnspec.get_backend("numpy"), NET.init(0)
    return lambda x: be.pullback(NET, params, x, np.ones_like(x))


def torch_layer() -> Call:
    return torch_gradients(rnnspec.get_backend("torch").as_layer(NET))


def torch_own() -> Call:
    import torch  # noqa: PLC0415  # one framework in a process

    return torch_gradients(torch.nn.GRU(WIDTH, WIDTH))


def torch_gradients(module: Any) -> Call:
    import torch  # noqa: PLC0415

    return lambda x: module(torch.from_numpy(x))[0].sum().backward()


def keras_layer() -> Call:
    return keras_gradients(rnnspec.get_backend("tensorflow").as_layer(NET))


def keras_own() -> Call:
    import keras  # noqa: PLC0415

    return keras_gradients(keras.layers.GRU(WIDTH, return_sequences=True))


def keras_gradients(layer: Any) -> Call:
    import tensorflow as tf  # noqa: PLC0415

    def call(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(tf.constant(x.swapaxes(0, 1))))
        return [a.numpy() for a in tape.gradient(loss, layer.trainable_variables)]

    return call


def jax_layer() -> Call:
    import jax  # noqa: PLC0415

    init, apply = rnnspec.get_backend("jax").as_layer(NET)
    gradient, params = jax.jit(jax.grad(lambda params, x: apply(params, x)[0].sum())), init(0)
    return lambda x: jax.block_until_ready(gradient(params, x))


def flax_own() -> Call:
    import jax  # noqa: PLC0415
    from flax import nnx  # noqa: PLC0415

    rnn = nnx.RNN(nnx.GRUCell(WIDTH, WIDTH, rngs=nnx.Rngs(0)), time_major=True)
    gradient = nnx.jit(nnx.grad(lambda rnn, x: rnn(x).sum()))
    return lambda x: jax.block_until_ready(gradient(rnn, x))


LAYERS = {
    "rnnspec, numpy": numpy_backend,
    "rnnspec, torch": torch_layer,
    "torch.nn.GRU": torch_own,
    "rnnspec, tensorflow": keras_layer,
    "keras.layers.GRU": keras_own,
    "rnnspec, jax": jax_layer,
    "flax.nnx.RNN": flax_own,
}


def resident() -> int:
    """Bytes that the process holds now."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def inputs(steps: int, batch: int) -> Any:
    return np.random.default_rng(0).normal(size=(steps, batch, WIDTH)).astype(np.float32)


def first(call: Call, steps: int) -> dict[str, float]:
    """Seconds and peak bytes of the first call of so many steps, one row."""
    before, start = resident(), time.perf_counter()
    call(inputs(steps, 1))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "bytes": max(peak - before, 0)}


def kept(call: Call, batches: int) -> dict[str, float]:
    """Seconds that batches of 1, 2, ... rows take in turn, and bytes that are held after them."""
    before, start = resident(), time.perf_counter()
    for batch in range(1, batches + 1):
        call(inputs(BATCH_STEPS, batch))
    return {"seconds": time.perf_counter() - start, "bytes": max(resident() - before, 0)}


MEASURES = {"first": first, "kept": kept}


def one(layer: str, measure: str, size: int) -> dict[str, float]:
    call = LAYERS[layer]()
    call(inputs(SHORT, 1))
    return MEASURES[measure](call, size)


def alone(layer: str, measure: str, size: int) -> dict[str, float] | None:
    """The measure in a process of its own; None where it takes too long, or does not end well."""
    command = [sys.executable, __file__, "--one", layer, measure, str(size)]
    try:
        done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "tensorflow"}, capture_output=True,
                              text=True, timeout=LIMIT, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return None
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None


def row(layer: str) -> dict[str, Any]:
    by_steps = {str(steps): alone(layer, "first", steps) for steps in STEPS}
    return {"layer": layer, "first": by_steps, "kept": alone(layer, "kept", BATCHES)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=3)
    given = parser.parse_args()
    if given.one:
        layer, measure, size = given.one
        print(json.dumps(one(layer, measure, int(size))))
    else:
        given.json.write_text(json.dumps({"batches": BATCHES, "rows": [row(name) for name in LAYERS]}, indent=1) + "\n")
