"""Calls whose gradients and cotangents are exact, so that a policy is given the very numbers that are meant.

A gradient is exact where all parameters are 0 but one bias: that of the output layer, of one row that has one step, is
what the output is off its target by. A cotangent is exact in a cell of sums: the bias's gradient is the cotangent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells, chain, losses
from rnnspec.control.rule import Rule
from rnnspec.errors import NonFiniteError
from rnnspec.policies import RaiseNonFinite, Recurrence
from rnnspec.tree import tree_map
from rnnspec.updates import SGD, HoldSpectralNorm

Pair = tuple[float, float]
Got = Callable[[rnnspec.Backend], Any]
DESCENT = SGD(0.5, 0.5)


@rnnspec.cell
def sums(x, R, h, k):
    return x.a + R.a(h), x.b + R.b(k)


def trained(backend: rnnspec.Backend, rule: Rule, g: Pair, w: Pair = (0.0, 0.0)) -> rnnspec.Trained:
    """A training step of which the output bias `w` has the gradient `g`, all other parameters being 0."""
    net = Network(1, [Layer(cells.elman, 1)], Last(), Dense(2), losses.SquaredError())
    params = tree_map(np.zeros_like, net.init(0))
    params["output"]["b"] = np.array(w)
    y = np.array([w]) - np.array([g])
    done = backend.train_step(net, rule, params, rule.init(params), np.zeros((1, 1, 1)), y)
    return rnnspec.Trained(*(backend.to_numpy(getattr(done, name)) for name in ("params", "rule_state", "loss_sum")),
                           done.count, backend.to_numpy(done.state))  # fmt: skip


def passed(policy: Rule, g: Pair, w: Pair = (0.0, 0.0)) -> Got:
    """What a policy lets through of a gradient: the velocity of a first step."""
    return lambda backend: trained(backend, chain(policy, DESCENT), g, w).rule_state[1]["velocity"]["output"]["b"]


def moved(rule: Rule, g: Pair, w: Pair = (1.0, 1.0)) -> Got:
    """The output bias after a step."""
    return lambda backend: trained(backend, rule, g, w).params["output"]["b"]


def raises(g: Pair) -> Got:
    """Whether a step raises."""

    def got(backend: rnnspec.Backend) -> Any:
        try:
            trained(backend, chain(RaiseNonFinite(), DESCENT), g)
        except NonFiniteError:
            return True
        return False

    return got


def pulled(policy: Recurrence, dh: Pair, dk: Pair) -> Got:
    """What a policy lets through of the cotangents of two states, in a sequence of one step."""
    net = Network(1, [Layer(sums, {"h": 2, "k": 2}, gradient=policy)])
    params, state = tree_map(np.zeros_like, net.init(0)), [{"forward": {"h": np.zeros((1, 2)), "k": np.array([dk])}}]

    def got(backend: rnnspec.Backend) -> Any:
        grads = backend.pullback(net, params, np.zeros((1, 1, 1)), np.array([[dh]]), state)
        b = backend.to_numpy(grads.params)["layers"][0]["forward"]["b"]
        return [b["a"], b["b"]]

    return got


def chunks(policy: Recurrence) -> Got:
    """Which steps of rows of 1 to 7 steps the last step's cotangent reaches, and which initial states."""
    net = Network(2, [Layer(sums, {"h": 2, "k": 2}, gradient=policy)])
    eye, zero = np.eye(2), np.zeros((2, 2))
    half = {"W": {"a": eye, "b": zero}, "b": {"a": zero[0], "b": zero[0]}, "U": {"a": eye, "b": zero}, "p": {}}
    lengths, rows = np.arange(1, 8), 7
    state = [{"forward": {"h": np.ones((rows, 2)), "k": np.zeros((rows, 2))}}]

    def got(backend: rnnspec.Backend) -> Any:
        found = backend.pullback(net, {"layers": [{"forward": half}]}, np.zeros((7, rows, 2)), np.zeros((7, rows, 2)),
                                 state, None, lengths)  # fmt: skip
        reached = backend.to_numpy(found.inputs)[..., 0]
        return np.concatenate([backend.to_numpy(found.state)[0]["forward"]["h"][None, :, 0], reached])

    return got


def held(u: float, limit: float) -> Got:
    """The recurrent map, of one entry, after a step that changes nothing itself."""
    net = Network(1, [Layer(cells.elman, 1)], Last(), loss=losses.SquaredError())
    params, rule = tree_map(np.zeros_like, net.init(0)), HoldSpectralNorm(SGD(0.0), limit)
    params["layers"][0]["forward"]["U"]["h"] = np.array([[u]])

    def got(backend: rnnspec.Backend) -> Any:
        done = backend.train_step(net, rule, params, rule.init(params), np.zeros((1, 1, 1)), np.zeros((1, 1)))
        return backend.to_numpy(done.params)["layers"][0]["forward"]["U"]["h"][0, 0]

    return got
