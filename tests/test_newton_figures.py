"""Newton's method over time: it finds what the steps give, or says where not; a scan gives the pullback's gradients."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

import rnnspec
from rnnspec import Layer, Network, cell, cells
from rnnspec.derivation.affine import NotAffine
from rnnspec.primitives import tanh
from rnnspec.tree import leaves

ROOT = Path(__file__).parents[1]
WIDTH, STEPS = 3, 50


@pytest.fixture
def layer(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs/figures")
    return importlib.import_module("newton_layer")


@pytest.fixture
def script(monkeypatch, layer):
    found = importlib.import_module("newton")
    for name, value in {"UNITS": WIDTH, "CELLS": {"paralstm": cells.paralstm}}.items():
        monkeypatch.setattr(found, name, value)
    return found


class Given:
    """A layer with large recurrent vectors, so that iterations are needed."""

    def __init__(self, backend, layer, own):
        rng = np.random.default_rng(0)
        self.backend, self.net, self.layer = backend, Network(WIDTH, [Layer(own, WIDTH)]), layer
        self.params = self.net.init(0)
        self.own = self.params["layers"][0]["forward"]
        self.own["p"] = {name: rng.uniform(-1, 1, a.shape) for name, a in self.own["p"].items()}
        self.inputs, self.cotangent = rng.normal(size=(2, STEPS, 2, WIDTH))
        self.initial = {s: rng.normal(size=(2, WIDTH)) for s in own.states}
        self.state = [{"forward": self.initial}]
        self.equations = layer.Equations(own)

    def solved(self, bound=1e-13, most=40):
        return self.layer.Solver(self.backend, self.equations).solve(self.own, self.inputs, self.initial, bound, most)


@cell
def read(x, p, h):
    """The output is no state, and one state has no factor of its own."""
    return rnnspec.out(tanh(x.y + h)), tanh(x.h + p.h * h)


@pytest.mark.parametrize("own", [cells.indrnn, cells.brc, cells.paralstm, cells.unicornn, read], ids=str)
def test_it_finds_what_the_steps_give(own, layer, reference):
    given = Given(reference, layer, own)
    found = given.solved()
    assert (found.converged, found.failed) == (True, ())
    assert found.iterations > 0
    assert found.residual <= 1e-13
    outputs = reference.run(given.net, given.params, given.inputs, given.state).outputs
    np.testing.assert_allclose(found.outputs, outputs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("own", [cells.indrnn, cells.paralstm, read], ids=str)
def test_the_gradients_by_a_scan_are_those_of_the_pullback(own, layer, reference):
    given = Given(reference, layer, own)
    params, inputs, state = layer.gradients(reference.arrays, given.equations, given.own, given.inputs, given.initial,
                                            given.solved().before, given.cotangent)  # fmt: skip
    pulled = reference.pullback(given.net, given.params, given.inputs, given.cotangent, None, given.state)
    expected = {"params": pulled.params["layers"][0]["forward"], "inputs": pulled.inputs,
                "state": pulled.state[0]["forward"]}  # fmt: skip
    found, expected = dict(leaves({"params": params, "inputs": inputs, "state": state})), dict(leaves(expected))
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        np.testing.assert_allclose(found[name], a, rtol=0, atol=1e-10)


def test_too_few_iterations_are_said_with_the_steps_that_were_not_found(layer, reference):
    given = Given(reference, layer, cells.brc)
    found, done = given.solved(most=2), given.solved()
    assert not found.converged
    assert (found.iterations, found.residual > 1e-13) == (2, True)
    apart = np.abs(found.before["h"] - done.before["h"]).max((1, 2))
    assert 1 < found.failed[0] <= np.flatnonzero(apart > 1e-9)[0]


def test_what_is_no_number_ends_it_and_is_said(layer, reference):
    given = Given(reference, layer, cells.paragru)
    given.inputs[20] = np.nan
    found = given.solved()
    assert not found.converged
    assert found.failed[-1] == STEPS - 1
    assert np.isnan(found.residual)


def test_units_that_see_one_another_are_refused(layer):
    with pytest.raises(NotAffine):
        layer.Equations(cells.gru)


def test_what_is_measured_is_shown_in_a_table(script, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    rows = list(script.measure(("numpy",), {"default": (20,), "large": (20,)}))
    assert all(row["converged"] and row["apart"] < 1e-4 for row in rows)
    assert all(row["forward_ratio"] > 0 and row["backward_ratio"] > 0 for row in rows)
    rows[1] |= {"converged": False, "failed": 3}
    tables = importlib.import_module("tables.speed").newton_tables({"rows": rows})
    *_, one, other = tables
    assert one.startswith("| default | 20 | numpy | `paralstm` | ")
    assert ", not found at 3 steps | " in other
