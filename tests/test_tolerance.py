"""The derived tolerance: no false alarm on correct answers, and no planted defect that passes."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, seed, settings
from scipy import stats

import rnnspec
from conformance import oracle, tolerance
from conformance.cases import CELLS, Case, Pull, cases, load_cell, table
from conformance.judge import Judge
from conformance.tolerance import PROFILES, kappa, verdict
from rnnspec import Backend, Dense, Last, Layer, Network, chain, get_backend, losses, policies, updates
from rnnspec.primitives import maximum, relu, sin, tanh, where
from rnnspec.tree import tree_map

NETWORKS = list(table([*CELLS.values(), load_cell("conformance.own_cell:leaky_gate")]).values())
LOSSES = [losses.SoftmaxCrossEntropy(), losses.SigmoidCrossEntropy(), losses.SquaredError()]
FLOATS = {"f32": torch.float32, "f64": torch.float64}


class Base(Backend):
    """The contract's own lowering on NumPy arrays."""

    name = "base"


class Scaled(Base):
    """One step of every layer's output is off by a relative defect."""

    defect = 0.0

    def layer(self, *args, **kwargs):
        result = super().layer(*args, **kwargs)
        outputs = np.array(result.outputs)
        outputs[len(outputs) // 2] *= outputs.dtype.type(1 + self.defect)
        return replace(result, outputs=outputs)


def run(backend, case):
    a = case.arrays(backend.precision)
    return backend.run(case.net, a.params, a.inputs, a.state, a.lengths)


def pullback(backend, case):
    a = case.arrays(backend.precision)
    return backend.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths)


def value_and_grad(backend, case):
    a = case.arrays(backend.precision)
    return backend.value_and_grad(case.net, a.params, a.inputs, a.targets, a.state, a.lengths)


