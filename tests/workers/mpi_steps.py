"""A worker of MPI: trains every problem, then meets what goes wrong; writes its results to `FOLDER/rank.npz`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from mpi4py import MPI

import rnnspec
from backends.numpy_backend.group import MpiGroup
from rnnspec.errors import WorkerError
from tests.workers.asked import faults, mean_of_means
from tests.workers.problems import ANEW, PROBLEMS, trained
from tests.workers.trees import named


def main(folder):
    comm, found = MPI.COMM_WORLD, {}
    for precision in ("f32", "f64"):
        be = rnnspec.get_backend("numpy", precision=precision).across(comm)
        for name, problem in PROBLEMS.items():
            found |= named(f"{precision}.{name}", trained(be, problem, ANEW))
    found |= named("mean of means", mean_of_means(be, PROBLEMS["lstm"], ANEW))
    found |= named("faults", faults(be, PROBLEMS["gla"], ANEW))
    found["silent"] = silent(comm)
    np.savez(Path(folder) / f"{comm.Get_rank()}.npz", **found)


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
