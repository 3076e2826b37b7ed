"""Resets: rows of several parts give what the parts give by themselves, on every path of every backend."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cells, losses
from rnnspec.errors import DtypeError, RnnSpecError, ShapeError, UnsupportedError
from rnnspec.policies import ClipStateByNorm, Truncated
from rnnspec.tree import leaves, tree_map

STEPS, ROWS = 9, 4
LENGTHS = np.array([STEPS, 5, 0, 7])
RESETS = np.random.default_rng(3).random((STEPS, ROWS)) < 0.35
RESETS[0] = [True, False, True, False]
RESETS[5:, 1] = True
NETWORKS = {
    "forward": Network(3, [Layer(cells.lstm, 4)]),
    "both": Network(3, [Layer(cells.gru, 4, "bidirectional", Truncated(2))]),
    "reverse": Network(3, [Layer(cells.lstm_projected, {"h": 4, "c": 5}, "reverse", ClipStateByNorm(0.3))]),
}
each_network = pytest.mark.parametrize("net", NETWORKS.values(), ids=NETWORKS)
each_lengths = pytest.mark.parametrize("lengths", [LENGTHS, None], ids=["ragged", "full"])


def drawn(net, seed=0):
    rng = np.random.default_rng(seed)
    state, last = (
        [{half: {name: rng.normal(size=shape) for name, shape in named.items()} for half, named in halves.items()}
         for halves in net.state_shapes(ROWS)] for _ in range(2)
    )  # fmt: skip
    outputs = rng.normal(size=(STEPS, ROWS, net.features))
    return net.init(1), rng.normal(size=(STEPS, ROWS, 3)), outputs, last, state


def answers(backend, net, given, lengths, resets):
    params, x, dy, last, state = given
    ran = backend.run(net, params, x, state, lengths, resets)
    pulled = backend.pullback(net, params, x, dy, last, state, lengths, resets)
    found = {"outputs": ran.outputs, "final": ran.state, "params": pulled.params, "inputs": pulled.inputs,
             "state": pulled.state}  # fmt: skip
    return backend.to_numpy(found)


def by_themselves(backend, net, given, lengths):
    """Every part of every row in a call of its own, of one row from zeros or from the state that is given."""
    params, x, dy, last, state = given
    found = {"outputs": np.zeros_like(dy), "final": tree_map(np.array, state), "inputs": np.zeros_like(x),
             "params": tree_map(np.zeros_like, params), "state": tree_map(np.array, last)}  # fmt: skip
    for row, end in enumerate(np.full(ROWS, STEPS) if lengths is None else lengths):
        begins = [t for t in range(end) if t == 0 or RESETS[t, row]]
        for begin, stop in pairwise([*begins, end]):
            enters = {"forward": begin == 0 and not RESETS[0, row], "reverse": stop == end}
            leaves_ = {"forward": stop == end, "reverse": begin == 0}

            def of(tree, where, row=row):
                return [{half: {name: (a if where[half] else 0 * a)[row : row + 1] for name, a in named.items()}
                         for half, named in halves.items()} for halves in tree]  # fmt: skip

            part = (slice(begin, stop), slice(row, row + 1))
            alone = answers(backend, net, (params, x[part], dy[part], of(last, leaves_), of(state, enters)), None, None)
            found["outputs"][part], found["inputs"][part] = alone["outputs"], alone["inputs"]
            found["params"] = tree_map(np.add, found["params"], alone["params"])
            for key, where in (("final", leaves_), ("state", enters)):
                for half, named in found[key][0].items():
                    for name, a in named.items():
                        if where[half]:
                            a[row] = alone[key][0][half][name][0]
        for a in found["state"][0].get("forward", {}).values() if end and RESETS[0, row] else ():
            a[row] = 0
    return found


def same(found, wanted, atol=1e-12):
    wanted = dict(leaves(wanted))
    for name, a in leaves(found):
        np.testing.assert_allclose(a, wanted[name], rtol=0, atol=atol, err_msg=name)


def wanted(net, lengths):
    given = drawn(net)
    if lengths is not None:
        given[2][np.arange(STEPS)[:, None] >= lengths] = 0
    return given, by_themselves(rnnspec.get_backend("numpy", precision="f64"), net, given, lengths)


@each_network
@each_lengths
@pytest.mark.parametrize("every", [None, 2, 4])
@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_parts_give_what_they_give_by_themselves(name, net, lengths, every, open_backend):
    backend = open_backend(name, "f64")
    backend = backend.recomputing(every) if every else backend
    given, right = wanted(net, lengths)
    same(answers(backend, net, given, lengths, RESETS), right)


@pytest.mark.parametrize(("name", "path"), [("jax", None), ("tensorflow", Path.NATIVE)])
def test_compiled_programs_do_too(name, path, open_backend):
    backend = open_backend(name, "f64")
    backend = backend.through(path) if path else backend
    given, right = wanted(NETWORKS["both"], LENGTHS)
    same(answers(backend, NETWORKS["both"], given, LENGTHS, RESETS), right)


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_so_do_the_framework_s_own_gradients(name, open_backend):
    backend = open_backend(name, "f64").through(Path.FRAMEWORK)
    given, right = wanted(NETWORKS["forward"], LENGTHS)
    same(answers(backend, NETWORKS["forward"], given, LENGTHS, RESETS), right)


def test_layers_on_columns_know_resets(open_backend):
    """Many rows with large maps, which XLA runs on columns, against the plain lowering of NumPy."""
    net = Network(3, [Layer(cells.elman, 300)])
    rng = np.random.default_rng(0)
    x, resets, params = rng.normal(size=(3, 40, 3)), rng.random((3, 40)) < 0.5, net.init(0)
    found, right = (open_backend(name, "f64").run(net, params, x, None, None, resets).outputs
                    for name in ("jax", "numpy"))  # fmt: skip
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_nothing_crosses_a_reset(name, open_backend):
    """NaN before a reset reaches no number after it, and NaN among cotangents after it none before."""
    net, backend = NETWORKS["both"], open_backend(name, "f64")
    params, x, dy, last, state = drawn(net)
    resets = np.zeros((STEPS, ROWS), bool)
    resets[4] = True
    right = answers(backend, net, (params, x, dy, last, state), None, resets)
    x[2], dy[2] = np.nan, np.nan
    found = answers(backend, net, (params, x, dy, last, state), None, resets)
    np.testing.assert_array_equal(found["outputs"][4:], right["outputs"][4:])
    np.testing.assert_array_equal(found["inputs"][4:], right["inputs"][4:])
    assert np.isnan(found["outputs"][:4]).any()
    x[2], dy[2] = 0.0, 0.0
    dy[6] = np.nan
    assert not np.isnan(answers(backend, net, (params, x, dy, last, state), None, resets)["inputs"][:4]).any()


@pytest.mark.parametrize("read", [None, Last()])
def test_a_loss_and_a_training_step_take_resets(read, open_backend):
    net = Network(3, [Layer(cells.gru, 4), Layer(cells.elman, 3, "bidirectional")], *([read] if read else []),
                  output=Dense(2), loss=losses.SquaredError())  # fmt: skip
    backend, rng = open_backend("numpy", "f64"), np.random.default_rng(0)
    x, y = rng.normal(size=(STEPS, ROWS, 3)), rng.normal(size=(ROWS, 2) if read else (STEPS, ROWS, 2))
    params, rule = net.init(0), rnnspec.updates.SGD(1.0)
    step = backend.value_and_grad(net, params, x, y, None, LENGTHS, RESETS)
    trained = backend.train_step(net, rule, params, rule.init(params), x, y, None, LENGTHS, RESETS)
    same(trained.params, tree_map(lambda w, g: w - g / step.count, params, step.grads.params))
    eps, at = 1e-6, (4, 0, 1)
    moved = [backend.value_and_grad(net, params, _moved(x, at, e), y, None, LENGTHS, RESETS) for e in (eps, -eps)]
    slope = (moved[0].loss_sum - moved[1].loss_sum) / (2 * eps)
    np.testing.assert_allclose(slope, step.grads.inputs[at], rtol=0, atol=1e-6)
    assert step.count == backend.value_and_grad(net, params, x, y, None, LENGTHS).count


def _moved(x, at, by):
    found = np.array(x)
    found[at] += by
    return found


def test_windows_as_long_as_the_sequence_take_resets(open_backend):
    net = Network(3, [Layer(cells.gru, 4)], loss=losses.SquaredError())
    backend, rng = open_backend("numpy", "f64"), np.random.default_rng(0)
    given = net, net.init(0), rng.normal(size=(STEPS, ROWS, 3)), rng.normal(size=(STEPS, ROWS, 4)), None, LENGTHS
    right = backend.value_and_grad(*given, RESETS)
    found = rnnspec.Windows(every=2, back=2 * STEPS).value_and_grad(backend, *given, RESETS)
    same(found.grads.params, right.grads.params)
    same(found.state, right.state)


def test_the_gradient_flow_ends_at_a_reset(open_backend):
    net = Network(3, [Layer(cells.gru, 4, "bidirectional")], loss=losses.SquaredError())
    rng, resets = np.random.default_rng(0), np.zeros((STEPS, 1), bool)
    resets[6] = True
    x, y = rng.normal(size=(STEPS, 1, 3)), rng.normal(size=(STEPS, 1, 8))
    flow = rnnspec.gradient_flow(open_backend("numpy", "f64"), net, net.init(0), x, y, resets=resets)
    forward, reverse = flow.halves
    assert np.flatnonzero(forward.jacobians == 0).tolist() == [6]
    assert np.flatnonzero(reverse.jacobians == 0).tolist() == [STEPS - 6]
    assert np.isneginf(forward.products[4:]).all()
    assert np.isfinite(forward.products[:3]).all()


def test_a_kernel_without_resets_says_so(open_backend):
    net, backend = NETWORKS["forward"], open_backend("torch", "f32")
    x = np.zeros((STEPS, ROWS, 3))
    with pytest.raises(UnsupportedError, match="resets, which no kernel of PyTorch has"):
        backend.through(Path.NATIVE).run(net, net.init(0), x, resets=RESETS)
    assert "native" in backend.run(net, net.init(0), x).path[0][1]
    assert "generic" in backend.run(net, net.init(0), x, resets=RESETS).path[0][1]


class Unaware(rnnspec.Backend):
    """A backend that was written before there were resets."""

    name = "unaware"

    def layer(self, cell, params, inputs, state, lengths, call):
        return super().layer(cell, params, inputs, state, lengths, call)


def test_a_backend_that_declares_no_resets_refuses_them():
    net, backend, x = NETWORKS["forward"], Unaware(precision="f64"), np.zeros((STEPS, ROWS, 3))
    with pytest.raises(UnsupportedError, match=r"unaware.run\(...\): .*, got no resets among its capabilities"):
        backend.run(net, net.init(0), x, resets=RESETS)
    plain = backend.run(net, net.init(0), x)
    same(backend.run(net, net.init(0), x, resets=np.zeros_like(RESETS)).outputs, plain.outputs, 0)


@pytest.mark.parametrize(("resets", "error", "says"), [
    (RESETS.astype(int), DtypeError, "resets must be true or false, got dtype int64; convert them with astype"),
    (RESETS.astype(float), DtypeError, "resets must be true or false, got dtype float64"),
    (RESETS.T, ShapeError, r"resets must have the shape \(9, 4\), \(time, batch\), got shape \(4, 9\)"),
    (RESETS[:, 0], ShapeError, "resets must have the shape"),
    (RESETS[..., None], ShapeError, "resets must have the shape"),
    (RESETS.tolist(), RnnSpecError, "resets must be a NumPy array"),
])  # fmt: skip
def test_wrong_resets_are_refused(resets, error, says, open_backend):
    net, backend = NETWORKS["forward"], open_backend("numpy", "f64")
    params, x, dy, *_ = drawn(net)
    with pytest.raises(error, match=rf"numpy.run\(...\): {says}"):
        backend.run(net, params, x, resets=resets)
    with pytest.raises(error, match=rf"numpy.pullback\(...\): {says}"):
        backend.pullback(net, params, x, dy, resets=resets)


def test_a_tensor_of_the_framework_s_own_will_do(open_backend):
    torch = pytest.importorskip("torch")
    net, backend = NETWORKS["forward"], open_backend("torch", "f64")
    x = np.ones((STEPS, ROWS, 3))
    found, right = (backend.to_numpy(backend.run(net, net.init(0), x, resets=resets).outputs)
                    for resets in (torch.from_numpy(RESETS), RESETS))  # fmt: skip
    np.testing.assert_array_equal(found, right)
