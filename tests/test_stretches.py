"""Long layers run a stretch at a time: the same numbers, and programs of one stretch."""

import numpy as np
import pytest

import backends.numpy_backend.backend as numpy_backend
import backends.torch_backend.backend as torch_backend
import rnnspec
from conformance import oracle
from rnnspec import Layer, Network, cells, losses, policies
from rnnspec.tree import leaves

MODULES = {"numpy": numpy_backend, "torch": torch_backend}
STEPS, STRETCH = 300, 128


def question(direction="forward", gradient=None, lengths=None, batch=3):
    rng = np.random.default_rng(0)
    net = Network(2, [Layer(cells.gru, 3, direction, gradient)], loss=losses.SquaredError())
    shape = (STEPS, batch, net.features)
    state = [{half: {"h": rng.normal(size=(batch, 3))} for half in net.layers[0].halves}]
    cotangent = [{half: {"h": rng.normal(size=(batch, 3))} for half in net.layers[0].halves}]
    return net, net.init(1), rng.normal(size=(STEPS, batch, 2)), rng.normal(size=shape), cotangent, state, lengths


def together(one, other):
    """Each name with the leaves of both trees; order means nothing."""
    first, second = dict(leaves(one)), dict(leaves(other))
    assert first.keys() == second.keys()
    return [(name, first[name], second[name]) for name in first]


ENDS = np.array([300, 0, 130])
ASKED = {
    "full": {}, "ragged": {"lengths": ENDS}, "both": {"direction": "bidirectional", "lengths": ENDS},
    "one row": {"batch": 1}, "cut": {"gradient": policies.Truncated(7), "lengths": ENDS},
    "clipped": {"gradient": policies.ClipStateByNorm(0.1)},
}  # fmt: skip


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", MODULES)
def test_stretches_are_the_whole(name, asked, monkeypatch):
    net, params, x, w, ws, state, lengths = question(**ASKED[asked])
    backend = rnnspec.get_backend(name, precision="f64").through(rnnspec.Path.GENERIC)
    answers = []
    for stretch in (10_000, STRETCH):
        monkeypatch.setattr(MODULES[name], "STRETCH", stretch)
        run = backend.run(net, params, x, state, lengths)
        pulled = backend.pullback(net, params, x, w, ws, state, lengths)
        answers.append(backend.to_numpy([run.outputs, run.state, pulled.params, pulled.inputs, pulled.state]))
    for where, whole, parts in together(*answers):
        if name == "numpy":
            np.testing.assert_array_equal(parts, whole, err_msg=where)
        else:
            np.testing.assert_allclose(parts, whole, rtol=1e-9, atol=1e-12, err_msg=where)


@pytest.mark.parametrize("name", MODULES)
def test_segments_longer_than_a_stretch_are_run_again(name, monkeypatch):
    net, params, x, w, ws, state, lengths = question(lengths=ENDS)
    backend = rnnspec.get_backend(name, precision="f64").through(rnnspec.Path.GENERIC).recomputing(256)
    expected = oracle.pullback(net, params, x, w, ws, state, lengths)
    monkeypatch.setattr(MODULES[name], "STRETCH", STRETCH)
    found = backend.pullback(net, params, x, w, ws, state, lengths)
    for where, a, b in together(backend.to_numpy(found.params), expected.params):
        np.testing.assert_allclose(a, b[0], rtol=1e-9, atol=1e-12, err_msg=where)


@pytest.mark.parametrize("name", MODULES)
def test_a_program_has_room_for_one_stretch_and_serves_all_of_them(name, monkeypatch):
    monkeypatch.setattr(MODULES[name], "STRETCH", STRETCH)
    made = []

    class Counted(MODULES[name].Program):
        def __init__(self, *given):
            super().__init__(*given)
            made.append(self.capacity)

    monkeypatch.setattr(MODULES[name], "Program", Counted)
    net, params, x, w, ws, state, _ = question()
    backend = rnnspec.get_backend(name, precision="f64").through(rnnspec.Path.GENERIC)
    for _ in range(2):
        backend.pullback(net, params, x, w, ws, state)
    assert made == [STRETCH]


@pytest.mark.parametrize("name", MODULES)
def test_parameters_of_a_call_in_between_do_not_count(name, monkeypatch):
    """The pullback of a stretch takes a program that has served other parameters since."""
    monkeypatch.setattr(MODULES[name], "STRETCH", STRETCH)
    net, params, x, w, ws, state, _ = question()
    backend = rnnspec.get_backend(name, precision="f64").through(rnnspec.Path.GENERIC)
    layer, call = net.layers[0], rnnspec.Call("layers[0]", None, True, STEPS, 3, 2, False)
    given = backend.asarray([params["layers"][0]["forward"], x, state[0]["forward"], w, ws[0]["forward"]])
    own, inputs, first, cotangent, last = given
    result = backend.layer(layer.cell, own, inputs, first, None, call)
    backend.run(net, net.init(5), x[:STRETCH], state)
    found = backend.to_numpy(backend.layer_pullback(layer.cell, own, result, cotangent, last, call).params)
    expected = oracle.pullback(net, params, x, w, ws, state).params["layers"][0]["forward"]
    for where, a, b in together(found, expected):
        np.testing.assert_allclose(a, b[0], rtol=1e-9, atol=1e-12, err_msg=where)
