"""A run in a file, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save
from text_course import Run

import rnnspec
from rnnspec.tree import leaves, named_map

TREES = ("params", "state", "best")


def keep(be: rnnspec.Backend, path: Path, run: Run) -> None:
    """Write everything that the run goes on from."""
    trees = be.to_numpy({name: getattr(run, name) for name in TREES})
    arrays = {name: np.array(array, order="C") for name, array in leaves(trees)}
    numbers = {name: value for name, value in vars(run).items() if name not in TREES}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(save(arrays | {"numbers": np.frombuffer(json.dumps(numbers).encode(), np.uint8)}))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def restored(be: rnnspec.Backend, path: Path, model: Run) -> Run:
    """The run that `keep` wrote; `model` has its trees."""
    arrays = load_file(path)
    numbers = json.loads(arrays.pop("numbers").tobytes())
    trees = be.asarray(named_map(lambda name, _: arrays[name], {name: getattr(model, name) for name in TREES}))
    sequences = {name: tuple(value) for name, value in numbers.items() if isinstance(value, list)}
    return Run(**trees, **{**numbers, **sequences})
