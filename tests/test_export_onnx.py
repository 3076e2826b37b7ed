"""The files of `to_onnx` and `to_stablehlo`, and the command that writes them."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Embedding, Last, Layer, Network, Steps, Tied, cells
from rnnspec.__main__ import main
from rnnspec.convert import from_onnx
from rnnspec.errors import ArgumentError, BackendUnavailable
from rnnspec.export import to_onnx, to_onnx_step, to_stablehlo
from rnnspec.tree import leaves

STACK = [Layer(cells.mingru, 4, "bidirectional"), Layer(cells.gla, {"S.rows": 3, "S.columns": 4}), Layer(cells.lstm, 2)]
NETWORKS = {"last": Network(3, STACK, Last(), Dense(2)), "steps": Network(3, STACK[1:], Steps()),
            "class numbers": Network(Embedding(5, 4), [Layer(cells.mingru, 4, residual=True)], output=Tied())}


def operators(model):
    return {node.op_type for node in model.graph.node}


def test_the_file_is_a_scan_unless_operators_are_asked_for():
    onnx = pytest.importorskip("onnx")
    net = Network(3, [Layer(cells.lstm, 4), Layer(cells.mingru, 4)])
    for options, lstm in (({}, False), ({"operators": True}, True), ({"operators": True, "precision": "f64"}, False)):
        model = onnx.load_from_string(to_onnx(net, net.init(0), **options).main)
        assert ("LSTM" in operators(model)) == lstm and "Scan" in operators(model)
        assert {i.name for i in model.graph.input} == {"inputs", "lengths", "state.0.h", "state.0.c", "state.1.h"}
        assert from_onnx(model).net == net


@pytest.mark.parametrize(
    ("name", "sizes", "precision"),
    [("last", {}, "f32"), ("steps", {"steps": 5, "batch": 3}, "f64"), ("last", {"batch": 3}, "f64"),
     ("class numbers", {}, "f32")])  # fmt: skip
def test_jax_runs_the_artifact(name, sizes, precision):
    jax = pytest.importorskip("jax")
    from jax import export  # noqa: PLC0415

    net = NETWORKS[name]
    params, dtype = net.init(0), {"f32": "float32", "f64": "float64"}[precision]
    made = export.deserialize(bytearray(to_stablehlo(net, params, precision=precision, **sizes).main))
    rng, lengths = np.random.default_rng(0), np.array([5, 2, 0], np.int32)
    state = net.state_tree(3, lambda s: rng.normal(size=s).astype(dtype))
    x = rng.normal(size=(5, 3, 3)).astype(dtype) if net.inputs == 3 else rng.integers(5, size=(5, 3), dtype="i4")
    with jax.enable_x64(precision == "f64"):
        outputs, final = made.call(x, state, lengths)
    ours = rnnspec.get_backend("numpy", precision=precision).run(net, params, x, state=state, lengths=lengths)
    near = {"f32": 1e-5, "f64": 1e-13}[precision]
    np.testing.assert_allclose(outputs, ours.outputs, 0, near)
    expected = dict(leaves(ours.state))
    for place, got in leaves(final):
        np.testing.assert_allclose(got, expected[place], 0, near)
    assert np.asarray(outputs).dtype == dtype


@pytest.mark.parametrize(("target", "library"), [(to_onnx, "onnx"), (to_onnx_step, "onnx"), (to_stablehlo, "jax")])
def test_a_missing_library_is_named_in_one_sentence(target, library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    net = NETWORKS["steps"]
    with pytest.raises(BackendUnavailable, match=f"{library} must be installed"):
        target(net, net.init(0))


@pytest.mark.parametrize("sizes", [{"steps": 0}, {"batch": -1}, {"batch": 2.0}, {"steps": True}])
def test_sizes_that_are_none_are_refused(sizes):
    net = NETWORKS["steps"]
    with pytest.raises(ArgumentError, match=f"{next(iter(sizes))} must be a whole number of at least 1, or None"):
        to_stablehlo(net, net.init(0), **sizes)


def test_the_command_writes_all(tmp_path, capsys):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("jax")
    from jax import export  # noqa: PLC0415

    net = NETWORKS["steps"]
    rnnspec.save(tmp_path / "net.safetensors", net, net.init(0))
    saved = str(tmp_path / "net.safetensors")
    assert main(["export", saved, "--to", "onnx"]) == 0
    assert from_onnx(onnx.load(tmp_path / "net.onnx")).net == net
    assert main(["export", saved, "--to", "onnx-step", "-o", str(tmp_path / "step.onnx")]) == 0
    step = onnx.load(tmp_path / "step.onnx")
    assert {i.name for i in step.graph.input} == {"x_t", "state.0.S", "state.1.h", "state.1.c"}
    assert main(["export", saved, "--to", "stablehlo", "--batch", "2", "--text"]) == 0
    made = export.deserialize(bytearray((tmp_path / "net.stablehlo").read_bytes()))
    assert made.in_avals[0].shape[1:] == (2, 3) and "stablehlo.while" in (tmp_path / "net.mlir").read_text()
    assert "wrote" in capsys.readouterr().out
