"""A worker of TensorFlow, as TF_CONFIG says: trains every problem, meets what goes wrong, and at last loses a worker.

    tensorflow_steps.py RANK [KILL|STOP|LATE]

The worker of that rank sends a signal to itself, or only does not come to the last exchange. Each gives what it found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np

import rnnspec
from rnnspec import Dropout, Key, Layer, Network, cells
from rnnspec.losses import SquaredError
from tests.workers.asked import faults, mean_of_means, said
from tests.workers.launching import give
from tests.workers.problems import ONCE_IDLE, PROBLEMS, trained
from tests.workers.tensorflow_launches import TRAINED
from tests.workers.trees import named

ELAPSED = 30.0
"""Seconds after which a worker that lives, but does not call, is told of."""
GONE = 60
"""Seconds after which a worker that stopped itself is killed, and one that does not come ends."""


def main(lost, how="KILL"):
    import tensorflow as tf  # noqa: PLC0415  # before it a worker imports nothing that starts TensorFlow

    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=ELAPSED)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    be, found = rnnspec.get_backend("tensorflow").across(strategy), {}
    for name in TRAINED:
        found |= named(name, trained(be, PROBLEMS[name], ONCE_IDLE))
    for precision in ("f64", "f32", "bf16", "f16"):
        found |= named(precision, sums(rnnspec.get_backend("tensorflow", precision=precision).across(strategy)))
    found |= named("mean of means", mean_of_means(be, PROBLEMS["lstm"], ONCE_IDLE))
    found |= named("faults", faults(be, PROBLEMS["delta"], ONCE_IDLE))
    found |= named("noise", noisy(be))
    found |= named("ratio", ratio(be, PROBLEMS["lstm"]))
    if be.group.rank == int(lost):
        give(**found)
        leave(how)
    else:
        give(**found, told=said(lambda: be.group.sum([], [1])))


def leave(how):
    if how == "LATE":
        time.sleep(GONE)
    else:
        subprocess.Popen(["sh", "-c", f"sleep {GONE}; kill -9 {os.getpid()}"])
        os.kill(os.getpid(), signal.Signals[f"SIG{how}"])


def sums(be):
    """Sums of numbers whose float32 sum is exact, and of counts near the largest."""
    rank = be.group.rank
    arrays = be.asarray([np.full((2, 3), 1.0 + rank), np.asarray(2.0**-9 if rank else 1.0), np.zeros((0, 4))])
    found, counts = be.group.sum(arrays, [2**46 + rank, 4095])
    be.group.agree(be.to_numpy(found))
    return {"arrays": be.to_numpy(found), "counts": np.array(counts), "dtypes": [str(a.dtype.name) for a in found]}


def noisy(be):
    """A loss with the masks of the whole batch, of which every worker has some rows."""
    net = Network(3, [Layer(cells.elman, 4), Dropout(0.5)], loss=SquaredError())
    inputs = np.linspace(-1.0, 1.0, 2 * 7 * 3).reshape(2, 7, 3)
    own = np.array_split(np.arange(7), be.group.size)[be.group.rank]
    step = be.value_and_grad(net, net.init(0), inputs[:, own], np.zeros((2, 7, 4))[:, own], key=Key(3))
    return {"loss_sum": step.loss_sum}


def ratio(be, problem):
    """How much longer a training step with its exchange takes than one alone: the medians of several."""
    net, params = problem.case.net, be.asarray(problem.case.arrays(be.precision).params)
    share, kept = problem.shares(ONCE_IDLE, be.group, be.precision)[0], problem.rule.init(params)

    def seconds(own):
        begun = time.perf_counter()
        own.train_step(net, problem.rule, params, kept, *share).loss_sum.numpy()
        return time.perf_counter() - begun

    alone, together = (np.median([seconds(own) for _ in range(30)]) for own in (be.alone, be))
    return {"alone": alone, "together": together}


if __name__ == "__main__":
    main(*sys.argv[1:])
