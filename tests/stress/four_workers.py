"""Four workers of MPI: ten steps beside one process, and a training of which one worker is killed at any message."""

from __future__ import annotations

import random
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.tolerance import PROFILES
from tests.workers.mpi import given, launched
from tests.workers.problems import PROBLEMS, verdicts
from tests.workers.trees import part

SIZE = 4
MESSAGES = 6
"""Those that a worker sends in one sum: its parts to three others, and its sums to them."""
SUMS = 61
"""Those of the training: one at its beginning, and one in each step."""


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How far the steps are from the reference, and what came of the kills; on NumPy, whatever `names` asks for."""
    rng, kills = random.Random(seed), []
    with tempfile.TemporaryDirectory() as folder:
        kappas = worst(Path(folder))
        undisturbed = parameters(Path(folder), Path(folder) / "undisturbed")
        for number in range(count):
            own = Path(folder) / str(number)
            own.mkdir()
            kills.append(killed(own, rng.randrange(MESSAGES * SUMS), undisturbed))
    return {"workers": SIZE, "kills": count, "seed": seed,
            "worst_kappa": kappas, "killed_at_messages": ", ".join(str(kill["message"]) for kill in kills),
            "steps_in_checkpoints": ", ".join(str(kill["steps"]) for kill in kills),
            "most_seconds_to_the_end": max(kill["seconds"] for kill in kills),
            "differing": sum(kill["differs"] for kill in kills),
            "holds": not any(kill["differs"] for kill in kills)}  # fmt: skip


def worst(folder: Path) -> dict[str, float]:
    """The worst verdict of each precision, all of which pass."""
    launched("mpi_steps", SIZE, folder)
    first, found = given(folder, SIZE)[0], {}
    for precision in ("f32", "f64"):
        told = [verdict for name, problem in PROBLEMS.items()
                for verdict in verdicts(part(first, f"{precision}.{name}"), problem, PROFILES[precision]).values()]
        failed = [str(verdict) for verdict in told if not verdict.passed]
        if failed:
            raise RuntimeError("\n".join(failed))
        found[precision] = round(max(verdict.kappa for verdict in told), 3)
    return found


def parameters(folder: Path, checkpoint: Path) -> list[dict[str, bytes]]:
    """The bits of each worker's parameters after a training from a checkpoint, if there is one, to the end."""
    launched("mpi_killed", SIZE, folder, checkpoint)
    return [{name: array.tobytes() for name, array in found.items()} for found in given(folder, SIZE)]


def killed(folder: Path, message: int, undisturbed: list[dict[str, bytes]]) -> dict[str, Any]:
    """What came of a kill of the last worker before one of its messages."""
    checkpoint, said = folder / "checkpoint", ""
    try:
        launched("mpi_killed", SIZE, folder, checkpoint, message)
    except AssertionError as error:
        said = str(error)
    seconds = time.time() - float((folder / "killed").read_text())
    steps = max((int(number) for number in re.findall(r"(\d+) steps", said)), default=0)
    if list(folder.glob("*.npz")):
        raise RuntimeError(f"a worker went on after another was killed:\n{said}")
    return {"message": message, "steps": steps, "seconds": round(seconds, 2),
            "differs": parameters(folder, checkpoint) != undisturbed}  # fmt: skip
