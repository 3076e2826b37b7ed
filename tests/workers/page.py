"""The commands of docs/launching.md, run as they stand there, each in a folder that looks like the root."""

from __future__ import annotations

import os
import random
import re
import shutil
import socket
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from tests.workers import slurm
from tests.workers.jax_launches import QUICKLY_COMPILED
from tests.workers.launching import BARE, ROOT, ran

BLOCK = re.compile(r"(?<!-->\n)^```bash\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block that is no include."""
NAMES = ("torch.sbatch", "jax.sbatch", "tensorflow.sbatch", "numpy.sbatch", "--checkpoint", "torchrun", "mpiexec",
         "TF_CONFIG", "JAX_PROCESS_ID")  # fmt: skip
COMMANDS = {
    next(name for name in NAMES if name in code): code
    for code in (m["code"] for m in BLOCK.finditer((ROOT / "docs/launching.md").read_text()))
}
"""By the first of the names that each of them has."""
HAS_MPI = find_spec("mpi4py") is not None and shutil.which("mpiexec", path=Path(sys.executable).parent) is not None
COMPILED = {"XLA_FLAGS": QUICKLY_COMPILED}
QUICKER = {"TF_CONFIG": BARE, "tensorflow.sbatch": BARE, "JAX_PROCESS_ID": COMPILED, "jax.sbatch": COMPILED}
"""Variables with which a command is the same and its processes take less time, by the command's name."""
ROUND = re.compile(r"^round (\d) of 3: (\S+) bits a character, validation (\S+)$", re.MULTILINE)


def needs_mpi(name: str) -> bool:
    return name in ("mpiexec", "numpy.sbatch")


def told(name: str, folder: Path, timeout: float = 120.0) -> str:
    """What a command of the page prints; its files are in the folder."""
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "bin").mkdir()
    path = [str(slurm.install(folder / "bin")), str(Path(sys.executable).parent), os.environ["PATH"]]
    port, job = free(lambda n: (n, n + 1), 10_000, 30_000), free(ports_of, 1, 2**20)
    own = {"PATH": os.pathsep.join(path), "PORT": str(port), "SLURM_JOB_ID": str(job), "TF_CPP_MIN_LOG_LEVEL": "2"}
    return ran(["bash", "-euc", COMMANDS[name]], own | QUICKER.get(name, {}), timeout, folder)


def rounds(said: str) -> list[tuple[float, ...]]:
    """The number, the loss and the validation of each round that was printed."""
    return [tuple(map(float, found)) for found in ROUND.findall(said)]


def ports_of(job: int) -> Iterable[int]:
    """Where the workers of a job meet: those of torch.sbatch, of JAX and of TensorFlow."""
    return 20_000 + job % 10_000, 2**16 - 2**12 + job % 2**12, *(20_000 + 16 * (job % 1000) + i for i in (0, 1))


def free(ports: Callable[[int], Iterable[int]], low: int, high: int) -> int:
    """A number whose ports nobody listens on now."""
    while True:
        found = random.randrange(low, high)
        if all(map(is_free, ports(found))):
            return found


def is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind(("", port))
        except OSError:
            return False
    return True
