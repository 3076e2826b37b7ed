"""A worker of MPI: trains every problem, then meets what goes wrong; writes its results to `FOLDER/rank.npz`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

import rnnspec
from backends.numpy_backend.group import MpiGroup
from rnnspec import updates
from rnnspec.errors import RnnSpecError, WorkerError
from rnnspec.tree import leaves
from tests.workers.mpi_problems import PROBLEMS, trained


def main(folder):
    comm, found = MPI.COMM_WORLD, {}
    for precision in ("f32", "f64"):
        be = rnnspec.get_backend("numpy", precision=precision).across(comm)
        for name, problem in PROBLEMS.items():
            found |= named(f"{precision}.{name}", trained(be, problem))
    found |= named("mean of means", mean_of_means(be, PROBLEMS["lstm"]))
    found |= named("faults", faults(be, PROBLEMS["lstm"]))
    found["silent"] = silent(comm)
    np.savez(Path(folder) / f"{comm.Get_rank()}.npz", **found)


def named(place, tree):
    return {f"{place}.{name}": np.asarray(array) for name, array in leaves(tree)}


def mean_of_means(be, problem):
    """The gradient that every worker's own mean gives when the means are averaged, and the true one."""
    net, params = problem.case.net, problem.case.arrays(be.precision).params
    share = next(problem.shares(be.group.rank, be.group.size, be.precision))
    own, whole = (b.value_and_grad(net, params, *share) for b in (be.alone, be))
    means = [grad / max(own.count, 1) for _, grad in leaves(own.grads.params)]
    averages = [mean / be.group.size for mean in be.group.sum(means, [])[0]]
    return {"wrong": averages, "right": [grad / whole.count for _, grad in leaves(whole.grads.params)]}


def faults(be, problem):
    """What a bad target, and then an input of NaN, of the last rank does to every worker."""
    net, params, last = problem.case.net, problem.case.arrays(be.precision).params, be.group.rank == be.group.size - 1
    inputs, targets, state, lengths = problem.case.batches(1, be.precision)[0]
    rule = rnnspec.policies.SkipNonFinite(updates.SGD(1.0))
    kept = rule.init(params)
    try:
        be.train_step(net, rule, params, kept, inputs, np.full_like(targets, 9 if last else 0), state, lengths)
        said = "nothing"
    except RnnSpecError as error:
        said = f"{type(error).__name__}: {error}"
    done = be.train_step(net, rule, params, kept, inputs * (np.nan if last else 1.0), targets, state, lengths)
    return {"said": said, "skipped": done.rule_state["skipped"], "params": done.params, "before": params}


def silent(comm):
    """What a worker is told where the last one does not take part, in that call and in the next."""
    group, told = MpiGroup(comm.Dup(), seconds=0.3), []
    if group.rank < group.size - 1:
        for _ in range(2):
            try:
                group.sum([], [1])
            except WorkerError as error:
                told.append(str(error))
    comm.Barrier()
    return told


if __name__ == "__main__":
    main(sys.argv[1])
