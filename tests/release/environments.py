"""Fresh environments in which a wheel is installed, and what must be true in each.

`pip` is the one of this environment, so that its version is pinned too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.release.contents import ROOT

FRAMEWORKS = ("jax", "tensorflow", "torch")
SUITE = "conformance"
LONGEST = 1800
"""Seconds that a command may take."""

LEAVE = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""What would let a fresh environment see this one."""


class Failed(Exception):
    """Something that must be true of an environment is not."""


@dataclass(frozen=True)
class Environment:
    """A fresh environment, which is to hold a wheel with these extras."""

    name: str
    folder: Path
    wheel: Path
    say: Callable[[str], None]

    def make(self) -> None:
        """Make the environment, without pip in it."""
        venv.create(self.folder, with_pip=False, symlinks=True)

    def install(self, *extras: str) -> None:
        """Install the wheel with some extras, and let pip check what is installed."""
        begun = time.monotonic()
        wanted = f"{self.wheel}[{','.join(extras)}]" if extras else str(self.wheel)
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "--disable-pip-version-check"]
        self.done([*pip, "install", "--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt"), wanted])
        self.done([*pip, "check"])
        self.say(f"{self.name}: installed {', '.join(extras) or 'no extra'} in {time.monotonic() - begun:.0f} s")

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.folder / "bin" / "python"

    def done(self, command: list[str], status: int = 0) -> str:
        """What a command writes, away from the sources; it must end with this status."""
        env = {name: value for name, value in os.environ.items() if name not in LEAVE}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=LONGEST,
                              check=False)  # fmt: skip
        if done.returncode != status:
            raise Failed(f"{self.name}: {' '.join(command)}: the exit status must be {status}, got "
                         f"{done.returncode}\n{done.stdout}{done.stderr}")  # fmt: skip
        return done.stdout + done.stderr

    def must(self, holds: bool, what: str, got: Any) -> None:
        """Raise Failed where something does not hold."""
        if not holds:
            raise Failed(f"{self.name}: {what}, got {got}")

    def module(self, *arguments: str, status: int = 0) -> str:
        """As `done`, of `python -m`."""
        return self.done([str(self.python), "-m", *arguments], status)

    def diagnose(self, *extras: str) -> None:
        """The doctor must find no fault, open the backends of the extras, and name the command for each other extra."""
        code = "import rnnspec; print(rnnspec.__file__)"
        place = self.done([str(self.python), "-c", code])
        self.must(place.startswith(str(self.folder)), "rnnspec must be the installed one", place)
        found = json.loads(self.module("rnnspec", "doctor", "--json"))
        backends = sorted({"numpy", *extras} - {SUITE})
        absent = {name: f"pip install 'rnnspec[{name}]'" for name in {*FRAMEWORKS, SUITE} - {*extras}}
        self.must(found["healthy"] == backends, f"{', '.join(backends)} must open", found)
        said = {extra["name"]: extra["command"] for extra in found["absent"]}
        self.must(said == absent, f"the doctor must say {absent}", said)

    def smoke(self, backend: str, part: str) -> str:
        """A part of the smoke tier must hold for what is installed of a backend, or of all."""
        begun = time.monotonic()
        report = self.folder / "report.json"
        shown = self.module(SUITE, "--tier", "smoke", "--backend", backend, "--part", part, "--json", str(report))
        entries = json.loads(report.read_text())["backends"]
        found = {entry["name"]: entry["status"] for entry in entries}
        wrong = {entry["name"] for entry in entries if entry["status"] != "conforms" or not entry["examples"]}
        conforms = sorted(found.keys() - wrong)
        self.say(f"{self.name}: {', '.join(conforms)} conform{'s' * (len(conforms) == 1)} "
                 f"after {time.monotonic() - begun:.0f} s")  # fmt: skip
        expected = "numpy" if backend == "all" else backend
        self.must(conforms == [expected], f"{expected} must conform", found)
        return shown


def bare(here: Environment) -> None:
    """Without any extra, NumPy's backend computes, and the suite says what it needs."""
    here.make()
    here.install()
    here.diagnose()
    shown = here.module(SUITE, status=2)
    here.must("pip install 'rnnspec[conformance]'" in shown, "the suite must say what it needs", shown)
    for name in FRAMEWORKS:
        said = here.done([str(here.python), "-c", f"import rnnspec; rnnspec.get_backend({name!r})"], status=1)
        here.must(f"pip install 'rnnspec[{name}]'" in said, f"{name} must name its command", said)


def suite(here: Environment) -> None:
    """With the suite alone, NumPy conforms, and each framework is named with its command."""
    here.make()
    here.install(SUITE)
    here.diagnose(SUITE)
    shown = here.smoke("all", "1/1")
    for name in FRAMEWORKS:
        here.must(f"pip install 'rnnspec[{name}]'" in shown, f"{name} must be said with its command", shown)


def framework(here: Environment) -> None:
    """With a framework's extra alone its backend opens; with the suite it conforms in its part of the suite.

    Each framework's environment tests another third of the suite, since its trial is about what was installed.
    """
    here.make()
    here.install(here.name)
    here.diagnose(here.name)
    here.install(here.name, SUITE)
    here.smoke(here.name, f"{1 + FRAMEWORKS.index(here.name)}/{len(FRAMEWORKS)}")


TRIALS: dict[str, Callable[[Environment], None]] = {
    SUITE: suite, **dict.fromkeys(("tensorflow", "torch", "jax"), framework), "bare": bare,
}  # fmt: skip
"""What is tried in each environment; what takes longest comes first."""
