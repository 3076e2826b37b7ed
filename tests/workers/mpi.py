"""Launches workers of MPI as users do, and judges what they give."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from conformance.tolerance import PROFILES, train, value_and_grad, verdict
from tests.workers.launching import ran
from tests.workers.mpi_problems import PROBLEMS, STEPS

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


def part(found, place):
    """The arrays under a dotted name, without it."""
    return {name.removeprefix(place).removeprefix("."): array for name, array in found.items()
            if f"{name}.".startswith(f"{place}.")}  # fmt: skip


def verdicts(found, name, precision):
    """The verdicts on a problem that a worker of `mpi_steps.py` trained, beside the reference of one process."""
    case, rule, profile = PROBLEMS[name].case, PROBLEMS[name].rule, PROFILES[precision]
    own = part(found, f"{precision}.{name}")
    yield verdict(part(own, "grads"), value_and_grad(case, profile).at("grads.params"))
    reference = train(case, rule, STEPS, profile)
    for step in ("0", str(STEPS - 1)):
        for what in ("loss_sum", "count", "params", "rule_state"):
            yield verdict(part(own, f"{step}.{what}"), reference.at(f"{step}.{what}"))
