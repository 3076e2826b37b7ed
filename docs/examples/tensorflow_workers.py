"""Trains a network on the workers of TF_CONFIG, and goes on from the last checkpoint if there is one."""

from pathlib import Path

import checkpoints
import numpy as np
import tensorflow as tf

import rnnspec
from rnnspec import Dense, Layer, Network, cells, chain, losses, policies, updates

STEPS, KEPT = 10, Path("training.safetensors")
NET = Network(1, [Layer(cells.lstm, 16)], output=Dense(2), loss=losses.SoftmaxCrossEntropy())
RULE = chain(policies.ClipByGlobalNorm(1.0), updates.Adam(0.05))


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
    waiting = tf.distribute.experimental.CommunicationOptions(timeout_seconds=600)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=waiting)
    be = rnnspec.get_backend("tensorflow").across(strategy)
    params, step = NET.init(seed=0), 0
    state = RULE.init(params)
    if KEPT.exists():
        trees, numbers = checkpoints.restored(KEPT, {"params": params, "rule": state})
        params, state, step = trees["params"], trees["rule"], numbers["step"]
    be.group.agree(params)
    while step < STEPS:
        x, labels, lengths = batch(step)
        mine = slice(be.group.rank, None, be.group.size)
        done = be.train_step(NET, RULE, params, state, x[:, mine], labels[:, mine], lengths=lengths[mine])
        params, state, step = done.params, done.rule_state, step + 1
        keep(be, step, params, state)
        if be.group.rank == 0:
            print(f"step {step}: {float(done.loss_sum) / done.count:.4f}, the mean over {done.count} steps", flush=True)


if __name__ == "__main__":
    main()
