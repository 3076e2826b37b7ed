"""The example of MPI where the last worker is killed in the middle of a sum: `mpi_killed.py FOLDER CHECKPOINT SENDS`.

It is killed after so many messages, and writes the time to `FOLDER/killed`; without SENDS everybody lives.
`FOLDER/rank.npz` has the parameters of each worker that reaches the end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mpi4py import MPI

from rnnspec.tree import leaves
from tests.workers.launching import ROOT

sys.path.insert(0, str(ROOT / "docs/examples"))
from mpi_training import train  # an example imports the others by name


@dataclass
class Mortal:
    """A communicator whose process is killed when it has sent so many messages."""

    comm: Any
    left: int
    folder: Path

    def __getattr__(self, name):
        return getattr(self.comm, name)

    def Isend(self, *given):  # noqa: N802  # the name of MPI
        if not self.left:
            (self.folder / "killed").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return self.comm.Isend(*given)


def main(folder, checkpoint, *sends):
    comm, folder = MPI.COMM_WORLD, Path(folder)
    last = comm.Get_rank() == comm.Get_size() - 1
    params = train(Mortal(comm, int(sends[0]), folder) if sends and last else comm, Path(checkpoint))
    np.savez(folder / f"{comm.Get_rank()}.npz", **dict(leaves(params)))


if __name__ == "__main__":
    main(*sys.argv[1:])
