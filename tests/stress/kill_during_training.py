"""A training that is killed at a random step and resumed: its weights must be bitwise those of one left in peace."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec.tree import leaves

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """The steps at which a training was killed, the rounds in its checkpoint, and how often a bit differed at the end.

    The text example on NumPy, whatever the backends asked for.
    """
    sys.path.insert(0, str(EXAMPLES))
    rng, be = random.Random(seed), rnnspec.get_backend("numpy")
    steps, rounds, differing = [], [], 0
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = train(be, Path(folder) / "undisturbed")
        for number in range(count):
            path = Path(folder) / f"killed-{number}"
            steps.append(rng.randrange(1, undisturbed.steps))
            kill_at(steps[-1], be, path)
            rounds.append(rounds_in(be, path))
            differing += bits(train(be, path)) != bits(undisturbed)
    return {"kills": count, "seed": seed, "steps": undisturbed.steps, "killed_at_steps": listed(steps),
            "rounds_in_checkpoints": listed(rounds), "differing": differing,
            "holds": not differing and len(set(rounds)) > 1}  # fmt: skip


def listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))


def course() -> Any:
    """Small, with several steps in every round."""
    parts = import_module("text_course")
    stages = (parts.Stage(1e-2, 3), parts.Stage(1e-3, 2))
    return parts.Course(stages, hidden=4, batch=2, lines=24, validation=4)


def train(be: rnnspec.Backend, path: Path) -> Any:
    """Train to the end, from the checkpoint if there is one."""
    return import_module("text_training").train(be, import_module("digit_lines").TASK, course(), 0, path)


def bits(run: Any) -> dict[str, bytes]:
    trees = {"params": run.params, "state": run.state, "best": run.best}
    return {name: np.asarray(array).tobytes() for name, array in leaves(trees)}


def kill_at(step: int, be: rnnspec.Backend, path: Path) -> None:
    """Train in a child, which says at every step that it begins it, and kill it once it has begun that one."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        saying_so(be, writing)
        train(be, path)
        os._exit(0)
    os.close(writing)
    begun = sum(len(os.read(reading, 1)) for _ in range(step))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    if begun < step or not os.WIFSIGNALED(status):
        raise RuntimeError(f"the child ended by itself before step {step}: status {status}")


def saying_so(be: rnnspec.Backend, writing: int) -> None:
    """Have a backend write a byte before every step of training."""
    plain = be.train_step

    def step(*given: Any) -> Any:
        os.write(writing, b".")
        return plain(*given)

    be.train_step = step  # type: ignore[method-assign]


def rounds_in(be: rnnspec.Backend, path: Path) -> int:
    """Those that the checkpoint holds, 0 if there is none yet."""
    if not path.exists():
        return 0
    model = import_module("text_training").begin(be, import_module("digit_lines").TASK, course(), 0)
    return int(import_module("text_checkpoint").restored(be, path, model).round)
