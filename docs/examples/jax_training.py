"""Trains an LSTM on several processes of JAX, and goes on from its checkpoint to the same bits.

    export JAX_COORDINATOR_ADDRESS=localhost:9911 JAX_NUM_PROCESSES=2
    JAX_PROCESS_ID=0 python jax_training.py training.safetensors &
    JAX_PROCESS_ID=1 python jax_training.py training.safetensors
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
from checkpoints import keep, restored

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells, losses, policies, updates

NET = Network(4, [Layer(cells.lstm, 16)], read=Last(), output=Dense(4), loss=losses.SoftmaxCrossEntropy())
RULE = rnnspec.chain(policies.ClipByGlobalNorm(1.0), updates.Adam(2e-2))


def batch(step: int) -> tuple[Any, Any, Any]:
    """64 rows of up to 12 steps of noise, the numbers to name, each in its row's first step, and the rows' lengths."""
    rng = np.random.default_rng(step)
    numbers, lengths = rng.integers(0, 4, 64), rng.integers(1, 13, 64)
    inputs = rng.normal(0.0, 0.1, (12, 64, 4))
    inputs[0] += np.eye(4)[numbers]
    return inputs.astype(np.float32), numbers, lengths


def train(mesh: jax.sharding.Mesh, path: Path, steps: int = 60, every: int = 20) -> Any:
    """The parameters after so many steps; rank 0 writes a checkpoint after every few of them."""
    be = rnnspec.get_backend("jax").across(mesh)
    params = be.asarray(NET.init(seed=0))
    trees, begun = {"params": params, "state": be.asarray(RULE.init(params))}, 0
    if path.exists():
        trees, numbers = restored(path, trees)
        begun = numbers["steps"]
    be.group.agree(be.to_numpy(trees))
    for step in range(begun, steps):
        inputs, targets, lengths = batch(step)
        own = slice(be.group.rank, None, be.group.size)
        done = be.train_step(NET, RULE, trees["params"], trees["state"], inputs[:, own], targets[own],
                             lengths=lengths[own])  # fmt: skip
        trees = {"params": done.params, "state": done.rule_state}
        if be.group.rank == 0 and (step + 1) % every == 0:
            keep(path, be.to_numpy(trees), {"steps": step + 1})
            print(f"{step + 1} steps: loss {done.loss_sum / done.count:.2f} over {done.count} rows", flush=True)
    return trees["params"]


def main(path: Path, patience: int = 10) -> None:
    """Train; JAX ends this process where another has been silent for so many seconds."""
    size, rank = int(os.environ["JAX_NUM_PROCESSES"]), int(os.environ["JAX_PROCESS_ID"])
    jax.distributed.initialize(num_processes=size, process_id=rank, heartbeat_timeout_seconds=patience)
    train(jax.sharding.Mesh(jax.devices(), ("rows",)), path)
    jax.distributed.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
