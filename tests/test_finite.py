"""Gradients that are not finite, and scaled losses: on every backend, in every place of a rule."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.properties.asking import is_eager
from rnnspec import Dense, Layer, Network, cells, chain, losses
from rnnspec.errors import EquationError, NetworkError, NonFiniteError
from rnnspec.policies import (
    ClipByGlobalNorm,
    ClipByNorm,
    ClipByUnitNorm,
    RaiseNonFinite,
    ScaleLoss,
    SkipNonFinite,
    ZeroNonFinite,
)
from rnnspec.primitives import tanh, total_in, total_out
from rnnspec.tree import leaves
from rnnspec.updates import SGD, Adam

NAN, INF = np.nan, np.inf
net = Network(inputs=2, layers=[Layer(cells.gru, hidden=3)], output=Dense(2), loss=losses.SquaredError())
rng = np.random.default_rng(0)
PARAMS, INPUTS, TARGETS = net.init(0), rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
TERMS, UNIT = TARGETS.size, {"f32": 2.0**-24, "f64": 2.0**-53}


def spoilt(value):
    y = TARGETS.copy()
    y[0, 0, 0] = value
    return y


def stepped(backend, rule, params=PARAMS, state=None, targets=TARGETS):
    done = backend.train_step(net, rule, params, rule.init(PARAMS) if state is None else state, INPUTS, targets)
    return done, dict(leaves(backend.to_numpy(done.params))), dict(leaves(backend.to_numpy(done.rule_state)))


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        np.testing.assert_array_equal(found[name], a, err_msg=name)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
class TestNotFinite:
    def test_a_skipped_step_leaves_parameters_and_the_state_of_what_follows(self, either, value):
        rule = SkipNonFinite(chain(ClipByGlobalNorm(1.0), Adam(0.1)))
        first, params, state = stepped(either, rule)
        _, after, kept = stepped(either, rule, first.params, first.rule_state, spoilt(value))
        assert_equal(after, params)
        assert kept.pop("skipped") == 1
        assert state.pop("skipped") == 0
        assert_equal(kept, state)
        assert any((params[name] != w).any() for name, w in leaves(PARAMS))

    def test_zeroing_is_entry_by_entry(self, backend64, value):
        _, params, _ = stepped(backend64, chain(ZeroNonFinite(), SGD(1.0)), targets=spoilt(value))
        _, free, _ = stepped(backend64, SGD(1.0))
        before = dict(leaves(PARAMS))
        assert params["output.b"][0] == before["output.b"][0]
        assert params["output.b"][1] == pytest.approx(free["output.b"][1], rel=TERMS * UNIT["f64"])  # two programs
        np.testing.assert_array_equal(params["layers.0.forward.W.z"], before["layers.0.forward.W.z"])

    @pytest.mark.parametrize("held", [False, True])
    def test_raising_names_a_map_on_backends_that_compile_too(self, either, value, held):
        rule = chain(RaiseNonFinite(), SGD(0.1))
        rule = ScaleLoss(rule) if held else rule
        stepped(either, rule)
        with pytest.raises(NonFiniteError, match=r"\d+ entries of (layers|output)\.") as raised:
            stepped(either, rule, targets=spoilt(value))
        assert isinstance(raised.value, ArithmeticError)

    def test_a_scale_that_follows_skips_and_is_halved(self, either, value):
        rule = ScaleLoss(Adam(0.1), 64.0, interval=2)
        first, params, state = stepped(either, rule)
        assert (state.pop("scale"), state.pop("finite_steps")) == (64, 1)
        _, after, kept = stepped(either, rule, first.params, first.rule_state, spoilt(value))
        assert_equal(after, params)
        assert (kept.pop("scale"), kept.pop("finite_steps")) == (32, 0)
        assert_equal(kept, state)
        _, _, grown = stepped(either, rule, first.params, first.rule_state)
        assert (grown["scale"], grown["finite_steps"]) == (128, 0)


@pytest.mark.parametrize("scale", [1.0, 2.0**6, 2.0**15])
def test_a_scaled_loss_is_unscaled_before_any_policy(either, scale):
    """To the bit, since the scale is a power of 2 and nothing underflows; a compiler may sum in another order."""
    rule = chain(ClipByNorm(0.05), SGD(0.1, momentum=0.9))
    plain, expected, _ = stepped(either, rule)
    scaled, found, state = stepped(either, ScaleLoss(rule, scale))
    assert state["scale"] == scale
    allowed = 0 if is_eager(either) else TERMS * UNIT[either.precision]
    np.testing.assert_allclose(either.to_numpy(scaled.loss_sum), either.to_numpy(plain.loss_sum), rtol=allowed)
    for name, w in expected.items():
        np.testing.assert_allclose(found[name], w, rtol=0, atol=allowed * np.abs(w).max())


def test_a_scaled_loss_saves_what_half_precision_loses(open_backend, reference):
    """Cotangents below 2^-24 become 0 in f16; large inputs make gradients of them that it could hold."""
    params = net.init(0)
    params["output"] = {"W": np.full((2, 3), 2.0**-8), "b": np.zeros(2)}
    half = params["layers"][0]["forward"]
    half["W"] = {name: w * 2.0**-8 for name, w in half["W"].items()}
    inputs = np.round(64 * INPUTS)
    targets = reference.run(net, params, inputs).outputs + 2.0**-15
    wanted, lost = {}, {}
    for name, rule in (("plain", SGD(0.1, 0.5)), ("scaled", ScaleLoss(SGD(0.1, 0.5), 2.0**12))):
        for backend, kept in ((reference, wanted), (open_backend("torch", "f16"), lost)):
            done = backend.train_step(net, rule, params, rule.init(params), inputs, targets)
            kept[name] = dict(leaves(backend.to_numpy(done.rule_state)))
    place = "velocity.layers.0.forward.W.n"
    error = {name: np.abs(lost[name][under + place] - wanted[name][under + place]).max()
             for name, under in (("plain", ""), ("scaled", "rule."))}  # fmt: skip
    assert error["scaled"] < error["plain"] / 4


def test_the_scale_stays_within_its_bounds(reference):
    for scale, targets, expected in ((2.0**15, TARGETS, 2.0**15), (1.0, spoilt(NAN), 1.0)):
        _, _, state = stepped(reference, ScaleLoss(SGD(0.1), scale, interval=1), targets=targets)
        assert state["scale"] == expected


def test_shards_agree_on_a_step_to_skip(reference):
    rule = SkipNonFinite(SGD(0.1), reduce=lambda count: count + 1.0)
    _, params, state = stepped(reference, rule)
    assert_equal(params, dict(leaves(PARAMS)))
    assert state["skipped"] == 1


@pytest.mark.parametrize("made", [
    lambda: SkipNonFinite(ClipByNorm(1.0)), lambda: SkipNonFinite(ScaleLoss(SGD(0.1))), lambda: ScaleLoss(None),
    lambda: ScaleLoss(ScaleLoss(SGD(0.1))), lambda: chain(ClipByNorm(1.0), ScaleLoss(SGD(0.1))),
    lambda: ScaleLoss(SGD(0.1), 0.5), lambda: ScaleLoss(SGD(0.1), NAN), lambda: ScaleLoss(SGD(0.1), 2.0**16),
    lambda: ScaleLoss(SGD(0.1), True), lambda: ScaleLoss(SGD(0.1), interval=0),
    lambda: ScaleLoss(SGD(0.1), interval=257), lambda: ScaleLoss(SGD(0.1), interval=True),
    lambda: ClipByUnitNorm(-1.0), lambda: ClipByUnitNorm(0.1, NAN), lambda: ClipByUnitNorm(True),
])  # fmt: skip
def test_a_wrong_declaration_is_refused(made):
    with pytest.raises(NetworkError):
        made()


@pytest.mark.parametrize("along", [total_in, total_out])
def test_an_axis_of_a_map_is_refused_in_a_cell(along):
    from rnnspec import cell  # noqa: PLC0415

    with pytest.raises(EquationError, match="axis"):
        cell(lambda x, R, h: tanh(x.h + along(R.h(h))))
