"""What all conversions share: the tables, the machine that packs, how cells are recognised, and one way as a whole."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import random
import subprocess
import sys

import numpy as np
import pytest
from conversions import FEW, Answer, Question, same_params
from hypothesis import given
from hypothesis import strategies as st

import rnnspec
from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, cells, convert
from rnnspec.convert.layouts import TABLES
from rnnspec.errors import BackendUnavailable

MODULES = [f"rnnspec.convert.{module.name}" for module in pkgutil.iter_modules(convert.__path__)]
SIDES = {"torch": "torch", "keras": "keras", "flax": "flax", "onnx": "onnx"}
ROWS = [(side, row) for side, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_a_module_offers_is_there_and_documented(name):
    for framework in ("torch", "keras", "flax", "onnx"):
        if f".{framework}_" in name:
            pytest.importorskip(framework)
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0
    for public in module.__all__:
        value = getattr(module, public)
        assert inspect.getdoc(value) or not callable(value), public


def test_no_framework_is_imported_before_its_function_is_called():
    names = ("torch", "tensorflow", "keras", "jax", "flax", "onnx", "onnxruntime")
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
    net = Network(3, [Layer(cells.lstm, 4, "bidirectional")], output=Dense(2))

    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    getattr(convert, f"from_{side}")(getattr(convert, f"to_{side}")(net, net.init(0)).model)
    assert states() == before


@pytest.mark.parametrize(("side", "row"), ROWS, ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])
@FEW
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_what_is_packed_is_unpacked_to_the_bit(side, row, inputs, width, seed):
    hidden = width if len(row.cell.width_classes) == 1 else {"h": width, "c": width + 1}
    shapes = {f"{kind}.{name}": shape for kind, maps in row.cell.parameter_shapes(inputs, hidden).items()
              for name, shape in maps.items()}  # fmt: skip
    rng = np.random.default_rng(seed)
    maps = {name: np.zeros(shape) if name in row.absent() else rng.normal(size=shape) for name, shape in shapes.items()}
    maps["b." + row.cell.graph.names("input")[0]][0] = -0.0
    tensors = row.pack(maps)
    assert row.widths(tensors) == (inputs, hidden)
    found, losses = row.unpack("call", "place", tensors, shapes)
    same_params(found, maps)
    assert set(losses) <= {convert.Loss.NO_INNER_BIAS}


@pytest.mark.parametrize(("side", "row"), ROWS, ids=[f"{side}-{row.kind}-{row.cell.name}" for side, row in ROWS])
def test_every_map_has_its_place_in_every_table(side, row):
    placed = [name for _, names in row.places() for name in names]
    assert {name[2:] for name in placed if name.startswith("U.")} == set(row.cell.graph.names("map"))
    assert {name[2:] for name in placed if name.startswith("W.")} == set(row.cell.graph.names("input"))
    assert row.absent() <= {"p.n"}
    assert all(placed.count(name) == 1 for name in placed if not name.startswith("b."))


def test_a_classifier_that_torch_trained_gives_its_logits_everywhere(tmp_path, open_backend):
    torch, runtime = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    safetensors = pytest.importorskip("safetensors.torch")
    torch.manual_seed(0)
    lstm, out = torch.nn.LSTM(3, 8, bidirectional=True), torch.nn.Linear(16, 2)
    model = torch.nn.ModuleDict({"rnn": lstm, "out": out})
    inputs = torch.randn(7, 16, 3)
    labels = (inputs.sum((0, 2)) > 0).long()

    def logits(x):
        h = lstm(x)[1][0]
        return out(torch.cat([h[-2], h[-1]], -1))

    optimiser, losses = torch.optim.Adam(model.parameters(), 0.03), []
    for _ in range(30):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(logits(inputs), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]

    torch.save(model.state_dict(), tmp_path / "model.pt")
    safetensors.save_file(model.state_dict(), tmp_path / "model.safetensors")
    read = []
    for stored in (torch.load(tmp_path / "model.pt", weights_only=True),
                   safetensors.load_file(tmp_path / "model.safetensors")):  # fmt: skip
        own = {part: {name.removeprefix(part): t for name, t in stored.items() if name.startswith(part)}
               for part in ("rnn.", "out.")}  # fmt: skip
        read.append(convert.from_torch((cells.lstm, own["rnn."]), (Dense, own["out."]), read=Last()))
    assert read[0].net == read[1].net == Network(3, [Layer(cells.lstm, 8, "bidirectional")], Last(), Dense(2))
    same_params(read[0].params, read[1].params)

    net, params = read[0].net, read[0].params
    question = Question.of(Case(net, 7, 5, seed=1), "f32", params).from_zeros()
    x = question.given.inputs
    with torch.no_grad():
        question.holds(Answer(logits(torch.tensor(x)).numpy()))
    for name in ("numpy", "jax", "tensorflow", "torch"):
        backend = open_backend(name, "f32")
        question.holds(Answer(backend.to_numpy(backend.run(net, params, x).outputs)))
    session = runtime.InferenceSession(convert.to_onnx(net, params).model.SerializeToString(),
                                       providers=["CPUExecutionProvider"])  # fmt: skip
    question.holds(Answer(session.run(None, {"inputs": x})[0]))
    rnnspec.save(tmp_path / "ours.safetensors", net, params)
    same_params(rnnspec.load(tmp_path / "ours.safetensors")[1], params)
