"""The script that measures first calls: each layer gives gradients, and each measure a process of its own."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    found = importlib.import_module("first_calls")
    monkeypatch.setattr(found, "SHORT", 2)
    monkeypatch.setattr(found, "BATCH_STEPS", 2)
    return found


NEEDS = {"torch": "torch", "tensorflow": "keras", "keras": "keras", "jax": "jax", "flax": "flax"}


@pytest.mark.parametrize("layer", ["rnnspec, numpy", "rnnspec, torch", "torch.nn.GRU", "rnnspec, tensorflow",
                                   "keras.layers.GRU", "rnnspec, jax", "flax.nnx.RNN"])  # fmt: skip
def test_a_layer_is_measured(script, layer):
    for word, module in NEEDS.items():
        if word in layer:
            pytest.importorskip(module)
    assert layer in script.LAYERS
    for measure in script.MEASURES:
        found = script.one(layer, measure, 3)
        assert found["seconds"] > 0
        assert found["bytes"] >= 0


def test_what_a_process_measures_is_shown_in_a_table(script, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(script, "STEPS", (3,))
    monkeypatch.setattr(script, "BATCHES", 2)
    data = {"batches": 2, "rows": [script.row("rnnspec, numpy")]}
    assert data["rows"][0]["kept"]["seconds"] > 0
    data["rows"][0]["kept"] = None
    *_, line = importlib.import_module("tables.speed").first_call_tables(data)
    assert line.startswith("| `rnnspec, numpy` | ")
    assert line.endswith(" | none |")


def test_a_process_that_fails_gives_no_figure(script):
    assert script.alone("rnnspec, numpy", "first", -1) is None
