"""A process that saves without pause, killed at a random moment: what is there must be one whole save, and the last."""

from __future__ import annotations

import os
import random
import select
import signal
import struct
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Layer, Network, cells
from rnnspec.tree import leaves, tree_map

NET = Network(64, [Layer(cells.lstm, 256), Layer(cells.gru, 256)])
"""About 6 megabytes, so that a kill often meets a save that is half written."""


def measure(names: Sequence[str], count: int, seed: int) -> dict[str, Any]:
    """How many kills left the last whole save, and how many met a save in progress. Backends play no part."""
    rng = random.Random(seed)
    torn, inside, lost = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.safetensors"
        for _ in range(count):
            reported = killed_after(path, rng.uniform(0.0, 0.08))
            left = [p for p in path.parent.iterdir() if p != path]
            inside += bool(left)
            for temporary in left:
                temporary.unlink()
            found = version(path)
            torn += found is None
            lost += found is not None and not reported <= found <= reported + 1
    return {"kills": count, "seed": seed, "inside_a_save": inside, "torn_files": torn, "lost_saves": lost,
            "holds": not torn and not lost and inside > 0}  # fmt: skip


def killed_after(path: Path, seconds: float) -> int:
    """The number of the last save that a child reported whole, the child being killed that long after its first."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        save_without_pause(path, writing)
    os.close(writing)
    try:
        select.select([reading], [], [], 60)
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        reports = os.read(reading, 2**16)
    finally:
        os.close(reading)
    return int(struct.unpack("<q", reports[-8:])[0])


def save_without_pause(path: Path, writing: int) -> None:
    """Save networks whose every number is the number of the save, and report each."""
    params = tree_map(np.zeros, NET.parameter_shapes())
    start = version(path) or 0
    for number in range(start + 1, 10**9):
        rnnspec.save(path, NET, tree_map(lambda a, number=number: np.full_like(a, number), params))
        os.write(writing, struct.pack("<q", number))


def version(path: Path) -> int | None:
    """The number of the save that a file holds, None if it holds none or more than one."""
    try:
        _, params = rnnspec.load(path)
    except (rnnspec.errors.FileFormatError, FileNotFoundError):
        return None
    numbers = {float(n) for _, a in leaves(params) for n in (a.min(), a.max())}
    return int(numbers.pop()) if len(numbers) == 1 else None
