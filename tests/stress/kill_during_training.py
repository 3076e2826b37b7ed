"""A training that is killed at a random moment and resumed: its weights must be bitwise those of one left in peace."""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec.tree import leaves

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How many kills met a training at work, after which rounds, and how many changed a bit of what was learnt.

    The text example on NumPy, whatever the backends asked for.
    """
    sys.path.insert(0, str(EXAMPLES))
    rng, kept, differing = random.Random(seed), [], 0
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Path(folder) / "undisturbed"
        start = time.perf_counter()
        whole = bits(train(undisturbed))
        seconds = time.perf_counter() - start
        while len(kept) < count:
            path = Path(folder) / f"killed-{len(kept)}"
            if killed_after(path, rng.uniform(0, seconds)):
                kept.append(rounds(path))
                differing += bits(train(path)) != whole
            path.unlink(missing_ok=True)
    return {"kills": count, "seed": seed, "rounds": rounds_of_course(), "killed_after_rounds": sorted(kept),
            "differing": differing, "holds": not differing and len(set(kept)) > 1}  # fmt: skip


def course() -> Any:
    """Small steps, so that a kill falls between two checkpoints, not into the writing of one."""
    parts = import_module("text_course")
    stages = (parts.Stage(1e-2, 3), parts.Stage(1e-3, 2))
    return parts.Course(stages, hidden=8, batch=4, lines=96, validation=8)


def rounds_of_course() -> int:
    return sum(stage.rounds for stage in course().stages)


def train(path: Path) -> Any:
    """Train to the end, from the checkpoint if there is one."""
    task = import_module("digit_lines").TASK
    return import_module("text_training").train(rnnspec.get_backend("numpy"), task, course(), 0, path)


def bits(run: Any) -> dict[str, bytes]:
    trees = {"params": run.params, "state": run.state, "best": run.best}
    return {name: np.asarray(array).tobytes() for name, array in leaves(trees)}


def killed_after(path: Path, seconds: float) -> bool:
    """Whether a child that trains was still at work when it was killed."""
    child = os.fork()
    if child == 0:
        train(path)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def rounds(path: Path) -> int:
    """Those that the checkpoint holds, 0 if there is none yet."""
    if not path.exists():
        return 0
    be, task = rnnspec.get_backend("numpy"), import_module("digit_lines").TASK
    model = import_module("text_training").begin(be, task, course(), 0)
    return int(import_module("text_checkpoint").restored(be, path, model).round)
