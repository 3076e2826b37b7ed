"""Every backend gives the numbers and gradients of the base class in float64, for every declaration."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

import rnnspec
from conformance import oracle
from rnnspec import Dense, Last, Layer, Network, cell, cells, chain, losses, policies, updates
from rnnspec.primitives import (
    exp,
    log,
    maximum,
    minimum,
    relu,
    remainder,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    total,
    where,
)
from rnnspec.tree import leaves, tree_map

UNIT = {"f32": 2.0**-24, "f64": 2.0**-53}
ROUNDINGS = 60
"""Of the largest number of a tensor: what 6 steps of these small networks add up to. The worst seen is 16."""

STEPS, ROWS, INPUTS = 6, 5, 3
LENGTHS = np.array([4, 0, STEPS, 1, 3])
PADDING = np.arange(STEPS)[:, None] >= LENGTHS


@cell
def own(x, R, p, h, m):
    """A cell of a user's own that needs every primitive but the remainder."""
    a = softplus(x.a + R.a(h))
    b = exp(-relu(x.b + p.b * m))
    n = (x.n + R.n(a * h)) / sqrt(1.0 + total(h * h) + m * m)
    m = where(m > n, maximum(m * b, n), minimum(m, log(1.0 + a)) - 0.5)
    return sigmoid(n) * b + (1.0 - b) * tanh(h), m


@cell
def silent(x, R, h):
    """A cell whose output is no state, and runs after the loop."""
    new = tanh(x.h + R.h(h))
    return rnnspec.out(new * x.y), new


@dataclass(frozen=True)
class Bounded(policies.Recurrence):
    """A policy of a user's own on the other hook, which also tells one step from the next."""

    limit: float

    def total(self, step, cotangents):
        limit = self.limit * (1.0 + remainder(step, 2.0))
        return {state: maximum(minimum(d, limit), -limit) for state, d in cotangents.items()}


BUILT_IN = {name: getattr(cells, name) for name in ("elman", "elman_relu", "lstm", "lstm_peephole", "gru",
                                                    "gru_reset_before", "mingru")}  # fmt: skip
SINGLE = {name: Network(INPUTS, [Layer(each, hidden=4)]) for name, each in BUILT_IN.items()} | {
    "lstm_projected": Network(INPUTS, [Layer(cells.lstm_projected, hidden={"h": 3, "c": 5}, direction="reverse")]),
    "own": Network(INPUTS, [Layer(own, hidden=4, direction="reverse")]),
    "silent": Network(INPUTS, [Layer(silent, hidden=4)]),
}
CUT = [Layer(cells.lstm, hidden=3, direction="bidirectional", gradient=policies.Truncated(2)),
       Layer(cells.elman, hidden=2, direction="reverse", gradient=Bounded(0.05))]  # fmt: skip
LEARNING = {
    "softmax-last": Network(INPUTS, CUT, Last(), Dense(4), losses.SoftmaxCrossEntropy()),
    "sigmoid-steps": Network(INPUTS, [Layer(cells.gru, hidden=3), Layer(cells.elman, hidden=2)], output=Dense(4),
                             loss=losses.SigmoidCrossEntropy()),
    "squared-last-both": Network(INPUTS, [Layer(cells.elman, hidden=2, direction="bidirectional")], Last(),
                                 loss=losses.SquaredError()),
}  # fmt: skip
RULES = {
    "value-sgd": chain(policies.ClipByValue(0.01), updates.SGD(0.1)),
    "norm-momentum": chain(policies.ClipByNorm(0.05), updates.SGD(0.1, momentum=0.9)),
    "global-adam": chain(policies.ClipByGlobalNorm(0.1), updates.Adam(0.01)),
    "units-guarded": policies.ScaleLoss(
        policies.SkipNonFinite(chain(policies.ClipByUnitNorm(0.05), policies.ZeroNonFinite(), updates.Adam(0.01))),
        256.0, interval=2,
    ),
    "sharded": chain(policies.ClipByGlobalNorm(0.1, reduce=lambda squares: squares + squares), updates.SGD(0.1)),
}


def drawn(net, seed=1):
    """Parameters, inputs and states of which no two numbers are alike, biases and states among them."""
    rng = np.random.default_rng(seed)
    params = tree_map(lambda w: w + rng.normal(scale=0.3, size=w.shape), net.init(seed))
    state = tree_map(lambda shape: rng.normal(size=shape), net.state_shapes(ROWS))
    return params, rng.normal(size=(STEPS, ROWS, INPUTS)), state


