"""Layers with heads: shapes, what heads share, what is refused, files, every idiom, rules and policies."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rnnspec
from conformance import oracle
from rnnspec import Dense, Layer, Network, Path, cell, cells, convert, initialisers, out
from rnnspec.control.rule import chain
from rnnspec.derivation.correspondence import correspondence
from rnnspec.errors import NetworkError, RnnSpecError, UnsupportedError
from rnnspec.losses import SquaredError
from rnnspec.policies import ClipByUnitNorm, ClipStateByNorm
from rnnspec.primitives import outer, sigmoid, tanh
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import SGD, HoldSpectralNorm


@cell
def mixed(x, R, p, h, S):
    """Maps, a matrix, and x itself."""
    h = tanh(x.h + R.h(h) + R.c(x) + p.b * (S @ x.q))
    return out(h + R.y(p.A @ x)), h, sigmoid(p.f) * S + outer(h, x.k)


WIDTHS = {"h": 3, "S.columns": 4, "p.A.rows": 5}
SHARED = ("x.k", "R.c", "p.f", "p.A")
NET = Network(6, [Layer(mixed, WIDTHS, "bidirectional", heads=2, shared=SHARED)], output=Dense(2), loss=SquaredError())
LSTM = Network(3, [Layer(cells.lstm, hidden=2, heads=2)], loss=SquaredError())


def given(net, steps=5, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    return (net.init(seed), rng.normal(size=(steps, rows, net.inputs)), rng.normal(size=(steps, rows, net.features)),
            net.state_tree(rows, lambda shape: rng.normal(size=shape)), np.array([steps, 0, 2]))  # fmt: skip


def test_shapes_of_parameters_and_states():
    [layer] = NET.layers
    assert layer.cell.parameter_shapes(6, WIDTHS) == {
        "W": {"h": (6, 6), "q": (8, 6), "k": (4, 6)},
        "b": {"h": (6,), "q": (8,), "k": (4,)},
        "U": {"h": (2, 3, 3), "c": (3, 3), "y": (2, 3, 5)},
        "p": {"b": (6,), "f": (3, 4), "A": (5, 3)},
    }
    assert layer.state_shapes == {"h": (2, 3), "S": (2, 3, 4)}
    assert layer.state_sizes == {"h": 6, "S": 24}
    assert (layer.half_width, layer.width, NET.features) == (6, 12, 2)
    assert NET.state_shapes(7)[0]["reverse"]["S"] == (7, 2, 3, 4)
    assert Layer(cells.lstm, 2, heads=1).cell.parameter_shapes(3, 2)["U"]["i"] == (1, 2, 2)


def test_x_itself_is_split_or_shared():
    gated = cell(lambda x, R, h: tanh(R.h(h)) * x)
    apart = Network(6, [Layer(gated, 2, heads=3)])
    assert apart.features == 6
    whole = Network(6, [Layer(gated, 6, heads=3, shared=("x",))])
    assert whole.features == 18
    with pytest.raises(NetworkError, match=r"multiple of 4 heads, got 6; choose other heads, or write shared=\('x',\)"):
        Network(6, [Layer(gated, 2, heads=4)])


REFUSED = {
    "no heads": ({"heads": 0}, "heads must be a whole number of at least 1, or None, got 0"),
    "a string": ({"heads": "2"}, "heads must be a whole number"),
    "a truth value": ({"heads": True}, "heads must be a whole number"),
    "shared without heads": ({"shared": ("R.f",)}, "what heads can share: nothing, got 'R.f'; give heads too"),
    "an unknown name": ({"heads": 2, "shared": ("R.k",)}, r"share: x\.i, .*got 'R\.k'; give a name of the cell's"),
    "x that is not read": ({"heads": 2, "shared": ("x",)}, "got 'x'"),
    "a state": ({"heads": 2, "shared": ("h",)}, "got 'h'"),
    "one string": ({"heads": 2, "shared": "x.f"}, "shared must be a tuple of names, got 'x.f'"),
}


@pytest.mark.parametrize(("arguments", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_layer_is_refused(arguments, says):
    with pytest.raises(NetworkError, match=says):
        Layer(cells.lstm, 2, **arguments)


def test_cells_with_heads_are_others():
    plain, two = Layer(cells.lstm, 2), Layer(cells.lstm, 2, heads=2)
    three, sharing = Layer(cells.lstm, 2, heads=3), Layer(cells.lstm, 2, heads=2, shared=("x.i", "R.f"))
    found = [layer.cell for layer in (plain, two, three, sharing)]
    assert len(set(found)) == 4
    assert plain.cell == cells.lstm
    assert sharing.cell == Layer(cells.lstm, 2, heads=2, shared=["R.f", "x.i"]).cell
    assert hash(sharing.cell) == hash(Layer(cells.lstm, 2, heads=2, shared=["R.f", "x.i"]).cell)
    assert [repr(one) for one in found[:2]] == ["<cell lstm(h, c)>", "<cell lstm(h, c) with 2 heads>"]
    assert str(two.cell) == str(cells.lstm), "the equations of one head"
    assert correspondence(plain.cell, two.cell) is None
    assert correspondence(two.cell, two.cell) is not None


def test_every_backend_has_the_oracle_s_gradients(backend64):
    params, x, y, state, ends = given(NET)
    step = backend64.value_and_grad(NET, params, x, y, state, ends)
    wanted = oracle.value_and_grad(NET, params, x, y, state, ends)
    assert_allclose(backend64.to_numpy(step.loss_sum), wanted.loss_sum[0], rtol=1e-12)
    for got, right in ((step.grads.params, wanted.grads.params), (step.grads.inputs, wanted.grads.inputs),
                       (step.grads.state, wanted.grads.state), (step.state, wanted.state)):  # fmt: skip
        tree_map(lambda a, b: assert_allclose(a, b[0], rtol=1e-9, atol=1e-11), backend64.to_numpy(got), right)


def test_a_file_keeps_heads(tmp_path, reference):
    params, x, _, state, ends = given(NET)
    rnnspec.save(tmp_path / "net", NET, params)
    net, loaded = rnnspec.load(tmp_path / "net")
    assert net == NET
    assert (net.layers[0].heads, net.layers[0].shared) == (2, tuple(sorted(SHARED)))
    assert_array_equal(reference.run(net, loaded, x, state, ends).outputs,
                       reference.run(NET, params, x, state, ends).outputs)  # fmt: skip


def test_a_file_without_heads_still_loads():
    storage = import_module("rnnspec.storage")
    declared = storage.to_json(Network(3, [Layer(cells.lstm, 2)]))
    assert "heads" not in declared["layers"][0]
    assert "shared" not in declared["layers"][0]
    assert storage.from_json(declared).layers[0].cell == cells.lstm


@pytest.mark.parametrize("heads", [0, "2", 1.5, True, [2]])
def test_a_file_with_odd_heads_is_refused(heads):
    storage = import_module("rnnspec.storage")
    declared = storage.to_json(LSTM)
    declared["layers"][0]["heads"] = heads
    with pytest.raises(RnnSpecError):
        storage.from_json(declared)


def test_a_torch_module_has_the_network_s_names(open_backend):
    torch = pytest.importorskip("torch")
    backend, (params, x, _, state, ends) = open_backend("torch", "f64"), given(NET)
    module = backend.as_layer(NET, params=params)
    shapes = {name: tuple(shape) for name, shape in leaves(NET.parameter_shapes())}
    assert {name: tuple(a.shape) for name, a in module.state_dict().items()} == shapes
    other = backend.as_layer(NET, seed=1)
    other.load_state_dict(module.state_dict())
    outputs, final = other(torch.tensor(x), tree_map(torch.tensor, state), torch.tensor(ends))
    outputs.sum().backward()
    wanted = backend.pullback(NET, params, x, np.ones_like(backend.to_numpy(outputs.detach())), None, state, ends)
    assert final[0]["forward"]["S"].shape == (3, 2, 3, 4)
    got = other.get_parameter("layers.0.forward.U.y").grad
    assert_allclose(got, backend.to_numpy(wanted.params)["layers"][0]["forward"]["U"]["y"], rtol=1e-12)


def test_a_keras_layer_is_saved_and_loaded(open_backend, tmp_path):
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    backend, x = open_backend("tensorflow", "f32"), np.float32(np.moveaxis(given(LSTM)[1], 0, 1))
    model = keras.Sequential([keras.Input((None, 3)), backend.as_layer(LSTM, 3)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].net == LSTM
    assert [tuple(w.shape) for w in loaded.weights] == [tuple(shape) for _, shape in leaves(LSTM.parameter_shapes())]
    assert_array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))


def test_jax_functions(open_backend, reference):
    jax = pytest.importorskip("jax")
    init, apply = open_backend("jax", "f32").as_layer(LSTM)
    params, (_, x, _, state, ends) = init(0), given(LSTM)
    assert params["layers"][0]["forward"]["U"]["f"].shape == (2, 2, 2)
    outputs, final = jax.jit(apply)(params, np.float32(x), tree_map(np.float32, state), ends)
    wanted = reference.run(LSTM, LSTM.init(0), x, state, ends)
    assert_allclose(outputs, wanted.outputs, atol=1e-5)
    assert_allclose(final[0]["forward"]["c"], wanted.state[0]["forward"]["c"], atol=1e-5)


def test_each_head_is_drawn_by_itself():
    initial = {"U.f": initialisers.Orthogonal(), "U.i": initialisers.Identity(0.5), "U.o": initialisers.Uniform()}
    net = Network(3, [Layer(cells.lstm, 4, heads=3, initial=initial)])
    U = net.init(0)["layers"][0]["forward"]["U"]
    for head in range(3):
        assert_allclose(U["f"][head] @ U["f"][head].T, np.eye(4), atol=1e-12)
        assert_array_equal(U["i"][head], 0.5 * np.eye(4))
    assert len({a.tobytes() for a in U["f"]}) == 3
    assert 0.4 < np.abs(U["o"]).max() <= 0.5, "1 / sqrt of the width of one head"


def test_a_state_is_one_vector_for_a_policy(reference):
    """All heads together have the norm, so that the cotangent of each is scaled alike."""
    limit = 1e-3
    nets = [Network(3, [Layer(cells.elman, 2, heads=2, gradient=policy)], loss=SquaredError())
            for policy in (None, ClipStateByNorm(limit))]  # fmt: skip
    params, x, _, state, _ = given(nets[0], steps=1)
    d = np.random.default_rng(1).normal(size=(1, 3, 4))
    free, clipped = (reference.pullback(net, params, x, d, None, state) for net in nets)
    scale = limit / np.linalg.norm(d[0], axis=-1)
    for grads, factor in ((free, scale), (clipped, np.ones(3))):
        assert_allclose(grads.state[0]["forward"]["h"] * factor[:, None, None],
                        clipped.state[0]["forward"]["h"], rtol=1e-12)  # fmt: skip


def test_each_head_has_a_spectral_norm_of_its_own(open_backend):
    params, x, y, _, _ = given(LSTM)
    U = params["layers"][0]["forward"]["U"]
    U["f"] = np.stack([3 * np.eye(2), 0.5 * np.eye(2)])
    rule = HoldSpectralNorm(SGD(0.0), 1.0, iterations=5)
    done = open_backend("numpy", "f64").train_step(LSTM, rule, params, rule.init(params), x, y)
    assert_allclose(done.params["layers"][0]["forward"]["U"]["f"], np.stack([np.eye(2), 0.5 * np.eye(2)]), rtol=1e-9)


def test_each_row_of_each_head_is_a_unit(open_backend):
    params, x, y, _, _ = given(LSTM)
    backend, rule = open_backend("numpy", "f64"), chain(ClipByUnitNorm(1e-6), SGD(1.0))
    done = backend.train_step(LSTM, rule, params, rule.init(params), x, y)
    for name, w in leaves(params):
        if ".U." in name:
            change = np.linalg.norm(dict(leaves(done.params))[name] - w, axis=-1)
            assert_allclose(change, 1e-6 * np.linalg.norm(w, axis=-1), rtol=1e-6)


@pytest.mark.parametrize("side", ["torch", "keras", "flax"])
def test_no_conversion_takes_heads_for_none(side):
    pytest.importorskip(side)
    with pytest.raises(UnsupportedError, match=r"the cell must be one that .* got lstm with 2 heads in layers\.0"):
        getattr(convert, f"to_{side}")(LSTM, LSTM.init(0))


def test_onnx_writes_heads_by_their_equations():
    pytest.importorskip("onnx")
    params = LSTM.init(0)
    back = convert.from_onnx(convert.to_onnx(LSTM, params).model)
    assert back.net.layers == LSTM.layers
    for (name, found), (_, w) in zip(leaves(back.params), leaves(params), strict=True):
        assert_allclose(found, w, rtol=1e-6, err_msg=name)


def test_no_torch_module_is_read_as_a_cell_with_heads():
    torch = pytest.importorskip("torch")
    module = torch.nn.LSTM(3, 4)
    with pytest.raises(UnsupportedError, match=r"a cell that torch.nn has or .* got <cell lstm\(h, c\) with 2 heads>"):
        convert.from_torch((LSTM.layers[0].cell, module.state_dict()))


def test_no_kernel_runs_heads(open_backend):
    backend = open_backend("torch", "f32").through(Path.NATIVE)
    params, x, _, _, _ = given(LSTM)
    with pytest.raises(UnsupportedError, match="no kernel of PyTorch"):
        backend.run(LSTM, params, x)
    assert backend.run(Network(3, [Layer(cells.lstm, 4)]), Network(3, [Layer(cells.lstm, 4)]).init(0), x).path


@pytest.mark.parametrize("path", [Path.GENERIC, Path.NATIVE])
def test_tensorflow_runs_heads_of_several_rows_with_xla_and_without(path):
    pytest.importorskip("tensorflow")
    net = Network(3, [Layer(cells.slstm, 4, heads=3), Layer(cells.gru, 4, heads=2, shared=("R.r", "x.z"))])
    rng, params = np.random.default_rng(0), net.init(0)
    x, back = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5, net.features))
    be = rnnspec.get_backend("tensorflow", precision="f64").through(path)
    found = dict(leaves(be.to_numpy(be.pullback(net, params, x, back).params)))
    expected = dict(leaves(oracle.pullback(net, params, x, back).params))
    for name, array in found.items():
        np.testing.assert_allclose(array, expected[name][0], rtol=1e-11, atol=1e-13, err_msg=name)
