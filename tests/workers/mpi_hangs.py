"""Workers of MPI of which the last one stops, as on a machine that hangs; the others wait a second for it."""

from __future__ import annotations

import os
import signal

import numpy as np
from mpi4py import MPI

import rnnspec
from backends.numpy_backend.group import MpiGroup


def main():
    be = rnnspec.get_backend("numpy").across(MpiGroup(MPI.COMM_WORLD, seconds=1.0))
    be.group.gathered(0)
    if be.group.rank == be.group.size - 1:
        os.kill(os.getpid(), signal.SIGSTOP)
    be.group.agree({"w": np.zeros(3)})


if __name__ == "__main__":
    main()
