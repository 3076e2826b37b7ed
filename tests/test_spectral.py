"""A map held to a spectral norm: against singular values, on every backend and with the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from conformance import oracle
from rnnspec import Layer, Network, cells, initialisers, losses
from rnnspec.control.rule import chain
from rnnspec.errors import NetworkError
from rnnspec.policies import ClipByNorm, RaiseNonFinite, ScaleLoss
from rnnspec.tree import leaves
from rnnspec.updates import SGD, HoldSpectralNorm

net = Network(2, [Layer(cells.gru, hidden=5, initial={"U": initialisers.Orthogonal(3.0)})], loss=losses.SquaredError())
rng = np.random.default_rng(0)
INPUTS, TARGETS = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 5))


def trained(backend, rule, steps, params=None):
    params = net.init(0) if params is None else params
    state = rule.init(params)
    for _ in range(steps):
        done = backend.train_step(net, rule, params, state, INPUTS, TARGETS)
        params, state = done.params, done.rule_state
    return dict(leaves(backend.to_numpy(params))), dict(leaves(backend.to_numpy(state)))


def norms(params, kind="U"):
    return [np.linalg.norm(w, 2) for name, w in params.items() if f".{kind}." in name]


def test_recurrent_maps_come_to_the_limit_and_nothing_else_is_touched(reference):
    params, _ = trained(reference, HoldSpectralNorm(SGD(0.0), 0.9, iterations=20), 20)
    np.testing.assert_allclose(norms(params), 0.9, rtol=1e-3)
    for name, w in leaves(net.init(0)):
        if ".U." not in name:
            np.testing.assert_array_equal(params[name], w)


def test_a_map_below_the_limit_is_left_to_its_rule(reference):
    held, _ = trained(reference, HoldSpectralNorm(SGD(0.1), 9.0), 3)
    free, _ = trained(reference, SGD(0.1), 3)
    for name, w in free.items():
        np.testing.assert_array_equal(held[name], w)


def test_the_estimate_is_never_above_the_truth(reference):
    """What is scaled by the estimate keeps a norm of at least the limit."""
    for iterations in (1, 2, 5):
        once, _ = trained(reference, HoldSpectralNorm(SGD(0.0), 0.5, iterations=iterations), 1)
        assert min(norms(once)) >= 0.5 * (1 - 1e-12)


def test_the_other_kind(reference):
    params, _ = trained(reference, HoldSpectralNorm(SGD(0.0), 0.1, "W", 50), 3)
    np.testing.assert_allclose(norms(params, "W"), 0.1, rtol=1e-6)
    np.testing.assert_allclose(norms(params), 3.0, rtol=1e-12)


def test_maps_of_zeros_stay(reference):
    params = net.init(0)
    half = params["layers"][0]["forward"]
    half["U"] = {name: np.zeros_like(w) for name, w in half["U"].items()}
    found, state = trained(reference, HoldSpectralNorm(SGD(0.0), 0.0), 2, params)
    assert norms(found) == [0, 0, 0]
    assert all(np.isfinite(a).all() for a in state.values())


def test_every_backend_and_the_oracle_agree(either):
    rule = HoldSpectralNorm(chain(ClipByNorm(0.5), SGD(0.1, momentum=0.5)), 0.9)
    found, state = trained(either, rule, 3)
    done = oracle.train(net, rule, net.init(0), [(INPUTS, TARGETS, None, None)] * 3)[-1]
    allowed = 1e-12 if either.precision == "f64" else 1e-5
    for tree, got in ((done.params, found), (done.rule_state, state)):
        for name, right in leaves(tree):
            np.testing.assert_allclose(got[name], right[0], rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("made", [
    lambda: HoldSpectralNorm(ClipByNorm(1.0)), lambda: HoldSpectralNorm(ScaleLoss(SGD(0.1))),
    lambda: HoldSpectralNorm(SGD(0.1), -1.0), lambda: HoldSpectralNorm(SGD(0.1), kind="b"),
    lambda: HoldSpectralNorm(SGD(0.1), iterations=0), lambda: HoldSpectralNorm(SGD(0.1), iterations=True),
])  # fmt: skip
def test_a_wrong_declaration_is_refused(made):
    with pytest.raises(NetworkError):
        made()


def test_what_it_holds_may_raise(reference):
    from rnnspec.errors import NonFiniteError  # noqa: PLC0415

    rule = HoldSpectralNorm(chain(RaiseNonFinite(), SGD(0.1)))
    with pytest.raises(NonFiniteError):
        reference.train_step(net, rule, net.init(0), rule.init(net.init(0)), INPUTS, TARGETS * np.nan)
