"""The script that measures heads: the parameters of a head are its own, and the table shows each comparison."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import rnnspec

ROOT = Path(__file__).parents[1]


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    found = importlib.import_module("heads")
    for name, value in {"WIDTH": 3, "INPUTS": 2, "SHAPES": ((2, 3),), "CELLS": ("slstm",)}.items():
        monkeypatch.setattr(found, name, value)
    return found


def test_the_layers_compute_what_the_heads_do(script):
    together, single = script.networks("gru")
    params, be = together.init(0), rnnspec.get_backend("numpy", precision="f64")
    x = np.random.default_rng(0).normal(size=(4, 2, 2))
    parts = [be.run(single, script.of_head(params, head, script.HEADS), x).outputs for head in range(script.HEADS)]
    np.testing.assert_allclose(be.run(together, params, x).outputs, np.concatenate(parts, -1), rtol=1e-12)


def test_what_is_measured_is_shown_in_a_table(script, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    data = script.measure(("numpy",), rounds=2)
    assert all(row["ratio"] > 0 for row in data["rows"])
    *_, line = importlib.import_module("tables.speed").heads_tables(data)
    assert line.startswith("| numpy | slstm | 2, 3 | train | ")
