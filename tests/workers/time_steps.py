"""A worker with a window of time: the example of the page, then each way to run windows."""

import os
import runpy

import numpy as np

import rnnspec
from conformance.cases import Case
from rnnspec import Dense, Layer, LayerNorm, Network, cells, losses
from rnnspec.errors import TargetError, WorkerError
from rnnspec.tree import leaves
from rnnspec.workers.summaries import Summaries
from rnnspec.workers.windows import Chain, Wavefront
from tests.workers.launching import ROOT, give

STEPS, ROWS, CUT = 7, 4, 3
"""Rank 0 has the first three steps, rank 1 the other four."""


def network(*layers):
    return Network(inputs=3, layers=layers, output=Dense(3), loss=losses.SoftmaxCrossEntropy())


CALLS = {
    "chain": (Chain, network(Layer(cells.lstm, 3, learned_state=True))),
    "wavefront": (Wavefront, network(Layer(cells.lstm, 3), LayerNorm(), Layer(cells.gru, 3, residual=True))),
    "summaries": (Summaries, network(Layer(cells.gla, {"S.rows": 3, "S.columns": 2}))),
}


def case(net):
    return Case(net, STEPS, ROWS, (7, 2, 0, 5), 3, resets=0.2)


def stepped(backend, kind, net, window, labels=None):
    a = case(net).arrays()
    labels = a.targets[window] if labels is None else labels
    return kind(backend).value_and_grad(net, a.params, a.inputs[window], labels, a.state, lengths=a.lengths,
                                        resets=a.resets[window])  # fmt: skip


def main():
    from torch import distributed  # noqa: PLC0415  # the test reads the calls where there is no torch

    found = {"example": runpy.run_path(str(ROOT / "docs/examples/long_sequence.py"))["losses"]}
    distributed.init_process_group("gloo", init_method=os.environ["NEXT"], rank=int(os.environ["RANK"]), world_size=2)
    backend = rnnspec.get_backend("torch", precision="f64").across(distributed.group.WORLD)
    rank = backend.group.rank
    window = slice(0, CUT) if rank == 0 else slice(CUT, STEPS)
    for name, (kind, net) in CALLS.items():
        step = stepped(backend, kind, net, window)
        parts = {"params": step.grads.params, "first": step.grads.state, "state": step.state}
        numbers = {"loss_sum": step.loss_sum, "inputs": step.grads.inputs, **parts}
        found[f"{name} count"] = step.count
        found |= {f"{name} {where}": a for where, a in leaves(backend.to_numpy(numbers))}
    try:
        stepped(backend, *CALLS["chain"], window, np.full((CUT, ROWS), 9) if rank == 0 else None)
    except (TargetError, WorkerError) as error:
        found["error"] = f"{type(error).__name__}: {error}"
    give(**found)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