def cotangents(net, seed=2):
    rng = np.random.default_rng(seed)
    shape = (ROWS, net.features) if isinstance(net.read, Last) else (STEPS, ROWS, net.features)
    return rng.normal(size=shape), tree_map(lambda shape: rng.normal(size=shape), net.state_shapes(ROWS))


def targets(net, seed=3):
    rng = np.random.default_rng(seed)
    shape = (ROWS,) if isinstance(net.read, Last) else (STEPS, ROWS)
    if net.loss.integer_targets:
        return rng.integers(0, net.features, shape)
    return rng.uniform(size=(*shape, net.features))


def parts(result):
    """Whatever a call gave, as one tree without what is no array."""
    names = ("outputs", "params", "rule_state", "inputs", "state", "loss_sum", "grads")
    found = {name: getattr(result, name) for name in names if hasattr(result, name)}
    return found | ({"grads": parts(found["grads"])} if "grads" in found else {})


def assert_same(backend, got, reference, expected, roundings=ROUNDINGS):
    """Agreement up to rounding, entry by entry, measured by the largest number of each tensor."""
    got, expected = dict(leaves(backend.to_numpy(parts(got)))), dict(leaves(reference.to_numpy(parts(expected))))
    assert got.keys() == expected.keys()
    for name, right in expected.items():
        assert got[name].shape == right.shape, name
        allowed = roundings * UNIT[backend.precision] * np.abs(right).max(initial=1e-3)
        np.testing.assert_allclose(got[name], right, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("name", SINGLE)
def test_every_cell_runs_and_pulls_back(either, reference, name):
    net = SINGLE[name]
    params, inputs, state = drawn(net)
    assert_same(either, either.run(net, params, inputs, state, LENGTHS), reference,
                reference.run(net, params, inputs, state, LENGTHS))  # fmt: skip
    given = (net, params, inputs, *cotangents(net), state, LENGTHS)
    assert_same(either, either.pullback(*given), reference, reference.pullback(*given))


@pytest.mark.parametrize("name, lengths", [*((name, LENGTHS) for name in LEARNING), ("squared-last-both", None)])
def test_every_loss_and_policy_inside_the_recurrence(either, reference, name, lengths):
    net = LEARNING[name]
    params, inputs, state = drawn(net)
    given = (net, params, inputs, targets(net), state, lengths)
    got, expected = either.value_and_grad(*given), reference.value_and_grad(*given)
    assert got.count == expected.count
    assert_same(either, got, reference, expected)


@pytest.mark.parametrize("rule", RULES)
def test_three_steps_of_every_rule(either, reference, rule):
    net = LEARNING["squared-last-both"]
    params, inputs, state = drawn(net)
    got = expected = None
    rule, at, right = RULES[rule], (params, RULES[rule].init(params)), (params, RULES[rule].init(params))
    for seed in range(3):
        given = (inputs, targets(net, seed), state, LENGTHS)
        got, expected = either.train_step(net, rule, *at, *given), reference.train_step(net, rule, *right, *given)
        at, right = (got.params, got.rule_state), (expected.params, expected.rule_state)
    assert_same(either, got, reference, expected, roundings=3 * ROUNDINGS)


@pytest.mark.parametrize("name", ["silent", "lstm_projected"])
def test_nothing_of_the_padding_reaches_anything(either, name):
    net = SINGLE[name]
    params, inputs, state = drawn(net)
    output, final = cotangents(net)
    clean = either.pullback(net, params, np.where(PADDING[..., None], 0.0, inputs), output, final, state, LENGTHS)
    filled = np.where(PADDING[..., None], np.nan, inputs)
    poisoned = np.where(PADDING[..., None], np.inf, output)
    assert_equal(either, clean, either.pullback(net, params, filled, poisoned, final, state, LENGTHS))
    result = either.to_numpy(parts(either.run(net, params, filled, state, LENGTHS)))
    assert (result["outputs"][PADDING] == 0).all()
    for kept, first in zip(result["state"][0].values(), state[0].values(), strict=True):
        for each, kind in kept.items():
            np.testing.assert_array_equal(kind[1], first[each][1].astype(kind.dtype))


def test_targets_in_the_padding_are_ignored(either):
    net = LEARNING["sigmoid-steps"]
    params, inputs, state = drawn(net)
    right = targets(net)
    wrong = np.where(PADDING[..., None], np.nan, right)
    given = [either.value_and_grad(net, params, inputs, y, state, LENGTHS) for y in (right, wrong)]
    assert_equal(either, *given)


def test_rows_know_nothing_of_one_another(either):
    net = SINGLE["own"]
    params, inputs, state = drawn(net)
    spoiled = inputs.copy()
    spoiled[0, 2] = np.nan, np.inf, 0.0
    clean, bad = (either.to_numpy(either.run(net, params, x, state, LENGTHS).outputs) for x in (inputs, spoiled))
    others = [0, 1, 3, 4]
    np.testing.assert_array_equal(clean[:, others], bad[:, others])
    assert np.isnan(bad[:, 2]).any()


def assert_equal(backend, first, second):
    first, second = (dict(leaves(backend.to_numpy(parts(each)))) for each in (first, second))
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


@pytest.mark.parametrize("steps, rows", [(0, 2), (2, 0), (0, 0)])
@pytest.mark.parametrize("name", ["softmax-last", "sigmoid-steps"])
def test_no_time_or_no_rows(either, reference, name, steps, rows):
    net, compiled = LEARNING[name], getattr(either, "programs_compiled", 0)
    labels = targets(net)[:rows] if isinstance(net.read, Last) else targets(net)[:steps, :rows]
    given = (net, drawn(net)[0], np.zeros((steps, rows, INPUTS)), labels)
    got = either.value_and_grad(*given)
    assert got.count == 0
    assert_same(either, got, reference, reference.value_and_grad(*given))
    assert getattr(either, "programs_compiled", 0) == compiled


def test_one_of_everything(either, reference):
    net = Network(1, [Layer(cells.gru, hidden=1)], output=Dense(1), loss=losses.SigmoidCrossEntropy())
    given = (net, net.init(0), np.full((1, 1, 1), 0.5), np.ones((1, 1, 1)))
    assert_same(either, either.value_and_grad(*given), reference, reference.value_and_grad(*given))


@pytest.mark.parametrize("rows", [1, 3])
def test_a_single_row_and_several_of_many_steps(either, reference, rows):
    """Backends that compile may plan a row in another way, and longer layers with another compiler."""
    net, rng, steps = SINGLE["lstm_peephole"], np.random.default_rng(4), 40
    given = (net, drawn(net)[0], rng.normal(size=(steps, rows, INPUTS)))
    state = tree_map(lambda shape: rng.normal(size=shape), net.state_shapes(rows))
    cotangent, lengths = rng.normal(size=(steps, rows, net.features)), np.array([33, 40, 7])[:rows]
    assert_same(either, either.run(*given, state, lengths), reference, reference.run(*given, state, lengths))
    asked = (*given, cotangent, state, state, lengths)
    assert_same(either, either.pullback(*asked), reference, reference.pullback(*asked))


def test_a_batch_without_a_real_step_trains_by_nothing(either):
    net, rule = LEARNING["squared-last-both"], RULES["value-sgd"]
    params, inputs, state = drawn(net)
    done = either.train_step(net, rule, params, rule.init(params), inputs, targets(net), state, np.zeros(ROWS, int))
    assert (done.count, float(done.loss_sum)) == (0, 0.0)
    assert_equal(either, done, replace(done, params=either.asarray(params)))


def test_shapes_are_compiled_once(either):
    net, learning, rule = SINGLE["elman"], LEARNING["squared-last-both"], RULES["global-adam"]
    for lengths in (LENGTHS, LENGTHS[::-1].copy()):
        before = getattr(either, "programs_compiled", 0)
        params, inputs, state = drawn(learning)
        alike = Network(INPUTS, [Layer(cells.elman, hidden=4)])
        either.run(alike, *drawn(net), lengths)
        either.train_step(learning, rule, params, rule.init(params), inputs, targets(learning), state, lengths)
    assert getattr(either, "programs_compiled", 0) == before


@cell
def old_and_new(x, R, u, h):
    """Maps read a state before the step and after it: in one memory, a step apart."""
    new = x.n * h + R.old(u)
    return new, R.new(new) * new


def test_a_state_that_maps_read_before_and_after_a_step_keeps_its_last(open_backend):
    net = Network(3, [Layer(old_and_new, 4)])
    rng, lengths = np.random.default_rng(3), np.array([2, 1, 5, 0, 4])
    x, cotangent = rng.normal(size=(5, 5, 3)), rng.normal(size=(5, 5, 4))
    expected = oracle.pullback(net, net.init(1), x, cotangent, lengths=lengths).params["layers"][0]["forward"]["U"]
    for name in ("numpy", "torch"):
        backend = open_backend(name, "f64")
        found = backend.to_numpy(backend.pullback(net, net.init(1), x, cotangent, lengths=lengths).params)
        for r in ("old", "new"):
            np.testing.assert_allclose(found["layers"][0]["forward"]["U"][r], expected[r][0], rtol=1e-9, atol=1e-12)
