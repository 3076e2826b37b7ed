"""The script that times the arrangements of a schedule: it runs each, and each is what it says."""

from itertools import product

import pytest

import rnnspec
from backends.tensorflow_backend.backend import LONG
from conformance.registry import Shape
from conformance.speed.row import Row
from rnnspec import cells


@pytest.fixture
def script(figures, monkeypatch):
    found = figures("arrangements")
    monkeypatch.setattr(found, "ROUNDS", 1)
    return found


def test_every_arrangement_is_timed(script):
    found = script.measured("jax", Row("gru", Shape(2, 3, 2, 4), "train", "f32"))
    assert found["taken"] == "packed"
    assert all(found[way] > 0 for way in ("packed", "apart", "columns"))


@pytest.mark.parametrize("name", ["packed", "apart", "columns"])
def test_an_arrangement_holds_everywhere(name, script, monkeypatch):
    for place, bound in script.ARRANGEMENTS[name].items():
        monkeypatch.setattr(place, bound)
    for backend, plan in script.PLANS.items():
        arranged = plan(rnnspec.get_backend(backend))
        for rows, width, cell in product(script.ROWS, script.WIDTHS, script.CELLS):
            assert script.arrangement(arranged(getattr(cells, cell), rows, width)) == name


def test_tensorflow_compiles_so_many_steps(script):
    assert script.STEPS >= LONG
