"""The script that measures exported headers: all of it runs, and the tables show it."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("size") is None, reason="binutils measures the size of objects")


def test_what_is_measured_is_shown_in_tables(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    monkeypatch.syspath_prepend(ROOT / "docs")
    data = importlib.import_module("exported").measure(("lstm",), ((3, 4),), rounds=2)
    lines = list(importlib.import_module("tables.exported").tables(data))
    assert sum(line.startswith("| `lstm` | 3, 4 | ") for line in lines) == 3
    whole, small = data["sizes"]
    assert whole["weights"] == 4 * (4 * 4 * (3 + 4) + 4 * 4)
    assert small["weights"] == 4 * 4 * (3 + 4) + 4 * 3 * 4 * 4
    assert whole["memory"] == 4 * (2 * 4 + 2 * 4 * 4)
    assert whole["error"] is None
    assert small["error"]["largest"] > 0
