"""Update rules against torch.optim, and what they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rnnspec import Layer, Network, Windows, cells, chain, losses
from rnnspec.errors import ArgumentError, NetworkError, TreeError
from rnnspec.policies import ClipByGlobalNorm, ClipByUnitNorm, ScaleLoss
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import SGD, Adam

PAIRS = {
    "plain": (SGD(0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "momentum": (SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, 0.05, momentum=0.9)),
    "adam": (Adam(1e-2), lambda p: torch.optim.Adam(p, 1e-2)),
    "adam of other constants": (Adam(0.1, 0.5, 0.9, 1e-3), lambda p: torch.optim.Adam(p, 0.1, (0.5, 0.9), 1e-3)),
    "adam without memory": (Adam(0.1, 0.0, 0.0), lambda p: torch.optim.Adam(p, 0.1, (0.0, 0.0))),
}

net = Network(inputs=2, layers=[Layer(cells.gru, hidden=3)], loss=losses.SquaredError())


@pytest.mark.parametrize(("rule", "optimiser"), PAIRS.values(), ids=PAIRS)
def test_ten_steps_are_those_of_torch(rule, optimiser, reference):
    """The gradient of the mean is ours at our parameters, so that only the rule is compared."""
    rng = np.random.default_rng(0)
    params, state = net.init(0), rule.init(net.init(0))
    theirs = tree_map(lambda a: torch.tensor(a, requires_grad=True), params)
    stepping = optimiser([leaf for _, leaf in leaves(theirs)])
    for _ in range(10):
        inputs, targets = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 3))
        lengths = rng.integers(0, 5, 3)
        step = reference.value_and_grad(net, params, inputs, targets, lengths=lengths)
        gradients = dict(leaves(step.grads.params))
        for name, leaf in leaves(theirs):
            leaf.grad = torch.tensor(gradients[name] / max(step.count, 1))
        stepping.step()
        done = reference.train_step(net, rule, params, state, inputs, targets, lengths=lengths)
        params, state = done.params, done.rule_state
        assert done.count == step.count == lengths.sum()
        assert done.loss_sum == step.loss_sum
        ours = dict(leaves(params))
        for name, leaf in leaves(theirs):
            np.testing.assert_allclose(ours[name], leaf.detach().numpy(), rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.parametrize(("rule", "optimiser"), PAIRS.values(), ids=PAIRS)
def test_a_batch_without_a_real_step_is_a_gradient_of_zeros(rule, optimiser, reference):
    params = net.init(0)
    inputs, targets, none = np.ones((4, 3, 2)), np.ones((4, 3, 3)), np.zeros(3, int)
    done = reference.train_step(net, rule, params, rule.init(params), inputs, targets, lengths=none)
    assert (done.count, done.loss_sum) == (0, 0)
    for (_, before), (_, after) in zip(leaves(params), leaves(done.params), strict=True):
        np.testing.assert_array_equal(before, after)


def test_momentum_moves_on_without_a_gradient(reference):
    params, rule = net.init(0), SGD(1.0, momentum=0.5)
    state = {"velocity": tree_map(np.ones_like, params)}
    inputs, targets, none = np.ones((4, 3, 2)), np.ones((4, 3, 3)), np.zeros(3, int)
    done = reference.train_step(net, rule, params, state, inputs, targets, lengths=none)
    for (_, before), (_, after) in zip(leaves(params), leaves(done.params), strict=True):
        np.testing.assert_array_equal(after, before - 0.5)


@pytest.mark.parametrize("wrong", [{"rate": -1}, {"rate": np.nan}, {"rate": np.inf}, {"rate": "1"}, {"rate": None},
                                   {"rate": True}, {"beta1": 1.0}, {"beta2": -0.1}, {"beta2": np.nan},
                                   {"epsilon": -1e-8}, {"epsilon": None}], ids=repr)  # fmt: skip
def test_adam_refuses(wrong):
    with pytest.raises(NetworkError, match=next(iter(wrong))):
        Adam(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"rate": -1}, {"rate": 1j}, {"rate": 1.0, "momentum": 1}, {"rate": 1.0, "momentum": "a"}], ids=repr
)
def test_sgd_refuses(wrong):
    with pytest.raises(NetworkError):
        SGD(**wrong)


def batch(rows, steps=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(steps, rows, 2)), rng.normal(size=(steps, rows, 3))


def test_an_update_by_a_step_is_a_training_step(backend):
    """Up to sixty roundings of float32: a training step may be one program, and another than its two halves."""
    params, rule, (inputs, targets) = net.init(0), chain(ClipByGlobalNorm(0.1), Adam(0.1)), batch(3)
    kept = rule.init(params)
    lengths = np.array([4, 0, 3])
    step = backend.value_and_grad(net, params, inputs, targets, lengths=lengths)
    done = backend.update(net, rule, params, kept, step)
    whole = backend.train_step(net, rule, params, kept, inputs, targets, lengths=lengths)
    assert done.count == whole.count == 7
    for found, expected in ((done.params, whole.params), (done.rule_state, whole.rule_state)):
        for (name, a), (_, b) in zip(leaves(backend.to_numpy(found)), leaves(backend.to_numpy(expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=60 * 2.0**-24 * np.abs(b).max(initial=0), err_msg=name)


def test_the_norm_of_a_gradient_overflows_on_every_backend(backend):
    params, rule = net.init(0), chain(ClipByUnitNorm(0.5), SGD(1.0))
    step = backend.value_and_grad(net, params, *batch(3))
    large = tree_map(lambda g: np.full(g.shape, 2.0**100, g.dtype), backend.to_numpy(step.grads.params))
    done = backend.update(net, rule, params, rule.init(params), replace(step, grads=replace(step.grads, params=large)))
    for name, found in leaves(backend.to_numpy(done.params)):
        assert np.isnan(found).all(), name


def test_an_update_by_shards_added_up_is_that_of_the_whole_batch(reference):
    params, rule, (inputs, targets) = net.init(0), SGD(0.5), batch(5)
    one, other = (reference.value_and_grad(net, params, inputs[:, rows], targets[:, rows])
                  for rows in (slice(0, 1), slice(1, 5)))  # fmt: skip
    sums = replace(one.grads, params=tree_map(np.add, one.grads.params, other.grads.params))
    added = replace(one, loss_sum=one.loss_sum + other.loss_sum, count=one.count + other.count, grads=sums)
    done = reference.update(net, rule, params, (), added)
    whole = reference.train_step(net, rule, params, (), inputs, targets)
    assert (done.count, float(done.loss_sum)) == (20, pytest.approx(float(whole.loss_sum), rel=1e-14))
    for (name, a), (_, b) in zip(leaves(done.params), leaves(whole.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-15, err_msg=name)


def test_windows_train(reference):
    params, rule, (inputs, targets) = net.init(0), Adam(0.05), batch(3, steps=12)
    kept, found = rule.init(params), []
    for _ in range(8):
        step = Windows(4, 6).value_and_grad(reference, net, params, inputs, targets)
        done = reference.update(net, rule, params, kept, step)
        params, kept = done.params, done.rule_state
        found.append(float(done.loss_sum))
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("rule", "spoilt", "error", "match"),
    [(ScaleLoss(SGD(0.1)), lambda step: step, NetworkError, "must not scale the loss"),
     (ClipByGlobalNorm(1.0), lambda step: step, NetworkError, "must end in an update rule"),
     (SGD(0.1), lambda step: step.grads, ArgumentError, "step must be a Step, got Gradients"),
     (SGD(0.1), lambda step: replace(step, grads=step.grads.params), ArgumentError, "must be Gradients, got dict"),
     (SGD(0.1), lambda step: replace(step, count=-1), ArgumentError, "at least 0, got -1"),
     (SGD(0.1), lambda step: replace(step, count=1.5), ArgumentError, "a whole number"),
     (SGD(0.1), lambda step: replace(step, grads=replace(step.grads, params={})), TreeError, "step.grads.params")],
)  # fmt: skip
def test_an_update_that_cannot_be_is_refused(rule, spoilt, error, match, reference):
    params = net.init(0)
    step = reference.value_and_grad(net, params, *batch(3))
    with pytest.raises(error, match=match):
        reference.update(net, rule, params, rule.init(params), spoilt(step))
