"""Trains a network on several workers, and goes on from the last checkpoint if there is one.

    torchrun --standalone --nproc-per-node 2 torch_workers.py
"""

from pathlib import Path

import checkpoints
import numpy as np
from torch import distributed

import rnnspec
from rnnspec import Dense, Layer, Network, cells, chain, losses, policies, updates

STEPS, KEPT = 10, Path("training.safetensors")


def batch(step):
    """All rows of a batch, of several lengths: the label of a step says whether the sum up to it is positive."""
    rng = np.random.default_rng(step)
    x = rng.normal(size=(12, 9, 1))
    return x, (np.cumsum(x[..., 0], 0) > 0).astype(int), rng.integers(1, 13, 9)


def keep(be, step, params, state):
    """Write what the training goes on from; one worker does it, since all have the same bits."""
    if be.group.rank == 0:
        checkpoints.keep(KEPT, be.to_numpy({"params": params, "rule": state}), {"step": step})


def main():
    distributed.init_process_group("gloo")
    be = rnnspec.get_backend("torch", precision="f64").across(distributed.group.WORLD)
    rank, size = be.group.rank, be.group.size
    net = Network(1, [Layer(cells.lstm, 16)], output=Dense(2), loss=losses.SoftmaxCrossEntropy())
    rule = chain(policies.ClipByGlobalNorm(1.0), updates.Adam(0.05))
    params, step = net.init(seed=0), 0
    state = rule.init(params)
    if KEPT.exists():
        trees, numbers = checkpoints.restored(KEPT, {"params": params, "rule": state})
        params, state, step = trees["params"], trees["rule"], numbers["step"]
    be.group.agree(params)
    while step < STEPS:
        x, labels, lengths = batch(step)
        mine = slice(rank, None, size)
        done = be.train_step(net, rule, params, state, x[:, mine], labels[:, mine], lengths=lengths[mine])
        params, state, step = done.params, done.rule_state, step + 1
        keep(be, step, params, state)
        if rank == 0:
            print(f"step {step}: {float(done.loss_sum) / done.count:.4f}, the mean over {done.count} steps", flush=True)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
