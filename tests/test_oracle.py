"""The oracle against mpmath at 50 digits, complex steps, hand-written recurrences and finite differences."""

import mpmath
import numpy as np
import pytest

from conformance import oracle, tolerance
from conformance.cases import CELLS, Case, Pull, hidden_for, load_cell
from conformance.oracle.arithmetic import EXACT, EXTENDED, Arithmetic, Rounding
from conformance.oracle.rules import RULES
from conformance.tolerance import PROFILES
from rnnspec import Last, Layer, Network, cell, chain, get_backend, losses, out, policies, updates
from rnnspec.primitives import Expression, log, minimum, relu, total
from rnnspec.tree import leaves, tree_map

OWN = load_cell("conformance.own_cell:leaky_gate")
ALL_CELLS = [*CELLS.values(), OWN]
LOSSES = [losses.SoftmaxCrossEntropy(), losses.SigmoidCrossEntropy(), losses.SquaredError()]
STEPS = 3


class Values(Expression):
    """A vector whose numbers are anything with a field of functions: mpmath's or complex ones."""

    def __init__(self, field, a):
        self.field, self.a = field, a

    def apply(self, op, *operands):
        return Values(self.field, self.field[op](*(v.a if isinstance(v, Values) else v for v in operands)))


def field(functions):
    return functions | {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "divide": lambda a, b: a / b,
        "negate": lambda a: -a,
        "sigmoid": lambda a: 1 / (1 + functions["exp"](-a)),
        "softplus": lambda a: functions["log"](1 + functions["exp"](a)),
        "logsumexp": lambda a: functions["log"](functions["exp"](a).sum(-1, keepdims=True)),
        "total": lambda a: a.sum(-1, keepdims=True),
        "greater": lambda a, b: np.real(a) > np.real(b),
        "where": np.where,
        "relu": lambda a: np.where(np.real(a) > 0, a, 0),
        "maximum": lambda a, b: np.where(np.real(a) >= np.real(b), a, b),
    }


DIGITS = field({"exp": np.vectorize(mpmath.exp), "log": np.vectorize(mpmath.log), "tanh": np.vectorize(mpmath.tanh)})
COMPLEX = field({"exp": np.exp, "log": np.log, "tanh": np.tanh})
to_digits = np.vectorize(mpmath.mpf, otypes=[object])


def recurrence(kit, cell_, params, x, state):
    """Outputs and final states of one row, written down once more."""
    names = lambda give: type("Names", (), {"__getattr__": lambda self, name: give(name)})()  # noqa: E731
    states = {name: Values(kit, a) for name, a in state.items()}
    outputs = []
    for x_t in x:
        y, states = cell_.equations(
            names(lambda n, x_t=x_t: Values(kit, params["W"][n] @ x_t + params["b"][n])),
            names(lambda n: lambda v: Values(kit, params["U"][n] @ v.a)),
            names(lambda n: Values(kit, params["p"][n])),
            states,
        )
        outputs.append(y.a)
    return np.array(outputs), {name: v.a for name, v in states.items()}


def one_row(cell_, seed=3):
    case = Case(Network(2, [Layer(cell_, hidden_for(cell_, (2, 3, 2)))]), STEPS, 1, seed=seed, scale=1.3)
    a = case.arrays()
    return case, a, a.params["layers"][0]["forward"], {n: s[0] for n, s in a.state[0]["forward"].items()}


def scalar(kit, cell_, a, params, x, state):
    """<output cotangent, outputs> + <state cotangents, final states>."""
    outputs, final = recurrence(kit, cell_, params, x, state)
    value = (a.output_cotangent[:, 0] * outputs).sum()
    return value + sum((d[0] * final[name]).sum() for name, d in a.state_cotangent[0]["forward"].items())


def check_gradients(cell_, a, own, first, derivative, tolerance):
    case = Case(Network(2, [Layer(cell_, hidden_for(cell_, (2, 3, 2)))]), STEPS, 1)
    grads = oracle.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state)
    own_grads, state_grads = grads.params["layers"][0]["forward"], grads.state[0]["forward"]
    found = {"params": own_grads, "x": grads.inputs[:, :, 0], "state": state_grads}
    given = {"params": own, "x": a.inputs[:, 0], "state": first}
    wanted = dict(leaves(given))
    checked = 0
    for name, g in leaves(found):
        for index in np.ndindex(wanted[name].shape):
            bumped = dict(leaves(given))

            def bump(by, name=name, index=index, bumped=bumped):
                wide = to_digits if isinstance(by, mpmath.mpf) else lambda a: a.astype(complex)
                moved = {k: wide(v) for k, v in bumped.items()}
                moved[name][index] += by
                return {top: _under(moved, top) for top in ("params", "x", "state")}

            expected = derivative(lambda t: scalar(t[0], cell_, a, *t[1].values()), bump)
            assert abs(g[0].reshape(wanted[name].shape)[index] - expected) <= tolerance * max(1, abs(expected)), name
            checked += 1
    assert checked == sum(v.size for v in wanted.values())


