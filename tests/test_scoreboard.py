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
BACKENDS = sorted({backend for note in NOTES for backend in note.environments or ("",)})
RUN = """
import runpy, sys, traceback
for file in sys.argv[1:]:
    try:
        runpy.run_path(file)
    except Exception:
        print(file, "no longer shows what its note says: measure again, and take the note away.")
        traceback.print_exc(file=sys.stdout)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_reproducers_still_show_what_they_say(backend):
    """Those that need one backend of Keras, or none, in one process; last what sets JAX to 64 bits for good."""
    files = {HERE / f"reproducers/{note.reproducer}.py" for note in NOTES if backend in (note.environments or ("",))}
    ordered = sorted(files, key=lambda file: ("enable_x64" in file.read_text(), file))
    environment = os.environ | ({"KERAS_BACKEND": backend} if backend else {})
    done = subprocess.run([sys.executable, "-c", RUN, *map(str, ordered)], capture_output=True, text=True, check=False,
                          timeout=280, env=environment)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


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
