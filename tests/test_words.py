"""What stops a gradient, what counts features, and the mean: values, gradients and refusals, on every backend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from test_verification import for_numpy, for_torch

import rnnspec
from conformance import oracle
from conformance.cases import hidden_for
from rnnspec import Layer, Network, Path, cell, out
from rnnspec.control.rule import Rule
from rnnspec.errors import EquationError
from rnnspec.primitives import cos, erf, mean, minimum, sin, sqrt, stop, tanh, total, where, width
from rnnspec.tree import leaves, tree_map


@cell
def normalised(x, R, p, h, c):
    """Layer normalisation in the step, a rotation, and products over the root of a width."""
    u = x.a + R.a(h)
    u = (u - mean(u)) / sqrt(mean((u - mean(u)) * (u - mean(u))) + 1e-3) * p.gain
    angle = erf(R.b(c)) + stop(c)
    return tanh(u / sqrt(width(c))), cos(angle) * c - sin(angle) * tanh(R.c(h)) / width(h)


CELLS = {
    "normalised": normalised,
    "a width as the output": cell(lambda x, R, h: (out(width(h)), tanh(x.a + R.a(h)))),
    "a width as a state": cell(lambda x, h, c: (out(x.a * h), stop(h) - x.b, width(h))),
    "a map of a width": cell(lambda x, R, h: tanh(x.a * R.k(sqrt(width(h))) + R.k(1 + width(x.a)))),
    "a choice by a width": cell(lambda x, R, p, h: where(width(h) > 3, R.a(p.a) * h / width(p.a), p.b) + x.a),
    "stopped states": cell(lambda x, R, h, c: (stop(R.a(stop(h)) + x.a), tanh(stop(c) + x.c) * stop(tanh(h)))),
    "a stopped state handed on": cell(lambda x, h, c: (stop(c), tanh(x.a + stop(h)))),
    "one side of a choice stopped": cell(lambda x, h: minimum(stop(h) * x.a, where(h > 0, h, stop(x.a)))),
}  # fmt: skip


def question(declared, lengths=(4, 0, 2), seed=0):
    net, rng = Network(3, [Layer(declared, hidden_for(declared))]), np.random.default_rng(seed)
    params = tree_map(lambda a: a + 0.3 * rng.normal(size=a.shape), net.init(seed))
    outputs = rng.normal(size=(4, 3, net.features))
    state = [{"forward": {name: rng.normal(size=shape) for name, shape in net.state_shapes(3)[0]["forward"].items()}}]
    return net, params, rng.normal(size=(4, 3, 3)), outputs, None, state, np.array(lengths)


def paths(backend):
    yield backend
    others = (Path.NATIVE, Path.PARALLEL)  # not for every cell
    yield from (backend.through(path) for path in backend.capabilities.paths if path not in others)


@pytest.mark.parametrize("declared", CELLS.values(), ids=CELLS)
def test_values_and_gradients_are_those_of_the_oracle(backend64, declared):
    net, params, x, cotangent, _, state, lengths = question(declared)
    right = oracle.run(net, params, x, state, lengths)
    slopes = oracle.pullback(net, params, x, cotangent, None, state, lengths)
    wanted = dict(leaves([slopes.params, slopes.inputs, slopes.state]))
    for held in paths(backend64) if declared is normalised else [backend64]:
        got = held.run(net, params, x, state, lengths)
        np.testing.assert_allclose(held.to_numpy(got.outputs), right.outputs[0], rtol=1e-11, atol=1e-13)
        found = held.pullback(net, params, x, cotangent, None, state, lengths)
        for name, a in leaves([found.params, found.inputs, found.state]):
            np.testing.assert_allclose(held.to_numpy(a), wanted[name][0], rtol=1e-9, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_the_frameworks_own_differentiation_stops_too(name, open_backend):
    net, params, x, cotangent, _, state, lengths = question(CELLS["stopped states"])
    backend = open_backend(name, "f64")
    one = backend.pullback(net, params, x, cotangent, None, state, lengths)
    other = backend.through(Path.FRAMEWORK).pullback(net, params, x, cotangent, None, state, lengths)
    found = dict(leaves([other.params, other.inputs, other.state]))
    for place, a in leaves([one.params, one.inputs, one.state]):
        np.testing.assert_allclose(backend.to_numpy(found[place]), backend.to_numpy(a), atol=1e-14, err_msg=place)
    assert not backend.to_numpy(one.params["layers"][0]["forward"]["U"]["a"]).any()


def test_nothing_stopped_and_no_width_takes_a_call():
    for planned in (for_numpy, for_torch):
        for name in ("normalised", "a map of a width", "one side of a choice stopped"):
            plan = planned(CELLS[name])
            assert not {call.op for call in (*plan.before, *plan.step, *plan.after)} & {"stop", "width"}


def test_the_width_of_what_is_not_finite_is_its_width(reference):
    net = Network(1, [Layer(CELLS["a width as the output"], 2)])
    found = reference.run(net, net.init(0), np.full((3, 1, 1), np.nan)).outputs
    np.testing.assert_array_equal(found, np.full((3, 1, 1), 2.0))


@pytest.mark.parametrize("way", [width, mean, cos, sin, erf, stop], ids=lambda way: way.__name__)
def test_a_number_alone_is_refused(way):
    with pytest.raises(EquationError, match=r"must be given a vector, got 1\.5 alone; compute the number in Python"):
        way(1.5)


def test_the_length_of_a_vector_is_its_width():
    with pytest.raises(EquationError, match=r"write width\(a\)"):
        cell(lambda x, h: h * len(h))


def test_a_map_of_a_bare_width_is_refused_as_that_of_a_number():
    with pytest.raises(EquationError, match="got a number, which has no width"):
        cell(lambda x, R, h: R.k(width(h)) + x.a)


@dataclass(frozen=True)
class Centred(Rule):
    """Takes the mean of each map's gradient off."""

    def init(self, params):
        return ()

    def update(self, gradients, state, params):
        return tree_map(lambda g: (g - mean(g)) / width(g) + 0 * total(g), gradients), state


def test_in_a_rule_a_width_counts_the_entries_of_a_map(backend64):
    net = Network(2, [Layer(rnnspec.cells.elman, 3)], loss=rnnspec.losses.SquaredError())
    rule, params = rnnspec.chain(Centred(), rnnspec.updates.SGD(1.0)), net.init(0)
    x, y = np.ones((3, 2, 2)), np.zeros((3, 2, 3))
    grads = backend64.to_numpy(backend64.value_and_grad(net, params, x, y).grads.params)
    done = backend64.to_numpy(backend64.train_step(net, rule, params, rule.init(params), x, y).params)
    moved = dict(leaves(done))
    for (name, g), (_, w) in zip(sorted(leaves(grads)), sorted(leaves(params)), strict=True):
        mean_gradient = g / 6
        expected = w - (mean_gradient - mean_gradient.mean()) / g.size
        np.testing.assert_allclose(moved[name], expected, rtol=1e-12, err_msg=name)
    trained = oracle.train(net, rule, params, [(x, y, None, None)])
    for name, a in leaves(trained[0].params):
        np.testing.assert_allclose(moved[name], a[0], rtol=1e-12, err_msg=name)
