"""Four workers of JAX: ten steps beside one process, and a training of which a worker is killed at any step."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.workers.jax_launches import TRAINED, environment, judgement
from tests.workers.launching import ended, launched

SIZE, STEPS, TIMEOUT = 4, 60, 300.0
NOBODY = "-1"


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How far the steps are from the reference, and what came of the kills; on JAX, whatever `names` asks for."""
    rng = random.Random(seed)
    judged = [told for found in [launched("tests/workers/jax_steps.py", SIZE, environment(SIZE), TIMEOUT)[0]]
              for name in TRAINED for told in judgement(found, name).values()]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = trained(Path(folder) / "undisturbed")
        kills = [killed(Path(folder) / str(number), str(rng.randrange(SIZE)), str(rng.randrange(1, STEPS)), undisturbed)
                 for number in range(count)]  # fmt: skip
    failed, unnamed = sum(not told.passed for told in judged), sum(kill["unnamed"] for kill in kills)
    differing = sum(kill["differs"] for kill in kills)
    return {"workers": SIZE, "kills": count, "seed": seed, "worst_kappa": round(max(told.kappa for told in judged), 3),
            "killed": ", ".join(f"rank {kill['rank']} at step {kill['step']}" for kill in kills), "failed": failed,
            "most_seconds_to_the_end": max(kill["seconds"] for kill in kills), "unnamed": unnamed,
            "differing": differing, "holds": not failed and not unnamed and not differing}  # fmt: skip


def trained(checkpoint: Path) -> bytes:
    """The last checkpoint of a training, from the one that is there to the end."""
    launched("tests/workers/jax_killed.py", SIZE, environment(SIZE), TIMEOUT, [str(checkpoint), NOBODY, NOBODY])
    return checkpoint.read_bytes()


def killed(checkpoint: Path, rank: str, step: str, undisturbed: bytes) -> dict[str, Any]:
    """What came of a kill: the workers that were not told who was killed, or went on, and whether a bit differs."""
    ends = ended("tests/workers/jax_killed.py", SIZE, environment(SIZE), TIMEOUT, [str(checkpoint), rank, step])
    victim, others = ends[int(rank)], [end for end in ends if end.rank != int(rank)]
    told = [end.status != 0 and named(end.said, rank) for end in others]
    return {"rank": rank, "step": step, "unnamed": told.count(False), "differs": trained(checkpoint) != undisturbed,
            "seconds": round(max(end.seconds for end in others) - victim.seconds, 1)}  # fmt: skip


def named(said: str, rank: str) -> bool:
    """Whether JAX says which process does not answer; it calls process 0 the leader."""
    return f"Task {rank} heartbeat timeout" in said or f"(stopped sending heartbeats):\n{rank}\n" in said \
        or (rank == "0" and "leader task" in said)
