"""The scripts on streams and exporters: what the table says is tried again for some cases, and frames are timed."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

import rnnspec

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SAID = json.loads((FIGURES / "exports.json").read_text())["rows"]
AGAIN = (("torch", "torch.export.export", ("LSTM", "any batch", "any time")),
         ("torch", "torch.jit.script", ("LSTM",)), ("torch", "torch.compile(fullgraph=True)", ("LSTM",)),
         ("tensorflow", "tf.lite.TFLiteConverter", ("LSTM", "any batch")),
         ("jax", "jax.export, serialised", ("any time",)))  # fmt: skip
PATHS = {"default": None, "framework": rnnspec.Path.FRAMEWORK}


@pytest.fixture
def ways(monkeypatch):
    """`ways(framework)`: the exporters of a framework."""
    monkeypatch.syspath_prepend(FIGURES)
    yield lambda name: importlib.import_module(f"exporters.{name}_ways")
    for name in [name for name in sys.modules if name.startswith("exporters")]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore")  # the exporters warn of themselves
@pytest.mark.parametrize(("framework", "way", "cases"), AGAIN, ids=[f"{name}-{way}" for name, way, _ in AGAIN])
def test_the_table_says_what_comes_of_an_export(ways, framework, way, cases):
    tried = ways(framework)
    (row,) = (row for row in SAID if (row["framework"], row["way"]) == (framework, way))
    for name, path in PATHS.items():
        for case in cases:
            assert tried.tried(way, path, tried.CASES[case]) == row["paths"][name][case]


def test_the_table_has_no_wrong_numbers_and_no_error_of_a_frameworks_own():
    said = {said for row in SAID for found in row["paths"].values() for said in found.values()}
    assert "works" in said
    for sentence in said - {"works"}:
        assert "; " in sentence or sentence.startswith("the exported program refuses sizes"), sentence


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_a_frame_is_timed(figures, monkeypatch, name):
    script = figures("frames")
    monkeypatch.setattr(script, "FRAMES", 4)
    monkeypatch.setattr(script, "FIRST", 1)
    rows = script.measured(name)
    assert [row["way"] for row in rows] == list(script.WAYS[name])
    assert all(0 < row["median"] <= row["most_of_95"] for row in rows)
