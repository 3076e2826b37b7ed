"""The scoreboard: every cell that is not green has a note, and the code of every note still shows what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = ROOT / "docs/scoreboard"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"scoreboard_{name}", HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


NOTES = loaded("notes").NOTES
SHOWN = [(note, backend) for note in NOTES for backend in note.environments or ("",)]


@pytest.mark.parametrize(("note", "backend"), SHOWN, ids=lambda value: getattr(value, "reproducer", value))
def test_a_reproducer_still_shows_what_it_says(note, backend):
    pytest.importorskip(note.reproducer.partition("_")[0])
    done = subprocess.run([sys.executable, str(HERE / f"reproducers/{note.reproducer}.py")], capture_output=True,
                          text=True, check=False, timeout=120,
                          env={**os.environ, **({"KERAS_BACKEND": backend} if backend else {})})  # fmt: skip
    assert done.returncode == 0, f"{note.says} No longer: measure again, and take the note away.\n{done.stderr}"


def test_a_reproducer_needs_no_rnnspec():
    for file in (HERE / "reproducers").glob("*.py"):
        assert "rnnspec" not in file.read_text()
        assert file.stem in {note.reproducer for note in NOTES}


def test_every_cell_that_is_not_green_says_why():
    found = json.loads((ROOT / "docs/figures/scoreboard.json").read_text())
    known = {note["reproducer"] for note in found["notes"]}
    for row in found["rows"]:
        assert len(row["cells"]) == len(found["columns"])
        for cell in row["cells"]:
            assert cell["verdict"] not in ("fail", "error")
            assert (cell["reproducer"] in known) == (cell["verdict"] not in ("pass", "unsupported"))