def _under(flat, top):
    if top in flat:
        return flat[top]
    tree = {}
    for name, a in flat.items():
        head, *rest = name.split(".")
        if head == top:
            node = tree
            for key in rest[:-1]:
                node = node.setdefault(key, {})
            node[rest[-1]] = a
    return tree | ({kind: tree.get(kind, {}) for kind in ("W", "b", "U", "p")} if top == "params" else {})


@pytest.mark.parametrize("cell_", ALL_CELLS, ids=lambda c: c.name)
def test_fifty_digits_give_the_same_outputs_states_and_gradients(cell_):
    case, a, own, first = one_row(cell_)
    with mpmath.workdps(50):
        own_, x, first_ = tree_map(to_digits, [own, a.inputs[:, 0], first])
        y, final = recurrence(DIGITS, cell_, own_, x, first_)
        found = oracle.run(case.net, a.params, a.inputs, a.state)
        np.testing.assert_allclose(found.outputs[0, :, 0], y.astype(float), rtol=1e-14, atol=1e-15)
        for name, s in found.state[0]["forward"].items():
            np.testing.assert_allclose(s[0, 0], final[name].astype(float), rtol=1e-14, atol=1e-15)
        h = mpmath.mpf(10) ** -20
        check_gradients(
            cell_, a, own, first,
            lambda f, bump: float((f((DIGITS, bump(h))) - f((DIGITS, bump(-h)))) / (2 * h)), 1e-13,
        )  # fmt: skip


@pytest.mark.parametrize("cell_", ALL_CELLS, ids=lambda c: c.name)
def test_complex_steps_give_the_same_gradients(cell_):
    _, a, own, first = one_row(cell_, seed=4)
    check_gradients(cell_, a, own, first, lambda f, bump: f((COMPLEX, bump(1e-30j))).imag / 1e-30, 1e-13)


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("read", [Last(), None], ids=["last", "steps"])
def test_losses_and_their_gradients_are_those_of_fifty_digits(loss, read):
    net = Network(2, [Layer(CELLS["elman"], 3)], *([read] if read else []), loss=loss)
    case = Case(net, STEPS, 1, seed=9)
    a = case.arrays()
    own, first = a.params["layers"][0]["forward"], {"h": a.state[0]["forward"]["h"][0]}
    found = oracle.value_and_grad(net, a.params, a.inputs, a.targets, a.state)

    def loss_sum(x):
        outputs, _ = recurrence(DIGITS, CELLS["elman"], tree_map(to_digits, own), x, tree_map(to_digits, first))
        targets = a.targets.reshape(-1, *a.targets.shape[2 if read is None else 1 :])
        rows = list(zip(outputs[-1:] if read else outputs, targets, strict=True))
        hot = lambda y: np.arange(3) == y if loss.integer_targets else to_digits(y)  # noqa: E731
        return sum(loss.at(Values(DIGITS, z), Values(DIGITS, hot(y) * 1)).a[0] for z, y in rows), len(rows)

    with mpmath.workdps(50):
        x, h = to_digits(a.inputs[:, 0]), mpmath.mpf(10) ** -20
        expected, count = loss_sum(x)
        assert found.count == count
        assert float(abs(found.loss_sum[0] - expected)) < 1e-14 * float(expected)
        for index in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[index] += h
            down[index] -= h
            slope = float((loss_sum(up)[0] - loss_sum(down)[0]) / (2 * h))
            assert abs(found.grads.inputs[0, index[0], 0, index[1]] - slope) < 1e-13


DERIVATIVES = {
    "cos": lambda a: -mpmath.sin(a),
    "sin": mpmath.cos,
    "erf": lambda a: 2 / mpmath.sqrt(mpmath.pi) * mpmath.exp(-a * a),
}


