"""Trains on sequences that are cut in time: each process has a window of the steps of every row.

    torchrun --nproc-per-node 2 long_sequence.py
"""

import numpy as np
from torch import distributed

import rnnspec
from rnnspec.workers.windows import Wavefront

distributed.init_process_group("gloo")
be = rnnspec.get_backend("torch")
sequence = Wavefront(be.across(distributed.group.WORLD))
rank, size = sequence.group.rank, sequence.group.size

net = rnnspec.Network(inputs=8, layers=[rnnspec.Layer(rnnspec.cells.lstm, hidden=16) for _ in range(4)],
                      output=rnnspec.Dense(4), loss=rnnspec.losses.SoftmaxCrossEntropy())  # fmt: skip
rule = rnnspec.chain(rnnspec.policies.ClipByGlobalNorm(1.0), rnnspec.updates.Adam(0.01))
rng = np.random.default_rng(0)
x, labels = rng.normal(size=(64, 5, 8)), rng.integers(0, 4, (64, 5))  # time, batch
lengths = np.array([64, 20, 3, 64, 41])  # of the whole rows
window = slice(64 * rank // size, 64 * (rank + 1) // size)

params, losses = net.init(seed=0), []
kept = rule.init(params)
for _ in range(3):
    step = sequence.value_and_grad(net, params, x[window], labels[window], lengths=lengths)
    trained = be.update(net, rule, params, kept, step)
    params, kept = trained.params, trained.rule_state
    losses.append(float(step.loss_sum) / step.count)
if rank == 0:
    print(" ".join(f"{loss:.4f}" for loss in losses))
distributed.destroy_process_group()
