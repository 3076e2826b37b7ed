"""Runs the example of PyTorch's workers, in which one worker is killed in the middle of a step, the first time.

Arguments: the rank, and the sum of all workers at which it is killed. Variables: FOLDER, where the training keeps what
it goes on from; perhaps SIGNAL, the number of another signal than SIGKILL, and TIMEOUT, the seconds of the process
group. Gives the error of a worker that is left, and the seconds since it came to the sum; at the end, the checkpoint.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from safetensors.numpy import load_file
from torch import distributed

from backends.torch_backend.group import TorchGroup
from rnnspec.errors import WorkerError
from tests.workers.launching import RESULT, ROOT, give

RANK, AT = map(int, sys.argv[1:3])
DONE = Path("killed")
plain, begin, sums = TorchGroup.sum, distributed.init_process_group, []


def summed(group, arrays, counts):
    sums.append(time.monotonic())
    if len(sums) == AT and group.rank == RANK and not DONE.exists():
        DONE.touch()
        os.kill(os.getpid(), int(os.environ.get("SIGNAL", signal.SIGKILL)))
    return plain(group, arrays, counts)


def initialised(backend):
    """A process group that waits no longer than TIMEOUT."""
    begin(backend, timeout=timedelta(seconds=float(os.environ["TIMEOUT"])))


def main():
    os.chdir(os.environ.get("FOLDER", "."))
    TorchGroup.sum = summed
    if "TIMEOUT" in os.environ:
        distributed.init_process_group = initialised
    sys.path.insert(0, str(ROOT / "docs" / "examples"))
    try:
        runpy.run_path(str(ROOT / "docs" / "examples" / "torch_workers.py"), run_name="__main__")
    except WorkerError as error:
        if RESULT in os.environ:
            give(error=str(error), seconds=time.monotonic() - sums[-1])
        distributed.destroy_process_group()  # PyTorch may abort a process that ends with one
        sys.exit(str(error))
    if RESULT in os.environ:
        give(**load_file("training.safetensors"))


if __name__ == "__main__":
    main()
