"""Chains of policies and an update rule, and rules of one's own."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from rnnspec import Layer, Network, cells, chain, losses
from rnnspec.control.rule import MOST_KEPT, Rule, UpdateRule, trace, traced
from rnnspec.errors import ArgumentError, EquationError, NetworkError
from rnnspec.policies import ClipByNorm, ClipByValue
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import SGD, Adam

net = Network(inputs=2, layers=[Layer(cells.elman, hidden=3)], loss=losses.SquaredError())
INPUTS, TARGETS = np.ones((2, 4, 2)), np.full((2, 4, 3), 5.0)


def change(rule, reference):
    params = net.init(0)
    done = reference.train_step(net, rule, params, rule.init(params), INPUTS, TARGETS)
    after = dict(leaves(done.params))
    return {name: after[name] - before for name, before in leaves(params)}, done


def test_rules_act_in_the_order_in_which_they_are_chained(reference):
    """Values held first and norms second, and the other way round: two different numbers."""
    gradient = dict(leaves(reference.value_and_grad(net, net.init(0), INPUTS, TARGETS).grads.params))
    g = gradient["layers.0.forward.W.h"] / 8
    held = np.clip(g, -0.1, 0.1)
    small = g * (0.05 / np.sqrt((g * g).sum()))
    first, _ = change(chain(ClipByValue(0.1), ClipByNorm(0.05), SGD(2.0)), reference)
    second, _ = change(chain(ClipByNorm(0.05), ClipByValue(0.02), SGD(2.0)), reference)
    expected = {"first": held * (0.05 / np.sqrt((held * held).sum())), "second": np.clip(small, -0.02, 0.02)}
    assert np.abs(expected["first"] - expected["second"]).max() > 1e-3
    np.testing.assert_allclose(first["layers.0.forward.W.h"], -2 * expected["first"], rtol=1e-12)
    np.testing.assert_allclose(second["layers.0.forward.W.h"], -2 * expected["second"], rtol=1e-12)


def test_a_chain_of_one_is_its_rule(reference):
    alone, _ = change(SGD(0.3), reference)
    chained, done = change(chain(SGD(0.3)), reference)
    for name, a in alone.items():
        np.testing.assert_array_equal(a, chained[name])
    assert done.rule_state == ((),)


def test_the_rule_sees_the_gradient_of_the_mean(reference):
    moved, done = change(SGD(1.0), reference)
    gradients = dict(leaves(reference.value_and_grad(net, net.init(0), INPUTS, TARGETS).grads.params))
    assert done.count == 8
    for name, a in moved.items():
        np.testing.assert_allclose(-a, gradients[name] / 8, rtol=0, atol=1e-15)


@pytest.mark.parametrize("rules", [(), (ClipByNorm(1.0),), (SGD(1.0), ClipByNorm(1.0)), (SGD(1.0), SGD(1.0)),
                                   (SGD(1.0), Adam()), (None,), (SGD,), (1, SGD(1.0))], ids=repr)  # fmt: skip
def test_a_wrong_chain_is_refused(rules):
    with pytest.raises(NetworkError, match="chain"):
        chain(*rules)


@pytest.mark.parametrize(
    ("rule", "error"),
    [(ClipByNorm(1.0), NetworkError), ("SGD", ArgumentError), (None, ArgumentError), (SGD, ArgumentError)],
    ids=repr,
)
def test_training_needs_an_update_rule(rule, error, reference):
    with pytest.raises(error):
        reference.train_step(net, rule, net.init(0), (), INPUTS, TARGETS)


@dataclass(frozen=True)
class Decayed(UpdateRule):
    """A rule of one's own: descent with the weights pulled to zero, and a count of steps."""

    rate: float

    def init(self, params):
        return {"steps": np.zeros(())}

    def update(self, gradients, state, params):
        return tree_map(lambda g, w: -self.rate * (g + 0.5 * w), gradients, params), {"steps": state["steps"] + 1.0}


def test_a_rule_of_one_s_own(reference):
    moved, done = change(Decayed(0.1), reference)
    gradients = dict(leaves(reference.value_and_grad(net, net.init(0), INPUTS, TARGETS).grads.params))
    for name, before in leaves(net.init(0)):
        np.testing.assert_allclose(moved[name], -0.1 * (gradients[name] / 8 + 0.5 * before), rtol=0, atol=1e-15)
    assert done.rule_state["steps"] == 1


class Wrong(Rule):
    """What each test breaks."""

    def init(self, params):
        return ()

    def update(self, gradients, state, params):
        return gradients, state


