"""Launches workers of MPI as users do."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tests.workers.launching import ran

MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
INSTALLED = MPIEXEC is not None and find_spec("mpi4py") is not None


def launched(script, size, *arguments):
    """What `mpiexec` prints; an uncaught error of one worker ends all, since they run under `-m mpi4py`."""
    command = [MPIEXEC, "-n", str(size), sys.executable, "-m", "mpi4py", f"tests/workers/{script}.py"]
    return ran([*command, *map(str, arguments)])


def given(folder, size):
    """What each worker wrote into the folder."""
    found = []
    for rank in range(size):
        with np.load(folder / f"{rank}.npz") as arrays:
            found.append(dict(arrays))
    return found
