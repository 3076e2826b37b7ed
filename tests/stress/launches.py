"""Every command of docs/launching.md, as it stands there; `count` times with one worker of PyTorch killed on the way.

What was killed goes on from its checkpoint with one process, and comes to the end of the course.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from tests.workers import page
from tests.workers.launching import ROOT, ran

EXAMPLE = str(ROOT / "docs/examples/language_model.py")
COURSE = ("--quick", "--updates", "40", "--checkpoint", "course", "--every", "5")
PATIENCE = 120.0


def measure(names: list[str], count: int, seed: int) -> dict[str, Any]:
    """Which commands came to the end of the course, and how many killed launches could be gone on with."""
    ended = {name: _ends(name) for name in page.COMMANDS if page.HAS_MPI or not page.needs_mpi(name)}
    gone_on = sum(_goes_on() for _ in range(count))
    return {"commands": ended, "killed": count, "gone_on": gone_on, "holds": all(ended.values()) and gone_on == count}


def _ends(name: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return [number for number, *_ in page.rounds(page.told(name, Path(folder)))][:3] == [1, 2, 3]


def _goes_on() -> bool:
    """Kill a worker at its first checkpoint; the launcher ends with an error, and the file is whole."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "course" / "checkpoint.safetensors"
        command = ["torchrun", "--standalone", "--nproc-per-node", "2", EXAMPLE, "--backend", "torch", *COURSE]
        launcher = subprocess.Popen([str(Path(sys.executable).parent / command[0]), *command[1:]], cwd=folder,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            until = time.monotonic() + PATIENCE
            while not kept.exists() and launcher.poll() is None and time.monotonic() < until:
                time.sleep(0.05)
            psutil.Process(launcher.pid).children()[-1].kill()
            failed = launcher.wait(PATIENCE) != 0
        finally:
            launcher.kill()
        said = ran([sys.executable, EXAMPLE, "--backend", "numpy", *COURSE], folder=folder)
    return failed and bool(re.search("^goes on after update [0-9]+$", said, re.MULTILINE)) and "round 3 of 3" in said
