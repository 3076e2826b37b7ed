"""Four workers of PyTorch: ten steps beside one process, and a training of which one worker is killed, or stops."""

from __future__ import annotations

import random
import signal
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from conformance.tolerance import PROFILES, Verdict
from tests.workers.launching import ended, launched
from tests.workers.problems import PROBLEMS, verdicts
from tests.workers.rendezvous import rendezvous
from tests.workers.trees import part

SIZE, SUMS = 4, 11
"""The training has a sum at its beginning, and one in each of ten steps."""
TIMEOUT, LONGEST = 8, 60.0
"""Seconds of the process group, and those in which a launch ends by which nobody hangs."""
STOPS = 4
"""Of so many workers one stops, as if its machine hung; the others are killed."""


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How far the steps are from the oracle, and what became of the losses; on PyTorch, whatever `names` asks for."""
    rng, judged = random.Random(seed), judgement()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = trained(Path(folder))
        losses = [lost(Path(folder) / str(number), rng.randrange(SIZE), rng.randint(1, SUMS), number % STOPS == 1,
                       undisturbed) for number in range(count)]  # fmt: skip
    failed = sum(not told.passed for told in judged)
    unnamed, differing = (sum(loss[name] for loss in losses) for name in ("unnamed", "differs"))
    killed, stopped = ([loss for loss in losses if loss["stops"] is stops] for stops in (False, True))
    return {"workers": SIZE, "lost": len(losses), "seed": seed,
            "worst_kappa": round(max(told.kappa for told in judged), 3), "failed": failed,
            "killed": listed(killed), "stopped": listed(stopped), "unnamed": unnamed, "differing": differing,
            "most_seconds_until_told": longest(killed), "most_seconds_until_told_of_one_that_stops": longest(stopped),
            "timeout": TIMEOUT, "holds": not failed and not unnamed and not differing}  # fmt: skip


def judgement() -> list[Verdict]:
    """Of each problem and precision, with the numbers of all workers."""
    found = launched("tests/workers/torch_worker.py", SIZE, rendezvous(SIZE), 300.0, ["steps"])
    return [told for name, problem in PROBLEMS.items() for precision in ("f32", "f64", "bf16") for own in found
            for told in verdicts(part(own, f"steps.{name}-{precision}"), problem, PROFILES[precision]).values()]


def trained(folder: Path) -> dict[str, bytes]:
    """The last checkpoint of a training in a folder, from the one that is there to the end; nobody is lost."""
    folder.mkdir(exist_ok=True)
    launched("tests/workers/torch_killed.py", SIZE, variables(folder), LONGEST, ["-1", "0"])
    return {name: a.tobytes() for name, a in load_file(folder / "training.safetensors").items()}


def variables(folder: Path, **more: str) -> Any:
    """The environment of each worker of one launch."""
    environment = rendezvous(SIZE)

    def of(rank: int) -> Mapping[str, str]:
        return dict(environment(rank)) | {"FOLDER": str(folder), "TIMEOUT": str(TIMEOUT)} | more

    return of


def lost(folder: Path, rank: int, at: int, stops: bool, undisturbed: dict[str, bytes]) -> dict[str, Any]:
    """What became of a lost worker: who was not told its rank, after how long the others were, what is in the end."""
    folder.mkdir()
    number = signal.SIGSTOP if stops else signal.SIGKILL
    ends = ended("tests/workers/torch_killed.py", SIZE, variables(folder, SIGNAL=str(int(number))), LONGEST,
                 [str(rank), str(at)])  # fmt: skip
    others = [end for end in ends if end.rank != rank]
    unnamed = [end for end in others if f"got none of rank {rank} after" not in str(end.gave.get("error"))]
    for end in unnamed:
        print(f"rank {end.rank}, {end.status}, of rank {rank} at {at}:\n{end.said}", flush=True)
    seconds = max(float(end.gave.get("seconds", LONGEST)) for end in others)
    return {"rank": rank, "at": at, "stops": stops, "unnamed": len(unnamed), "seconds": seconds,
            "differs": trained(folder) != undisturbed}  # fmt: skip


def listed(losses: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"rank {loss['rank']} at sum {loss['at']}" for loss in losses)


def longest(losses: Sequence[Mapping[str, Any]]) -> float:
    return round(max((loss["seconds"] for loss in losses), default=0.0), 1)
