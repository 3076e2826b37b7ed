"""What all conversions share: the tables, the packing machine, what is imported when, and the random state."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import random
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conversions import FEW, same_params, shapes_of, widths_of
from hypothesis import given
from hypothesis import strategies as st

from rnnspec import Dense, Layer, Network, cells, convert
from rnnspec.convert.layout import FIXED
from rnnspec.convert.layouts import TABLES
from rnnspec.errors import BackendUnavailable

MODULES = [f"rnnspec.convert.{module.name}" for module in pkgutil.iter_modules(convert.__path__)]
SIDES = {"torch": "torch", "keras": "keras", "flax": "flax", "onnx": "onnx", "torchrecurrent": "torchrecurrent"}
ROWS = [(side, row) for side, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_a_module_offers_is_there_and_documented(name):
    for framework in ("torch", "keras", "flax", "onnx", "torchrecurrent"):
        if f".{framework}_" in name:
            pytest.importorskip(framework)
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0
    for public in module.__all__:
        value = getattr(module, public)
        assert inspect.getdoc(value) or not callable(value), public


def test_no_framework_is_imported_before_its_function_is_called():
    names = ("torch", "tensorflow", "keras", "jax", "flax", "onnx", "onnxruntime", "torchrecurrent")
    code = f"import sys, rnnspec.convert, rnnspec.convert.layouts; print([n for n in {names} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_package_does_not_import_its_conversions():
    code = "import sys, rnnspec; print('rnnspec.convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("side", SIDES)
def test_a_framework_that_is_not_installed_is_named(side, monkeypatch):
    monkeypatch.setitem(sys.modules, SIDES[side], None)
    net = Network(3, [Layer(cells.elman, 4)])
    for call in (lambda: getattr(convert, f"from_{side}")(None),
                 lambda: getattr(convert, f"to_{side}")(net, net.init(0))):  # fmt: skip
        with pytest.raises(BackendUnavailable, match=rf"_{side}\(\.\.\.\): {SIDES[side]} must be installed"):
            call()


@pytest.mark.parametrize("side", SIDES)
def test_the_callers_random_state_stays_as_it_is(side):
    pytest.importorskip(SIDES[side])
    torch = pytest.importorskip("torch")
    layer = Layer(cells.mgu, 4) if side == "torchrecurrent" else Layer(cells.lstm, 4, "bidirectional")
    net = Network(3, [layer], output=Dense(2))

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    getattr(convert, f"from_{side}")(getattr(convert, f"to_{side}")(net, net.init(0)).model)
    assert states() == before


@pytest.mark.parametrize(("side", "row"), ROWS, ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])
@FEW
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_what_is_packed_is_unpacked_to_the_bit(side, row, inputs, width, seed):
    inputs, hidden = widths_of(row.cell, inputs, width)
    shapes = shapes_of(row.cell, inputs, hidden)
    rng = np.random.default_rng(seed)
    maps = {name: np.zeros(shape) if name in row.absent else rng.normal(size=shape) for name, shape in shapes.items()}
    next(iter(maps.values()))[0] = -0.0
    tensors = row.pack(maps)
    assert row.widths(tensors) == (inputs, hidden)
    found, notes = row.unpack("call", "place", tensors, shapes)
    same_params(found, maps)
    assert set(notes) <= {convert.Note.NO_INNER_BIAS}


@pytest.mark.parametrize(("side", "row"), ROWS, ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])
def test_every_map_has_its_place_in_every_table(side, row):
    placed = [name for _, names in row.places() for name in names]
    assert {name[2:] for name in placed if name.startswith("U.")} == set(row.cell.graph.names("map"))
    assert {name[2:] for name in placed if name.startswith("W.")} == set(row.cell.graph.names("input"))
    assert row.absent <= {"p.n"}
    biases = {name for tensor in row.optional for name in row.tensors[tensor].split()}
    assert all(placed.count(name) == 1 for name in placed if name not in biases | FIXED.keys() or name[0] in "WU")


def test_former_names_mean_the_notes():
    assert (convert.Loss, convert.Lost) == (convert.Note, convert.PlacedNote)
    notes = (convert.PlacedNote("output", convert.Note.NO_BIAS),)
    net = Network(2, [Layer(cells.elman, 3)])
    for made in (convert.Imported(net, {}, losses=notes), convert.Exported(None, losses=notes)):
        assert made.losses is made.notes is notes
        assert made == replace(made, notes=notes) != replace(made, losses=())


def test_a_note_says_what_it_is_about():
    notes = (convert.PlacedNote("output", convert.Note.NO_BIAS), convert.PlacedNote("", convert.Note.BATCH_FIRST))
    for made in (convert.Imported(Network(2, [Layer(cells.elman, 3)]), {}, notes), convert.Exported(None, notes)):
        assert made.notes_on(convert.Level.TRAINING) == notes[:1]
        assert made.notes_on(convert.Level.FUNCTION) == ()
    assert [str(note).split(" ")[0] for note in notes] == ["[training]", "[form]"]
    assert str(convert.PlacedNote("output", convert.Note.NO_BIAS, "b")).endswith(": b")
    assert {note.level for note in convert.Note} == set(convert.Level)
