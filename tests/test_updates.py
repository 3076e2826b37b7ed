"""Update rules against torch.optim, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rnnspec import Layer, Network, cells, losses
from rnnspec.errors import NetworkError
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
