"""The TensorFlow backend by itself: XLA and the graph, its precisions, NumPy arrays of every kind."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rnnspec import Layer, Network, Path, cell, cells, policies
from rnnspec.errors import UnsupportedError
from rnnspec.primitives import maximum, minimum, relu
from rnnspec.tree import leaves

pytest.importorskip("tensorflow")

NET = Network(2, [Layer(cells.gru, 3), Layer(cells.elman, 2, "reverse", policies.Truncated(3))])
STEPS, LENGTHS = 5, np.array([2, 5, 0])
RNG = np.random.default_rng(0)
X, COTANGENT = RNG.normal(size=(STEPS, 3, 2)), RNG.normal(size=(STEPS, 3, 2))
STATE = [{"forward": {"h": RNG.normal(size=(3, 3))}}, {"reverse": {"h": RNG.normal(size=(3, 2))}}]


def numbers(backend, net=NET, x=X):
    """All numbers of a pullback, by name."""
    pulled = backend.pullback(net, net.init(0), x, COTANGENT, STATE, STATE, LENGTHS)
    tree = backend.to_numpy({"params": pulled.params, "inputs": pulled.inputs, "state": pulled.state})
    return dict(leaves(tree))


def assert_near(found, expected, share):
    for name, right in expected.items():
        np.testing.assert_allclose(found[name], right, rtol=0, atol=share * np.abs(right).max(initial=1e-3))


@pytest.mark.parametrize("precision, share", [("f32", 2e-6), ("f64", 4e-15)])
def test_the_graph_and_xla_agree_with_the_base_class(open_backend, reference, precision, share):
    backend, expected = open_backend("tensorflow", precision), numbers(reference)
    assert_near(numbers(backend), expected, share)
    assert_near(numbers(backend.through(Path.NATIVE)), expected, share)


def test_tensorflow_differentiates_to_the_same_gradients(open_backend, reference):
    net = Network(2, [Layer(layer.cell, layer.hidden, layer.direction) for layer in NET.layers])
    held = open_backend("tensorflow", "f64").through(Path.FRAMEWORK)
    assert_near(numbers(held, net), numbers(reference, net), 4e-15)
    with pytest.raises(UnsupportedError, match="policy"):
        numbers(held)


def test_a_run_says_what_ran(open_backend):
    backend, net = open_backend("tensorflow", "f32"), Network(1, [Layer(cells.elman, 1)])
    ran = {steps: backend.run(net, net.init(0), np.ones((steps, 1, 1))).path[0][1] for steps in (31, 32)}
    assert ran == {31: "generic", 32: "native (XLA)"}


def test_equal_calls_give_equal_bits_whatever_was_called_before(open_backend):
    backend, net = open_backend("tensorflow", "f32"), Network(1, [Layer(cells.elman, 1)])
    x = RNG.normal(size=(32, 2, 1))
    first, *others = (backend.to_numpy(backend.run(net, net.init(0), x).outputs) for _ in range(4))
    assert all(np.array_equal(first, other) for other in others)


START = """
import os, numpy, rnnspec
before = dict(os.environ)
net = rnnspec.Network(2, [rnnspec.Layer(rnnspec.cells.elman, hidden=3)])
for precision in ("f32", "f64", "f16"):
    rnnspec.get_backend("tensorflow", precision=precision).run(net, net.init(0), numpy.ones((32, 2, 2)))
assert os.environ == before
"""


def test_the_start_of_xla_says_nothing_and_leaves_the_environment():
    told = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, timeout=280, check=True)
    assert (told.stdout, told.stderr) == ("", "")


@cell
def kinked(x, R, h):
    """What XLA would lose NaN in."""
    return maximum(minimum(relu(x.a + R.a(h)), x.b), x.c)


def test_xla_keeps_nan(open_backend):
    net, x = Network(1, [Layer(kinked, 2)]), np.array([[[1.0]], [[np.nan]], [[1.0]]])
    for path in (Path.GENERIC, Path.NATIVE):
        backend = open_backend("tensorflow", "f32").through(path)
        found = backend.to_numpy(backend.run(net, net.init(0), x).outputs)
        assert np.isnan(found).all(axis=(1, 2)).tolist() == [False, True, True]


@pytest.mark.parametrize("precision, share, dtype", [("bf16", 0.1, "float32"), ("f16", 0.01, "float16")])
def test_16_bits(open_backend, reference, precision, share, dtype):
    net = Network(2, [Layer(cells.gru, 2)])
    given = (net, net.init(0), X, COTANGENT)
    backend = open_backend("tensorflow", precision)
    found, expected = backend.pullback(*given), reference.pullback(*given)
    assert backend.to_numpy(found.inputs).dtype == dtype
    assert backend.own_dtype(found.inputs) == {"bf16": "bfloat16", "f16": "float16"}[precision]
    assert_near(dict(leaves(backend.to_numpy(found.params))), dict(leaves(expected.params)), share)


def unaligned():
    whole = np.zeros(X.nbytes + 1, np.uint8)[1:]
    found = whole.view(X.dtype).reshape(X.shape)
    found[:] = X
    return found


def read_only():
    found = X.copy()
    found.flags.writeable = False
    return found


KINDS = {
    "unaligned": unaligned(), "read-only": read_only(), "reversed": X[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "by columns": np.asfortranarray(X),
}  # fmt: skip


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_arrays_of_every_kind_go_in_by_copy(open_backend, given):
    backend, net = open_backend("tensorflow", "f64"), Network(2, [Layer(cells.elman, 2)])
    own = backend.asarray(given)
    np.testing.assert_array_equal(backend.to_numpy(own), X)
    found, expected = (backend.to_numpy(backend.run(net, net.init(0), a).outputs) for a in (given, X))
    np.testing.assert_array_equal(found, expected)
    if given.flags.writeable:
        given += 1
        np.testing.assert_array_equal(backend.to_numpy(own), X)
        given -= 1
