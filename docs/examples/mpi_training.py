"""Trains an LSTM on several processes, and goes on from its checkpoint to the same bits.

    mpiexec -n 2 python -m mpi4py mpi_training.py mpi_training.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

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


def train(comm: Any, path: Path, steps: int = 60, every: int = 20) -> Any:
    """The parameters after so many steps; rank 0 writes a checkpoint after every few of them."""
    be = rnnspec.get_backend("numpy").across(comm)
    params = be.asarray(NET.init(seed=0))
    trees, begun = {"params": params, "state": be.asarray(RULE.init(params))}, 0
    if path.exists():
        trees, numbers = restored(path, trees)
        begun = numbers["steps"]
    be.group.agree(trees)
    for step in range(begun, steps):
        inputs, targets, lengths = batch(step)
        own = slice(be.group.rank, None, be.group.size)
        done = be.train_step(NET, RULE, trees["params"], trees["state"], inputs[:, own], targets[own],
                             lengths=lengths[own])  # fmt: skip
        trees = {"params": done.params, "state": done.rule_state}
        if be.group.rank == 0 and (step + 1) % every == 0:
            keep(path, trees, {"steps": step + 1})
            print(f"{step + 1} steps: loss {done.loss_sum / done.count:.3f} over {done.count} rows", flush=True)
    return trees["params"]


if __name__ == "__main__":
    from mpi4py import MPI

    train(MPI.COMM_WORLD, Path(sys.argv[1]))