@pytest.mark.parametrize("arithmetic", [EXACT, EXTENDED], ids=["double", "extended"])
@pytest.mark.parametrize("name", ["cos", "sin", "erf"])
def test_a_function_and_its_derivative_are_those_of_fifty_digits(name, arithmetic):
    """In the units of the error model: of 1 for a cosine, of the value elsewhere; in 80 bits 64 of them."""
    rounding = Rounding(arithmetic)
    unit = max(2.0**-53, float(np.finfo(arithmetic.dtype).eps)) if arithmetic is EXACT else 2.0**-58
    a = np.concatenate([np.linspace(-7.5, 7.5, 151), [1e-300, 1e-8, -20.0, 300.25]])
    given = rounding.array(a)[None, None]
    y = RULES[name].value(rounding, given)
    [slope] = RULES[name].pull(rounding, rounding.array(np.ones_like(given)), y, given)
    with mpmath.workdps(50):
        for number, *found in zip(a, y.ravel(), slope.ravel(), strict=True):
            value = getattr(mpmath, name)(mpmath.mpf(float(number)))
            derivative = DERIVATIVES[name](mpmath.mpf(float(number)))
            for got, right in zip(found, (value, derivative), strict=True):
                span = 1 if name != "erf" else abs(right) * max(1, number * number)
                assert abs(_digits(got) - right) <= 4 * unit * span + 1e-300, (name, number)


def _digits(number):
    """A number of any dtype, exactly."""
    high = float(number)
    return mpmath.mpf(high) + mpmath.mpf(float(number - type(number)(high)))


@cell
def line(x, R, h):
    return x.h + R.h(h)


class Halved(policies.Recurrence):
    def carry(self, step, cotangents):
        return {"h": cotangents["h"] * 0.5}


class Capped(policies.Recurrence):
    def total(self, step, cotangents):
        return {"h": minimum(cotangents["h"], 1.5)}


@pytest.mark.parametrize("policy, expected", [
    (None, [1.75, 1.5, 1.0]),                      # 1 + u(1 + u) and so on, u = 1/2, no cotangent on the final state
    (policies.Truncated(2), [1.5, 1.0, 1.0]),      # the edge into step 2 is cut
    (policies.Truncated(1), [1.0, 1.0, 1.0]),
    (Halved(), [1.3125, 1.25, 1.0]),               # u/2 in place of u, on edges between steps only
    (Capped(), [1.5, 1.5, 1.0]),                   # after the output's cotangent is added
])  # fmt: skip
@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_hooks_act_where_the_specification_says(policy, expected, direction):
    net = Network(1, [Layer(line, 1, direction, policy)])
    own = {"W": {"h": np.ones((1, 1))}, "b": {"h": np.zeros(1)}, "U": {"h": np.full((1, 1), 0.5)}, "p": {}}
    params = {"layers": [{direction: own}]}
    lengths = np.array([3, 4, 0])
    grads = oracle.pullback(net, params, np.ones((5, 3, 1)), np.ones((5, 3, 1)), lengths=lengths)
    dx = grads.inputs[0, :, :, 0]
    found = dx[:3, 0] if direction == "forward" else dx[:3, 0][::-1]
    np.testing.assert_array_equal(found, expected)
    assert not dx[3:, 0].any() and not dx[4:, 1].any() and not dx[:, 2].any()
    # no hook acts on the edge of the initial state
    assert grads.state[0][direction]["h"][0, 0, 0] == expected[0] * 0.5
    assert grads.state[0][direction]["h"][0, 2, 0] == 0


def test_rows_end_where_their_lengths_say_and_nothing_behind_is_read():
    net = Network(2, [Layer(CELLS["lstm"], 3, "bidirectional"), Layer(CELLS["gru"], 2, "reverse")])
    case = Case(net, 5, 3, lengths=(3, 5, 0), seed=1, padding=np.nan)
    a = case.arrays()
    whole = oracle.run(net, a.params, a.inputs, a.state, a.lengths)
    row = tree_map(lambda s: s[:1], a.state)
    alone = oracle.run(net, a.params, a.inputs[:3, :1], row)
    np.testing.assert_allclose(whole.outputs[0, :3, 0], alone.outputs[0, :, 0], rtol=1e-13)
    for (name, s), (_, one) in zip(leaves(whole.state), leaves(alone.state), strict=True):
        np.testing.assert_allclose(s[0, 0], one[0, 0], rtol=1e-13, err_msg=name)
    assert not whole.outputs[0, 3:, 0].any() and not whole.outputs[0, :, 2].any()
    for (_, s), (_, s0) in zip(leaves(whole.state), leaves(a.state), strict=True):
        np.testing.assert_array_equal(s[0, 2], s0[2])
    grads = oracle.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths)
    assert all(np.isfinite(g).all() for _, g in leaves([grads.params, grads.inputs, grads.state]))
    for (_, g), (_, d) in zip(leaves(grads.state), leaves(a.state_cotangent), strict=True):
        np.testing.assert_array_equal(g[0, 2], d[2])


