"""What a training goes on from: trees of arrays and a few numbers in one file, written whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from rnnspec.tree import leaves, named_map


def keep(path: Path, trees: dict[str, Any], numbers: dict[str, Any]) -> None:
    """Write trees of NumPy arrays and what JSON can hold."""
    arrays = {name: np.array(array, order="C") for name, array in leaves(trees)}
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(save(arrays | {"numbers": np.frombuffer(json.dumps(numbers).encode(), np.uint8)}))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def restored(path: Path, model: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The trees and the numbers that `keep` wrote, lists as tuples; `model` has trees of the same names."""
    arrays = load_file(path)
    numbers = json.loads(arrays.pop("numbers").tobytes())
    trees = named_map(lambda name, _: arrays[name], model)
    return trees, {name: tuple(value) if isinstance(value, list) else value for name, value in numbers.items()}
