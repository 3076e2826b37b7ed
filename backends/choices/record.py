"""What was measured, kept between processes: one small file for each choice and each set of conditions.

A file is written whole, or not at all, and may be deleted at any time. One that cannot be read, or that holds anything
but an answer to this question under these conditions, is as good as none.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rnnspec.contract.choice import Choice

__all__ = ["OFF", "VARIABLE", "Record", "folder"]

VARIABLE, OFF = "RNNSPEC_CALIBRATION", "off"
"""The environment variable that turns measuring off, or names the folder of the files."""


def folder() -> Path | None:
    """The folder of the files: the variable's, or that of the user's cache; None where there is no home."""
    asked = os.environ.get(VARIABLE)
    if asked:
        return Path(asked)
    cache = Path(os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # as the convention of XDG has it, which also ignores relative names
        try:
            cache = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
        except RuntimeError:
            return None
    return cache / "rnnspec" / "choices"


class Record:
    """The file of a choice under its conditions, in a folder or in none."""

    def __init__(self, choice: Choice[Any], folder: Path | None) -> None:
        self.choice, self.conditions = choice, dict(choice.conditions())
        named = json.dumps([choice.name, self.conditions], sort_keys=True)
        name = f"{choice.name.replace(' ', '-')}-{hashlib.sha256(named.encode()).hexdigest()[:16]}.json"
        self.path = folder / name if folder is not None else None

    def read(self) -> str | None:
        """The option that was measured to be the quickest, or None where no file says so."""
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(self.path.read_bytes()) if self.path else None
            if isinstance(found, Mapping) and found.get("conditions") == self.conditions:
                taken = found.get("taken")
                return taken if isinstance(taken, str) and taken in self.choice.options else None
        return None

    def write(self, taken: str, ratio: float) -> None:
        """Keep an answer, where files can be written."""
        if self.path is None:
            return
        about = {"choice": self.choice.name, "taken": taken, "ratio": round(ratio, 3), "conditions": self.conditions}
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self.path.parent, suffix=".part", delete=False) as part:
                part.write(json.dumps(about, indent=1) + "\n")
            written = Path(part.name)
            try:
                written.replace(self.path)
            finally:
                written.unlink(missing_ok=True)