def test_a_kink_is_pulled_back_by_the_side_it_is_on():
    case, a, own, first = one_row(CELLS["elman_relu"])
    with np.errstate(all="raise"):
        h = 1e-6
        up, down = a.inputs.copy(), a.inputs.copy()
        up[1, 0, 0] += h
        down[1, 0, 0] -= h
        f = lambda x: scalar(COMPLEX, CELLS["elman_relu"], a, own, x[:, 0], first)  # noqa: E731
        grads = oracle.pullback(case.net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state)
        assert abs(grads.inputs[0, 1, 0, 0] - (f(up) - f(down)) / (2 * h)) < 1e-8

    @cell
    def corner(x, h):
        return relu(x.h)

    net = Network(1, [Layer(corner, 1)])
    params = {"layers": [{"forward": {"W": {"h": np.ones((1, 1))}, "b": {"h": np.zeros(1)}, "U": {}, "p": {}}}]}
    at_zero = oracle.pullback(net, params, np.zeros((1, 1, 1)), np.ones((1, 1, 1)))
    assert at_zero.inputs[0, 0, 0, 0] == 0


def test_training_follows_the_rules_as_their_papers_write_them():
    net = Network(2, [Layer(CELLS["elman"], 3)], loss=losses.SquaredError())
    case = Case(net, 4, 2, lengths=(4, 2), seed=2)
    batches, a = case.batches(4), case.arrays()
    rates = {"rate": 0.1, "b1": 0.9, "b2": 0.999}
    rule = chain(policies.ClipByGlobalNorm(0.05), updates.Adam(rates["rate"], rates["b1"], rates["b2"]))
    done = oracle.train(net, rule, a.params, batches)
    w = dict(leaves(a.params))
    m, v = ({name: 0.0 for name in w} for _ in range(2))
    tree = a.params
    for t, (x, y, state, lengths) in enumerate(batches, start=1):
        step = oracle.value_and_grad(net, tree, x, y, state, lengths)
        g = {name: d[0] / step.count for name, d in leaves(step.grads.params)}
        norm = np.sqrt(sum((d * d).sum() for d in g.values()))
        assert norm > 0.05
        for name, d in g.items():
            d = d * 0.05 / norm  # noqa: PLW2901
            m[name] = rates["b1"] * m[name] + (1 - rates["b1"]) * d
            v[name] = rates["b2"] * v[name] + (1 - rates["b2"]) * d * d
            w[name] = w[name] - rates["rate"] * (m[name] / (1 - rates["b1"] ** t)) / (
                np.sqrt(v[name] / (1 - rates["b2"] ** t)) + 1e-8
            )
        for name, found in leaves(done[t - 1].params):
            np.testing.assert_allclose(found[0], w[name], rtol=1e-11, err_msg=name)
        tree = tree_map(lambda p: p[0], done[t - 1].params)


def test_the_perturbed_runs_leave_run_0_alone_and_differ_by_the_declared_rounding():
    case = Case(Network(3, [Layer(CELLS["gru"], 4)]), 6, 4, seed=5, pull=Pull.BOTH)
    a = case.arrays()
    exact = oracle.run(case.net, a.params, a.inputs, a.state)
    rounded = oracle.Arithmetic(runs=16, unit=2.0**-24, accumulator=2.0**-24, function=4.0, seed=1)
    found = oracle.run(case.net, a.params, a.inputs, a.state, arithmetic=rounded)
    assert found.outputs.shape == (17, 6, 4, 4)
    np.testing.assert_array_equal(found.outputs[0], exact.outputs[0])
    spread = np.abs(found.outputs[1:] - found.outputs[0])
    assert 2.0**-28 < np.median(spread) < 2.0**-21


