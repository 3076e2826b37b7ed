"""A run in a file, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import checkpoints
from text_course import Run

import rnnspec

TREES = ("params", "state", "best")


def keep(be: rnnspec.Backend, path: Path, run: Run) -> None:
    """Write everything that the run goes on from."""
    trees = be.to_numpy({name: getattr(run, name) for name in TREES})
    checkpoints.keep(path, trees, {name: value for name, value in vars(run).items() if name not in TREES})


def restored(be: rnnspec.Backend, path: Path, model: Run) -> Run:
    """The run that `keep` wrote; `model` has its trees."""
    trees, numbers = checkpoints.restored(path, {name: getattr(model, name) for name in TREES})
    return Run(**be.asarray(trees), **numbers)
