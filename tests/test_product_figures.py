"""The script that times the products of two libraries runs both."""

import importlib
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs/figures"


def test_both_libraries_products_are_timed(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    found = importlib.import_module("products")
    monkeypatch.setattr(found, "ROUNDS", 1)
    for kind in found.KINDS:
        row = found.measured(kind, 3, 2)
        assert row["taken"] == "own"
        assert row["own"] > 0
        assert row["onednn"] > 0
