"""Slurm as far as a job's file sees it: a cluster that is this machine, which has all the nodes that a job asks for.

Under the names `sbatch`, `srun` and `scontrol` on the PATH, it runs a job at once and waits for its end.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

ASKS = re.compile(r"^#SBATCH (\S+)$", re.MULTILINE)


def install(folder: Path) -> Path:
    """Put the three commands into a folder, and give it back."""
    for name in COMMANDS:
        command = folder / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {Path(__file__)} {name} "$@"\n')
        command.chmod(0o755)
    return folder


def sbatch(file: str, *arguments: str) -> int:
    """Run a job's file with what Slurm sets for it; the job's number is given."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--nodes", type=int, required=True)
    asked.add_argument("--ntasks-per-node", type=int, required=True)
    given, _ = asked.parse_known_args(ASKS.findall(Path(file).read_text()))
    own = {"SLURM_NNODES": given.nodes, "SLURM_NTASKS": given.nodes * given.ntasks_per_node,
           "SLURM_JOB_NODELIST": "localhost"}  # fmt: skip
    return subprocess.call(["bash", file, *arguments], env=os.environ | {k: str(v) for k, v in own.items()})


def srun(*arguments: str) -> int:
    """Run a command once for each task, with what Slurm sets for a step; an MPI's tasks are started by `mpiexec`."""
    options = list(takewhile(lambda word: word.startswith("--"), arguments))
    command, size = arguments[len(options) :], int(os.environ["SLURM_NTASKS"])
    if "--mpi=pmix" in options:
        return subprocess.call([str(shutil.which("mpiexec")), "-n", str(size), *command])
    tasks = [subprocess.Popen(command, env=os.environ | step(rank, size)) for rank in range(size)]
    return max(abs(task.wait()) for task in tasks)


def step(rank: int, size: int) -> dict[str, str]:
    """What a task finds in its environment."""
    own = {"PROCID": rank, "LOCALID": rank, "NODEID": 0, "STEP_NUM_TASKS": size, "STEP_TASKS_PER_NODE": size,
           "STEP_NUM_NODES": 1, "STEP_NODELIST": "localhost"}  # fmt: skip
    return {f"SLURM_{name}": str(value) for name, value in own.items()}


def scontrol(*arguments: str) -> int:
    """Write the names of a list of nodes."""
    assert arguments == ("show", "hostnames", "localhost"), arguments
    print("localhost")
    return 0


COMMANDS = {"sbatch": sbatch, "srun": srun, "scontrol": scontrol}


def main(words: Sequence[str]) -> int:
    return COMMANDS[words[0]](*words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
