"""Calls that are bound to parameters: they give what the backend's own calls give, in one run and step by step."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import numpy as np
import pytest

import rnnspec
from conformance.cases import Case
from conformance.judge import Judge
from conformance.properties.calls.bound import bound_call, stream
from conformance.registry import Shape
from rnnspec import Dense, Last, Layer, Network, Path, cell, cells, out
from rnnspec.errors import ArgumentError, DtypeError, ShapeError, TreeError, UnsupportedError
from rnnspec.policies import Truncated
from rnnspec.primitives import tanh
from rnnspec.tree import flat, flat_as, tree_map

BACKENDS = ("numpy", "torch", "jax", "tensorflow")
EQUAL_BITS = ("numpy", "torch", "tensorflow")
"""XLA of JAX compiles another program where maps are packed already."""

LSTM = Network(3, [Layer(cells.lstm, 4)])
X = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
PARAMS = LSTM.init(0)


@cell
def late(x, R, h):
    """Invented: the output of a step is the state before it."""
    return out(h), tanh(x.h + R.h(h))


PLANNED = Network(3, [Layer(cells.lstm, 4), Layer(late, 3), Layer(cells.gru_reset_before, 4),
                      Layer(cells.lstm_peephole, 3), Layer(cells.recurrent_additive_network, 4)],
                  output=Dense(2))  # fmt: skip
LOWERED = Network(4, [Layer(cells.slstm, 2, heads=2), Layer(cells.deltanet, 4), Layer(cells.mut1, 4)], read=Last())
"""Heads, a matrix state, and `x` itself."""


@pytest.mark.parametrize("name", ["numpy", "torch"])
@pytest.mark.parametrize("net", [PLANNED, LOWERED], ids=["planned", "lowered"])
def test_the_laws_on_bound_calls_hold_for_deep_stacks(name, net):
    be = rnnspec.get_backend(name)
    case = Case(net, 5, 3, None, seed=1)
    stream(be, case, Judge(be))
    bound_call(be, case, Judge(be))


@pytest.mark.parametrize("name", ["jax", "tensorflow"])
def test_a_compiled_stream_has_heads_and_matrices(name):
    be = rnnspec.get_backend(name)
    stream(be, Case(Network(4, LOWERED.layers[:2], read=Last()), 3, 2, None, seed=1), Judge(be))


@pytest.mark.parametrize(("name", "precision"), [("numpy", "f64"), ("torch", "bf16"), ("torch", "f64")])
def test_a_stream_has_the_precision_of_its_backend(name, precision):
    be = rnnspec.get_backend(name, precision=precision)
    case = Case(Network(3, [Layer(cells.gru, 4)], output=Dense(2)), 4, 1, None, seed=2)
    stream(be, case, Judge(be))


@pytest.mark.parametrize("name", BACKENDS)
def test_run_and_pullback_take_what_those_of_the_backend_take(name):
    be = rnnspec.get_backend(name)
    net = Network(3, [Layer(cells.gru, 4, "bidirectional", Truncated(2)), Layer(cells.elman, 3)])
    params, rng = net.init(1), np.random.default_rng(1)
    bound = be.bound(net, params)
    state = tree_map(lambda shape: rng.normal(size=shape), net.state_shapes(2))
    around = {"state": state, "lengths": np.array([6, 4]), "resets": rng.random((6, 2)) < 0.2}
    cotangent = rng.normal(size=(6, 2, 3))
    same(name, bound.run(X, **around), be.run(net, params, X, **around), be)
    if name == "jax":
        return  # a program for each call; P146 has its pullback
    same(name, bound.run(X[:4]), be.run(net, params, X[:4]), be)
    pulled = bound.pullback(X, cotangent, state, **around)
    same(name, pulled, be.pullback(net, params, X, cotangent, state, **around), be)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_long_layers_and_segments_are_pulled_back_alike(name):
    be, net = rnnspec.get_backend(name), Network(2, [Layer(cells.elman, 2)])
    x = np.random.default_rng(2).normal(size=(2100, 1, 2))
    for asked in (be, be.recomputing(64)) if name == "numpy" else (be,):
        bound, params = asked.bound(net, net.init(0)), net.init(0)
        for _ in range(2):  # the second call finds maps that are packed
            same(name, bound.pullback(x, x), asked.pullback(net, params, x, x), be)


def test_a_path_is_kept():
    native = rnnspec.get_backend("torch").through(Path.NATIVE)
    bound = native.bound(LSTM, PARAMS)
    assert bound.run(X).path == native.run(LSTM, PARAMS, X).path
    steps = [bound.step(x) for x in X]
    np.testing.assert_allclose(np.stack(steps), native.run(LSTM, PARAMS, X).outputs, rtol=1e-5, atol=1e-6)
    with pytest.raises(UnsupportedError, match="kernel"):
        native.bound(PLANNED, PLANNED.init(0)).step(X[0])


def test_the_framework_differentiates_a_bound_call():
    be = rnnspec.get_backend("torch").through(Path.FRAMEWORK)
    bound, cotangent = be.bound(LSTM, PARAMS), np.ones((6, 2, 4))
    same("torch", bound.pullback(X, cotangent), be.pullback(LSTM, PARAMS, X, cotangent), be)
    np.testing.assert_allclose(bound.step(X[0]), bound.run(X).outputs[0], rtol=1e-5, atol=1e-6)


def test_threads_share_a_bound_run():
    be = rnnspec.get_backend("numpy")
    bound, expected = be.bound(LSTM, PARAMS), be.run(LSTM, PARAMS, X).outputs
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(found.outputs, expected) for found in pool.map(lambda _: bound.run(X), range(40)))


@pytest.mark.parametrize("name", BACKENDS)
def test_what_a_stream_gives_and_takes_is_copied(name):
    be = rnnspec.get_backend(name)
    bound, first = be.bound(LSTM, PARAMS), be.to_numpy(be.run(LSTM, PARAMS, X[:3]).state)
    given = tree_map(np.array, first)
    bound.state = given
    flat(given)[0][...] = 9
    outputs, state = bound.step(X[3]), bound.state
    kept = be.to_numpy(outputs), be.to_numpy(state)
    tree_map(lambda a: a.fill(9) if name == "numpy" else a.zero_() if name == "torch" else None, state)
    bound.step(X[4])
    np.testing.assert_array_equal(be.to_numpy(outputs), kept[0])
    again = be.bound(LSTM, PARAMS)
    again.state = first
    again.step(X[3])
    for found, expected in zip(flat_as(first, be.to_numpy(again.state)), flat_as(first, kept[1]), strict=True):
        np.testing.assert_array_equal(found, expected)
    again.step(X[4])
    for found, expected in zip(flat(be.to_numpy(again.state)), flat(be.to_numpy(bound.state)), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_reset_lets_the_number_of_rows_change():
    bound = rnnspec.get_backend("numpy").bound(LSTM, PARAMS)
    bound.reset(np.zeros(0, bool))  # no row yet
    assert bound.state is None
    first = bound.step(X[0])
    with pytest.raises(ShapeError, match=r"bound\(...\).step\(...\): x_t must be \(batch, feature\) with 2 rows"):
        bound.step(X[0, :1])
    bound.state = None
    assert bound.state is None
    assert bound.step(X[0, :1]).shape == (1, 4)
    bound.reset()
    np.testing.assert_array_equal(bound.step(X[0]), first)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_stream_refuses_what_does_not_fit_and_goes_on(name):
    be = rnnspec.get_backend(name)
    bound, twin = be.bound(LSTM, PARAMS), be.bound(LSTM, PARAMS)
    wrong = ((X[0].tolist(), ArgumentError), (X, ShapeError), (X[0, :, :2], ShapeError), (X[0, :0], ShapeError),
             (X[0].astype(complex), DtypeError))  # fmt: skip
    for x_t in (X[0], X[1]):
        for given, error in wrong:
            with pytest.raises(error, match=r"bound\(...\).step\(...\): x_t must"):
                bound.step(given)
        for rows, error in ((np.ones(3, bool), ShapeError), (np.ones(2), DtypeError), ([True, False], ArgumentError)):
            with pytest.raises(error, match=r"bound\(...\).reset\(...\): rows must"):
                bound.reset(rows)
        with pytest.raises(TreeError, match=r"bound\(...\).state\(...\)"):
            bound.state = [{"forward": {"h": np.zeros((2, 4))}}]
        np.testing.assert_array_equal(bound.step(x_t), twin.step(x_t))


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_a_layer_that_needs_later_steps_has_no_stream(direction):
    net = Network(3, [Layer(cells.gru, 4), Layer(cells.gru, 4, direction)])
    bound = rnnspec.get_backend("numpy").bound(net, net.init(0))
    with pytest.raises(UnsupportedError, match=f"must run forward, got layers.1 '{direction}'; call run"):
        bound.step(X[0])
    with pytest.raises(UnsupportedError, match="must run forward"):
        bound.state = bound.run(X).state


def test_parameters_are_validated_when_they_are_bound():
    be = rnnspec.get_backend("numpy")
    wrong = tree_map(np.array, PARAMS)
    wrong["layers"][0]["forward"]["b"]["i"] = np.zeros(5)
    with pytest.raises(ShapeError, match=r"numpy.bound\(...\): params.layers.0.forward.b.i must have the shape"):
        be.bound(LSTM, wrong)
    with pytest.raises(ArgumentError, match="net must be a Network"):
        be.bound("lstm", PARAMS)
    with pytest.raises(UnsupportedError, match="capabilities"):
        type("Lstm", (rnnspec.Backend,), {"name": "lstm", "capabilities": rnnspec.Capabilities(cells=())})().bound(
            LSTM, PARAMS)  # fmt: skip


@pytest.mark.parametrize("name", BACKENDS)
def test_a_later_change_of_the_parameters_has_no_effect(name):
    be = rnnspec.get_backend(name)
    host, own = tree_map(np.array, PARAMS), be.asarray(PARAMS)
    of_host, of_own = be.bound(LSTM, host), be.bound(LSTM, own)
    expected = be.to_numpy(be.run(LSTM, PARAMS, X).outputs)
    tree_map(lambda w: w.fill(0), host)
    tree_map(lambda w: w.fill(0) if name == "numpy" else w.zero_() if name == "torch" else None, own)
    for bound in (of_host, of_own):
        np.testing.assert_allclose(be.to_numpy(bound.run(X).outputs), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(be.to_numpy(bound.step(X[0])), expected[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_two_threads_cannot_step_one_stream(name):
    bound = rnnspec.get_backend(name).bound(LSTM, PARAMS)
    first = bound.step(X[0])
    inner, entered, leave = bound._stepper.step, Event(), Event()

    def slow(x_t):
        entered.set()
        leave.wait(30)
        return inner(x_t)

    bound._stepper.step = slow
    other = Thread(target=bound.step, args=(X[1],))
    other.start()
    entered.wait(30)
    for call in (lambda: bound.step(X[1]), bound.reset, lambda: bound.state):
        with pytest.raises(UnsupportedError, match=r"one thread at a time.*give each thread a stream of its own"):
            call()
    np.testing.assert_array_equal(bound.stream().step(X[0]), first)
    leave.set()
    other.join()
    bound.step(X[2])
    once = rnnspec.get_backend(name).bound(LSTM, PARAMS)
    for x_t in X[:3]:
        once.step(x_t)
    for found, expected in zip(flat(bound.state), flat(once.state), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_backend_without_programs_of_its_own_binds_too():
    class Plain(rnnspec.Backend):
        name = "plain"

    be = Plain()
    bound = be.bound(LSTM, PARAMS)
    np.testing.assert_array_equal(bound.run(X).outputs, be.run(LSTM, PARAMS, X).outputs)
    np.testing.assert_allclose(np.stack([bound.step(x) for x in X]), bound.run(X).outputs, rtol=1e-5, atol=1e-6)


def test_jax_packs_the_maps_of_a_layer_into_three_arrays():
    be = rnnspec.get_backend("jax")
    bound = be.bound(LSTM, PARAMS)
    bound.step(X[0])
    (split,) = be.splits.kept.values()
    assert sorted(a.size for a in split.pack(be.asarray(PARAMS))) == [16, 48, 64]
    compiled = be.programs_compiled
    be.bound(LSTM, LSTM.init(1)).step(X[0])
    assert be.programs_compiled == compiled


def test_the_script_times_steps_and_runs(figures, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    script = figures("bound")
    for name, value in {"ROUNDS": 2, "STEP": Shape(1, 1, 2, 3), "ONE": Shape(1, 2, 2, 3), "SMALL": Shape(2, 2, 2, 3),
                        "CELLS": ("gru",), "STEPPED": ("gru",)}.items():  # fmt: skip
        monkeypatch.setattr(script, name, value)
    rows = script.measured("numpy")
    assert [(row["what"], row["peer"]) for row in rows] == [("step", "onnxruntime"), *[("run", "be.run")] * 4]
    assert all(row["seconds"] > 0 and row["low"] <= row["ratio"] <= row["high"] for row in rows)


def same(name, found, expected, be):
    """Equal bits where a bound call runs the same calls, else equal up to rounding."""
    pairs = [(getattr(found, part), getattr(expected, part)) for part in vars(found) if part != "path"]
    assert getattr(found, "path", None) == getattr(expected, "path", None)
    for one, other in pairs:
        for a, b in zip(flat_as(be.to_numpy(one), be.to_numpy(one)), flat_as(be.to_numpy(one), be.to_numpy(other)),
                        strict=True):  # fmt: skip
            if name in EQUAL_BITS:
                np.testing.assert_array_equal(a, b)
            else:
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