@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("backend", [Base, partial(get_backend, "numpy")], ids=["base", "numpy"])
def test_no_false_alarm_in_the_cases_that_the_suite_draws(backend, precision):
    subject, profile, judged = backend(precision=precision), PROFILES[precision], []

    @seed(11)
    @settings(max_examples=75, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(cases(NETWORKS))
    def check(case):
        for answer, reference in (
            (run(subject, case), tolerance.run(case, profile)),
            (pullback(subject, case), tolerance.pullback(case, profile)),
        ):
            found = verdict(answer, reference)
            assert found.passed or found.ill_posed, f"{found}\n{case.code()}"
            judged.append(found)

    check()
    assert len(judged) == 150
    assert sum(bool(found.ill_posed) for found in judged) < 0.05 * len(judged)
    assert max(found.kappa for found in judged) > 0.1  # the yardstick is no wider than roundings are


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("rule", [
    chain(policies.ClipByGlobalNorm(0.3), updates.Adam(1e-2)),
    chain(policies.ClipByNorm(0.1), updates.SGD(0.1, 0.9)),
    chain(policies.ClipByValue(0.02), updates.SGD(0.1)),
], ids=["adam", "momentum", "sgd"])  # fmt: skip
def test_no_false_alarm_in_training(loss, rule):
    net = Network(3, [Layer(CELLS["gru"], 4, "bidirectional")], Last(), Dense(5), loss)
    for precision in ("f32", "f64"):
        case, be = Case(net, 6, 4, lengths=(6, 0, 3, 1), seed=21), Base(precision=precision)
        step = verdict(value_and_grad(be, case), tolerance.value_and_grad(case, PROFILES[precision]))
        assert step.passed, str(step)
        params = case.arrays(precision).params
        kept, done = rule.init(params), []
        for x, y, state, lengths in case.batches(10, precision):
            done.append(be.train_step(net, rule, params, kept, x, y, state, lengths))
            params, kept = done[-1].params, done[-1].rule_state
        found = verdict(done, tolerance.train(case, rule, 10, PROFILES[precision]))
        assert found.passed, str(found)


def torch_answers(cell, case, precision):
    """The same layer in torch.nn, its weights written out: gate orders are those of its documentation."""
    kind, order = {"lstm": (torch.nn.LSTM, "ifgo"), "elman": (torch.nn.RNN, "h"), "gru": (torch.nn.GRU, "rzn")}[cell]
    hidden, a, names = case.net.layers[0].hidden, case.arrays(precision), list(case.net.layers[0].cell.states)
    own, dtype = a.params["layers"][0]["forward"], FLOATS[precision]
    stacked = lambda kind: torch.tensor(np.concatenate([own[kind][gate] for gate in order]), dtype=dtype)  # noqa: E731
    layer = kind(case.net.inputs, hidden).to(dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(stacked("W"))
        layer.weight_hh_l0.copy_(stacked("U"))
        layer.bias_ih_l0.copy_(stacked("b"))
        layer.bias_hh_l0.zero_()
        if cell == "gru":
            layer.bias_hh_l0[2 * hidden :] = torch.tensor(own["p"]["n"], dtype=dtype)
    x = torch.tensor(a.inputs, requires_grad=True)
    first = [torch.tensor(a.state[0]["forward"][name][None], requires_grad=True) for name in names]
    y, final = layer(x, tuple(first) if cell == "lstm" else first[0])
    final = final if cell == "lstm" else (final,)
    pulled = [torch.tensor(a.state_cotangent[0]["forward"][name][None]) for name in names]
    torch.autograd.backward([y, *final], [torch.tensor(a.output_cotangent), *pulled])
    plain = lambda t: t.detach().numpy()  # noqa: E731
    split = lambda t: dict(zip(order, np.split(plain(t.grad), len(order)), strict=True))  # noqa: E731
    grads = {"W": split(layer.weight_ih_l0), "U": split(layer.weight_hh_l0), "b": split(layer.bias_ih_l0)}
    grads["p"] = {"n": plain(layer.bias_hh_l0.grad)[2 * hidden :]} if cell == "gru" else {}
    states = lambda values: [{"forward": {n: plain(v[0]) for n, v in zip(names, values, strict=True)}}]  # noqa: E731
    outcome = {"outputs": plain(y), "state": states(final)}
    return outcome, {
        "params": {"layers": [{"forward": grads}]}, "inputs": plain(x.grad), "state": states([s.grad for s in first])
    }  # fmt: skip


@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_no_false_alarm_on_real_layers_of_torch(cell, precision):
    worst = 0.0
    for i, (steps, batch, inputs, hidden) in enumerate([(7, 5, 3, 4), (40, 3, 8, 16), (20, 8, 33, 7)]):
        case = Case(Network(inputs, [Layer(CELLS[cell], hidden)]), steps, batch, seed=31 + i, scale=(0.3, 1.0, 2.0)[i])
        answers = torch_answers(cell, case, precision)
        for got, refer in zip(answers, (tolerance.run, tolerance.pullback), strict=True):
            found = verdict(got, refer(case, PROFILES[precision]))
            assert found.passed, str(found)
            worst = max(worst, found.kappa)
    assert 0.2 < worst < 6  # a yardstick far from what torch rounds would be no yardstick


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
@pytest.mark.parametrize("precision, defect", [("f32", 4e-6), ("f64", 1e-14)])
def test_a_small_defect_in_one_step_is_caught(cell, precision, defect):
    case = Case(Network(8, [Layer(CELLS[cell], 16)]), 30, 3, seed=41)
    subject = Scaled(precision=precision)
    assert verdict(run(subject, case), tolerance.run(case, PROFILES[precision])).passed
    subject.defect = defect
    assert not verdict(run(subject, case), tolerance.run(case, PROFILES[precision])).passed


GOOD = Case(NETWORKS[2], 7, 5, lengths=(7, 0, 3, 5, 1), seed=51)


@pytest.mark.parametrize("says, spoil", [
    ("shape", lambda r: replace(r, outputs=r.outputs[:-1])),
    ("dtype", lambda r: replace(r, outputs=r.outputs.astype(np.float64))),
    ("outputs[1, 2, 3]", lambda r: replace(r, outputs=put(r.outputs, (1, 2, 3), np.nan))),
    ("outputs[1, 2, 3]", lambda r: replace(r, outputs=put(r.outputs, (1, 2, 3), np.inf))),
    ("outputs[6, 1, 0]", lambda r: replace(r, outputs=put(r.outputs, (6, 1, 0), 1e-30))),
    ("state.0.forward.c", lambda r: replace(r, state=[{"forward": {"h": r.outputs[-1]}}])),
    ("state.0.forward.h[1, 0]", lambda r: replace(r, state=tree_map(nudged, r.state))),
    ("outputs", lambda r: replace(r, outputs=np.roll(r.outputs, 1, axis=2))),
])  # fmt: skip
def test_what_is_wrong_fails_and_says_where(says, spoil):
    answer, reference = run(Base(), GOOD), tolerance.run(GOOD, PROFILES["f32"])
    assert verdict(answer, reference).passed
    found = verdict(spoil(answer), reference)
    assert not found.passed and not found.ill_posed
    assert says in str(found)


def nudged(state):
    """The state of the row of length 0, which is held, off by the smallest step there is."""
    return put(state, (1, 0), np.nextafter(state[1, 0], np.float32(9)))


def put(a, index, value):
    found = np.array(a)
    found[index] = value
    return found


def test_weights_rounded_to_sixteen_bits_under_a_32_bit_profile_fail():
    a = GOOD.arrays("f32")
    coarse = tree_map(PROFILES["bf16"].round, a.params)
    found = verdict(Base().run(GOOD.net, coarse, a.inputs, a.state, a.lengths), tolerance.run(GOOD, PROFILES["f32"]))
    assert found.kappa > 1000
    single = run(Base(), GOOD).outputs.astype(np.float64)
    wide = verdict(single, tolerance.run(GOOD, PROFILES["f64"]).at("outputs"))
    assert wide.kappa > 1e6  # f32 inside a backend that calls itself f64


def test_two_answers_to_one_question_are_judged_without_the_references_values():
    first, second, reference = run(Base(), GOOD), run(get_backend("numpy"), GOOD), tolerance.run(GOOD, PROFILES["f32"])
    assert tolerance.agreement(first, second, reference).passed
    assert tolerance.agreement(first.outputs, second.outputs, reference.at("outputs")).passed
    off = replace(second, outputs=second.outputs * np.float32(1.0001))
    assert not tolerance.agreement(first, off, reference).passed
    assert tolerance.agreement(off, off, reference).passed


def test_a_chaotic_network_is_ill_posed_not_passed():
    net = Network(2, [Layer(CELLS["elman"], 32)])
    long = Case(net, 200, 1, seed=3, scale=6.0)
    found = verdict(run(Base(), long), tolerance.run(long, PROFILES["f32"]))
    assert not found.passed and "roundings of f32 move" in found.ill_posed
    short = replace(long, steps=5)
    assert verdict(run(Base(), short), tolerance.run(short, PROFILES["f32"])).passed


def test_a_condition_that_roundings_turn_is_ill_posed_for_gradients():
    net = Network(1, [Layer(CELLS["elman_relu"], 1)])
    own = {"W": {"h": np.full((1, 1), 0.1)}, "b": {"h": np.full(1, -0.03)}, "U": {"h": np.ones((1, 1))}, "p": {}}
    params = tree_map(PROFILES["f32"].round, {"layers": [{"forward": own}]})
    x = PROFILES["f32"].round(np.full((1, 1, 1), 0.3))  # 0.1 * 0.3 - 0.03, zero but for rounding
    def pulled(arithmetic):
        return oracle.pullback(net, params, x, np.ones((1, 1, 1)), arithmetic=arithmetic)

    assert "too near to call" in tolerance.reference(PROFILES["f32"], pulled).ill_posed
    assert tolerance.reference(PROFILES["f64"], pulled).ill_posed == ""


@rnnspec.cell
def divided(x, R, h):
    return tanh(x.h / relu(R.h(h)))


@rnnspec.cell
def endless(x, R, h, c):
    return tanh(x.h + R.h(h)), x.c / relu(R.c(h))


@rnnspec.cell
def unchosen(x, R, h):
    a = relu(R.h(h))
    return tanh(x.h + where(a > 0, x.h / a, 0))


@pytest.mark.parametrize("cell", [divided, endless])
@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_a_division_by_zero_that_shows_is_ill_posed_since_zero_has_no_sign(cell, precision):
    case = Case(Network(2, [Layer(cell, 3)]), 3, 2, seed=1)
    assert "roundings" in tolerance.run(case, PROFILES[precision]).ill_posed
    assert not tolerance.run(replace(case, net=Network(2, [Layer(unchosen, 3)])), PROFILES[precision]).ill_posed


@rnnspec.cell
def quotient(x, R, h):
    return x.n + 0.001 * sin(x.n / x.d)


def in_16_bits(cell, maps):
    """The reference in bf16 of one step of one unit, whose input is 0.3."""
    own = {kind: {name: np.full((1, 1) if kind in "WU" else 1, a) for name, a in given.items()}
           for kind, given in maps.items()}  # fmt: skip
    params = tree_map(PROFILES["bf16"].round, {"layers": [{"forward": {"p": {}, "U": {}} | own}]})
    x = PROFILES["bf16"].round(np.full((1, 1, 1), 0.3))
    net = Network(1, [Layer(cell, 1)])
    return tolerance.reference(PROFILES["bf16"], lambda arithmetic: oracle.run(net, params, x, arithmetic=arithmetic))


@pytest.mark.parametrize(("bias", "posed"), [(-0.03, False), (-0.02, True)])
def test_a_divisor_that_rounding_makes_zero_is_ill_posed(bias, posed):
    """0.1 * 0.3 - 0.03 is 0.00008 in the rounded numbers, and their product is rounded to multiples of 0.0001.

    The sine hides how far the quotient may be off, unless the quotient is infinite.
    """
    maps = {"W": {"n": 0.1, "d": 0.1}, "b": {"n": 0.0, "d": bias}}
    assert (in_16_bits(quotient, maps).ill_posed == "") is posed


def test_a_condition_that_roundings_turn_shows_through_a_maximum():
    maps = {"W": {"n": 0.1, "d": 0.1}, "b": {"n": 0.0, "d": -0.03}}
    assert "too near to call" in in_16_bits(larger, maps).ill_posed


@rnnspec.cell
def larger(x, R, h):
    return maximum(where(x.d > 0, 5.0, -5.0), x.n)


def test_kappa_is_students_quantile_for_runs_elements_and_budget():
    for elements, runs in ((1, 8), (500, 8), (500, 32), (10**5, 128)):
        expected = stats.t.isf(tolerance.BUDGET / (2 * elements), runs)
        assert kappa(elements, runs) == pytest.approx(expected, rel=1e-6)
    assert kappa(500, np.inf) == pytest.approx(stats.norm.isf(tolerance.BUDGET / 1000), rel=1e-9)


def test_the_effective_unit_follows_the_ratios():
    profile = PROFILES["f32"]
    assert tolerance.effective_unit(profile, [3.0] * 50) == profile.unit
    assert tolerance.effective_unit(profile, [6.0] * 50 + [np.inf]) == 2 * profile.unit


def test_rounding_to_a_profile_is_to_nearest_even():
    given = np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, 1.0, np.nan, -np.inf])
    np.testing.assert_array_equal(PROFILES["bf16"].round(given), [1.0, 1 + 2.0**-6, 1.0, np.nan, -np.inf])
    assert PROFILES["f32"].round(given).dtype == np.float32
    assert PROFILES["f32"].round(np.arange(3)).dtype.kind == "i"


def test_the_yardstick_of_numbers_whose_squares_vanish():
    runs = np.array([[1.0, 1.0], [1.0 + 4e-16, 1.0], [1.0 - 4e-16, 1.0]])

    def tau(scale):
        return tolerance.reference(PROFILES["f64"], lambda arithmetic: {"a": runs * scale}).tau()["a"]

    np.testing.assert_allclose(tau(2.0**-600), tau(1.0) * 2.0**-600)
    assert (tau(2.0**-600) > 0).tolist() == [True, False]


def test_gradients_that_vanish_below_the_smallest_number_are_no_alarm(open_backend):
    """XLA flushes there: every term of a sum over time and rows may be lost, not its sum alone."""
    widths = (("elman_relu", 17), ("gru_reset_before", 30), ("elman_relu", 29))
    layers = [Layer(CELLS[name], width) for name, width in widths]
    case = Case(Network(6, layers, output=Dense(1)), 44, 7, seed=3501444066, scale=0.2518, pull=Pull.STATES)
    a, judge = case.arrays("f32"), Judge(open_backend("jax", "f32"))
    found = judge.backend.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state)
    judge.close("pullback", found, tolerance.pullback(case, PROFILES["f32"]))