class Foreign(Wrong):
    def update(self, gradients, state, params):
        return tree_map(np.sign, gradients), state


class Branching(Wrong):
    def update(self, gradients, state, params):
        return tree_map(lambda g: g if g > 0 else 0.0, gradients), state


class Partial(Wrong):
    def update(self, gradients, state, params):
        return {}, state


class Growing(Wrong):
    def update(self, gradients, state, params):
        return gradients, {"new": 1.0}


class Alone(Wrong):
    def update(self, gradients, state, params):
        return gradients


@pytest.mark.parametrize(
    "rule", [Foreign(), Branching(), Partial(), Growing(), Alone()], ids=lambda r: type(r).__name__
)
def test_a_rule_that_is_none_is_refused_in_the_family(rule):
    params = {"w": np.zeros(3)}
    with pytest.raises(EquationError):
        trace(rule, params, rule.init(params))


@dataclass(frozen=True)
class Counted(UpdateRule):
    """A value that counts how often it is traced."""

    rate: float
    calls: ClassVar[list[float]] = []

    def init(self, params):
        return ()

    def update(self, gradients, state, params):
        self.calls.append(self.rate)
        return tree_map(lambda g: -self.rate * g, gradients), state


@pytest.fixture
def calls():
    Counted.calls.clear()
    return Counted.calls


def test_a_rule_that_is_a_value_is_traced_once_for_trees_of_one_outline(calls, reference):
    params, rule = net.init(0), chain(ClipByNorm(1.0), Counted(0.125))
    for _ in range(3):
        params = reference.train_step(net, rule, params, ((), ()), INPUTS, TARGETS).params
    assert calls == [0.125]
    traced(chain(ClipByNorm(2.0), Counted(0.125)), params, ((), ()))
    for tree in (np.zeros(3), np.zeros(()), [np.zeros(())], (np.zeros(()),)):
        traced(rule, {"w": tree}, ((), ()))
    assert len(calls) == 6


def test_rules_that_are_equal_and_not_the_same_are_told_apart(calls):
    for rate in (0.0, -0.0, 0, False, float("nan"), float("nan")):
        for _ in range(2):
            traced(Counted(rate), {"x": np.zeros(3)}, ())
    assert len(calls) == 5


class Plain(UpdateRule):
    """A rule whose rate is set anew in the course of training."""

    def __init__(self, rate):
        self.rate = rate

    def init(self, params):
        return ()

    def update(self, gradients, state, params):
        return tree_map(lambda g: -self.rate * g, gradients), state


@dataclass
class Unhashable(Plain):
    """The same, without a hash."""

    rate: float


@dataclass(frozen=True)
class Unkept(Plain):
    """A value that holds what is none."""

    rates: list[float]

    @property
    def rate(self):
        return self.rates[-1]


@pytest.mark.parametrize("rule", [Plain(0.5), Unhashable(0.5), Unkept([0.5])], ids=lambda rule: type(rule).__name__)
def test_a_rule_that_can_change_is_asked_at_every_step(rule, backend64):
    params = net.init(0)
    gradients = dict(leaves(backend64.to_numpy(backend64.value_and_grad(net, params, INPUTS, TARGETS).grads.params)))
    for rate in (0.5, 0.25):
        if isinstance(rule, Unkept):
            rule.rates.append(rate)
        else:
            rule.rate = rate
        done = backend64.to_numpy(backend64.train_step(net, rule, params, (), INPUTS, TARGETS).params)
        after = dict(leaves(done))
        for name, before in leaves(params):
            np.testing.assert_allclose(after[name] - before, -rate * gradients[name] / 8, rtol=0, atol=1e-14)


def test_what_is_kept_holds_no_array_and_is_bounded(calls):
    params, state = {"w": np.ones(1000)}, ()
    gone = weakref.ref(params["w"])
    for i in range(MOST_KEPT + 1):
        traced(Counted(float(i)), params, state)
    assert len(calls) == MOST_KEPT + 1
    traced(Counted(0.0), params, state)
    assert len(calls) == MOST_KEPT + 2
    del params
    gc.collect()
    assert gone() is None


def test_threads_that_train_at_once_agree(reference):
    params = net.init(0)

    def train(rate):
        return dict(leaves(reference.train_step(net, SGD(rate), params, (), INPUTS, TARGETS).params))

    rates = [1 + i % 5 / 8 for i in range(60)]
    expected = {rate: train(rate) for rate in set(rates)}
    with ThreadPoolExecutor(8) as pool:
        for rate, found in zip(rates, pool.map(train, rates), strict=True):
            for name, w in found.items():
                np.testing.assert_array_equal(w, expected[rate][name])