def test_a_condition_that_some_runs_turn_by_themselves_is_turned_in_as_many_runs_as_another():
    rng = np.random.default_rng(0)
    for seed in range(100):
        margin = np.concatenate([[1e-3], rng.permutation([-1e-3, -2e-3, 3e-3, 1e-3, 2e-3, 4e-3, 2e-3, 5e-3])])
        turned = Rounding(oracle.Arithmetic(runs=8, unit=2.0**-24, seed=seed)).turned(margin.reshape(9, 1, 1))
        outcome = (margin > 0) ^ turned.ravel()
        assert outcome[0]
        assert (~outcome).sum() >= 2


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_in_few_bits_some_runs_round_to_the_numbers_of_the_precision(precision):
    profile = PROFILES[precision]
    rng = np.random.default_rng(0)
    y = rng.normal(size=(1, 40, 50)) * 2.0 ** rng.integers(-40, 12, (1, 40, 50))
    y[0, 0, :3] = 0.0, np.inf, np.nan
    arithmetic = oracle.Arithmetic(runs=16, unit=profile.unit, accumulator=profile.accumulator, lost=profile.lost)
    with np.errstate(all="ignore"):
        found = Rounding(arithmetic).round(y)
    for run in (1, 9):
        np.testing.assert_array_equal(found[run], profile.round(y[0]))
    others = np.delete(found, (0, 1, 9), axis=0)
    assert (others != profile.round(y[0]))[:, 1:].mean() > 0.9


def test_roundings_of_a_number_that_comes_again_add_up():
    unit, steps, number = PROFILES["f16"].unit, 40, np.full((1, 1, 1), 1 / 3)
    rounding = Rounding(oracle.Arithmetic(runs=8, unit=unit))
    away = sum(rounding.round(number) for _ in range(steps)) - steps * number
    one = float(np.float16(1 / 3)) - 1 / 3
    np.testing.assert_allclose(away[1], steps * one)
    assert np.abs(away[2:]).max() < abs(steps * one)


def test_a_state_made_of_vectors_alone_is_the_same_in_every_row():
    @cell
    def constant(x, R, p, h, c):
        return x.a + R.b(c), p.c

    net = Network(2, [Layer(constant, 3)])
    params, x, lengths = net.init(0), np.ones((4, 3, 2)), np.array([4, 0, 2])
    found = oracle.run(net, params, x, lengths=lengths).state[0]["forward"]["c"][0]
    held = params["layers"][0]["forward"]["p"]["c"]
    np.testing.assert_array_equal(found, [held, np.zeros(3), held])
    cotangent = [{"forward": {"h": np.zeros((3, 3)), "c": np.ones((3, 3))}}]
    pulled = oracle.pullback(net, params, x, np.zeros((4, 3, 3)), cotangent, lengths=lengths).params
    np.testing.assert_array_equal(pulled["layers"][0]["forward"]["p"]["c"][0], np.full(3, 2.0))


def test_a_state_that_no_later_step_reads_has_a_cotangent_of_zeros():
    """As in a backend, where 0 times a slope that is infinite is NaN."""

    @cell
    def forgetful(x, R, h):
        return out(x.b), log(x.a * x.a)

    net = Network(1, [Layer(forgetful, {"h": 1, "x.b": 1})])
    params = net.init(0)
    params["layers"][0]["forward"]["b"]["a"][:] = 0
    given = net, params, np.array([0.0, 1.0]).reshape(2, 1, 1), np.ones((2, 1, 1))
    found = get_backend("numpy", precision="f64").pullback(*given).inputs[0]
    assert np.isnan(found).all()
    assert np.isnan(oracle.pullback(*given).inputs[0, 0]).all()


@pytest.mark.parametrize("policy", [policies.ClipStateByValue(0.05), policies.ClipStateByNorm(0.1)])
def test_a_state_made_of_vectors_alone_is_clipped_row_by_row(policy):
    @cell
    def held(p, h):
        return p.a

    net = Network(1, [Layer(held, 2, gradient=policy)])
    given = (net, net.init(0), np.zeros((1, 3, 1)), np.ones((1, 3, 2)))
    found = get_backend("numpy", precision="f64").pullback(*given).params["layers"][0]["forward"]["p"]["a"]
    expected = oracle.pullback(*given).params["layers"][0]["forward"]["p"]["a"][0]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_cotangents_that_cancel_have_the_rounding_of_their_parts():
    @cell
    def apart(x, R, h, c):
        return x.a * 0.3 * (h - total(h)), h

    case = Case(Network(2, [Layer(apart, 1)]), 2, 3)
    reference = tolerance.pullback(case, PROFILES["f64"])
    assert (reference.tau()["state.0.forward.h"] > 0).all()


def test_a_run_whose_number_is_far_smaller_than_run_0_s_keeps_its_sign():
    rounding = Rounding(Arithmetic(runs=8, unit=2.0**-8, accumulator=2.0**-24, function=4.0))
    y = np.full((9, 1, 3), 1e-12)
    y[0] = 1.0
    for found in (rounding.round(y), rounding.total(y, 2), rounding.function(y, np.abs(y))):
        assert (found > 0).all()
