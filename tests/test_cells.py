"""Equations: what can be written, what is refused, and what a cell knows of itself."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import rnnspec
from conformance.cases import hidden_for
from conformance.cases.equations import are_same
from rnnspec import Layer, Network, cell, cells, out
from rnnspec.errors import EquationError, NetworkError
from rnnspec.primitives import PRIMITIVES, exp, maximum, number, remainder, sigmoid, tanh, total, where
from rnnspec.tracing import folding
from rnnspec.tracing.graph import Input

# What no primitive is: each must be refused while the cell is read, with what can be written instead.
REFUSED = {
    "a NumPy function": lambda x, R, h: np.tanh(x.h + R.h(h)),
    "a NumPy array": lambda x, R, h: h * np.ones(3),
    "a NumPy array of one number": lambda x, R, h: np.ones(1) * h,
    "a NumPy truth value": lambda x, R, h: h * np.True_,
    "a NumPy power": lambda x, R, h: np.float64(2.0) ** h,
    "numpy.where": lambda x, R, h: np.where(h > 0, h, 0.0),
    "numpy.concatenate": lambda x, R, h: np.concatenate([h, x.h]),
    "a matrix product": lambda x, R, h: h @ h,
    "a matrix product with an array": lambda x, R, h: np.ones((3, 3)) @ h,
    "a branch": lambda x, R, h: h if h > 0 else -h,
    "and": lambda x, R, h: (h > 0) and h,
    "max of Python": lambda x, R, h: max(h, x.h),
    "abs": lambda x, R, h: abs(h),
    "a power": lambda x, R, h: h**2,
    "a power of a number": lambda x, R, h: 2**h,
    "equality": lambda x, R, h: where(h == 0, h, x.h),
    "inequality": lambda x, R, h: where(h != 0, h, x.h),
    "a part": lambda x, R, h: h[0],
    "a loop over features": lambda x, R, h: sum(v for v in h),
    "a width": lambda x, R, h: h / len(h),
    "a float": lambda x, R, h: float(h),
    "modulo": lambda x, R, h: h % 2,
    "a string": lambda x, R, h: h + "1",
    "a truth value": lambda x, R, h: h * True,
    "None": lambda x, R, h: h + None,
    "a complex number": lambda x, R, h: h * 1j,
    "a number too large": lambda x, R, h: h * 10**400,
    "a condition as a number": lambda x, R, h: h * (x.h > 0),
    "a condition mapped": lambda x, R, h: R.h(h > 0),
    "a condition as the state": lambda x, R, h: h > 0,
    "a number where a condition stands": lambda x, R, h: where(h, x.h, h),
    "a primitive of numbers alone": lambda x, R, h: h + tanh(1.0),
    "a number": lambda x, R, h: 1.0,
    "nothing": lambda x, R, h: None,
    "a list": lambda x, R, h: [h],
    "two states for one": lambda x, R, h: (h, h),
    "an output without the state": lambda x, R, h: out(h),
    "an output after the state": lambda x, R, h: (h, out(h)),
    "no value at all": lambda x, R, h: (),
    "a map without its argument": lambda x, R, h: R.h,
    "a map called as an input": lambda x, R, h: x.h(h),
    "an input called": lambda x, R, h: x(h),
    "a map turned around twice over": lambda x, R, h: R.h.T.h(h),
    "a number from a map": lambda x, R, h: number(h > 0) * h,
    "a map of a number": lambda x, R, h: R.a(0.5) * h,
    "a private name": lambda x, R, h: x._h + h,
    "a map named R": lambda x, R, h: R.R(h) + x.h,
    "an input named R": lambda x, R, h: x.R + h,
    "a name that is no identifier": lambda x, R, h: getattr(x, "a b") + h,
    "a state with a default": lambda x, R, h, k=3.0: tanh(k * x.h + R.h(h)),
    "states by a star": lambda x, R, *hs: tanh(x.h + R.h(hs[0])),
    "states by two stars": lambda x, R, **hs: tanh(x.h + R.h(hs["h"])),
    "a constant without a number": lambda x, R, h, *, k: tanh(k * x.h + R.h(h)),
    "a constant that is a string": lambda x, R, h, *, k="1": tanh(k * x.h + R.h(h)),
    "a constant that is a truth value": lambda x, R, h, *, k=True: tanh(k * x.h + R.h(h)),
    "a constant that is infinite": lambda x, R, h, *, k=float("inf"): tanh(k * x.h + R.h(h)),
    "a constant named x": lambda R, h, *, x=1.0: tanh(x * R.h(h)),
    "a map of constants": lambda x, R, h, *, k=0.5: R.a(1 - k) * h,
    "a state made of constants": lambda x, R, h, *, k=0.5: 1 - k,
    "constants that make NaN": lambda x, R, h, *, k=0.5: (k - k) / (k - k) * h,
    "an error of its own": lambda x, R, h: {}["missing"],
}


@pytest.mark.parametrize("equations", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_written_is_refused_with_what_can(equations):
    with pytest.raises(EquationError) as caught:
        cell(equations)
    error = caught.value
    assert isinstance(error, TypeError)
    assert all([error.call, error.must, error.got, error.do])
    assert str(error) == f"{error.call}: {error.must}, got {error.got}; {error.do}"


def test_a_refused_argument_is_named_with_what_to_write():
    with pytest.raises(EquationError, match=r"got k=3.0; declare a constant after a star, .* or learn it as p.k"):
        cell(lambda x, R, h, k=3.0: k * h)
    with pytest.raises(EquationError, match=r"got \*hs; write each state out"):
        cell(lambda x, R, *hs: hs[0])


# What a reader of a message needs: the fault by name, and what to write in its place.
SAID = {
    "a map of two vectors": (lambda R, h: R.a(h, h), "R.a(...)", "2 arguments", "R.a(u) + R.b(v)"),
    "a map of nothing": (lambda R, h: R.a() + h, "R.a(...)", "0 arguments", "R.a(u) + R.b(v)"),
    "a map that is not called": (lambda R, h: R.a + h, "equations", "the operand R.a", "R.name(v)"),
    "an input that is called": (lambda x, h: x.a(h), "a(...)", "a call of a vector", "R.name(v)"),
    "a private name": (lambda x, h: x._a + h, "x._a", "'_a'", "write x.a"),
    "an output that is a number": (lambda h: (out(1.0), h), "@cell <lambda>", "out(1.0)", "out(R.y(h))"),
    "max of Python": (lambda h: max(h, 0), "bool(a)", "the truth value of a vector", "maximum(a, b)"),
    "a primitive of a number": (lambda h: h * exp(2), "exp(...)", "2 alone", "math.exp"),
    "a primitive of R": (lambda R, h: tanh(R) + h, "tanh(...)", "got R", "R.name(v)"),
    "a misspelt primitive": (lambda h: 2 * sigmod(h),  # noqa: F821
                             "@cell <lambda>", "sigmod, which is not defined", "write sigmoid"),
    "a misspelt argument": (lambda X, h: (X.a + h, h), "@cell <lambda>", "the attribute a of a vector", "x.name"),
    "a remainder by 0": (lambda h: remainder(h, 0), "remainder(a, b)", "b = 0", "a positive b"),
    "a remainder by less": (lambda h: remainder(h, -0.5), "remainder(a, b)", "b = -0.5", "a positive b"),
    "a number that is none": (lambda x, h: x.h + float("nan") * h, "@cell <lambda>", "got NaN", "another number"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_refusal_names_the_fault_and_what_to_write(name):
    equations, call, got, do = SAID[name]
    with pytest.raises(EquationError) as caught:
        cell(equations)
    error = caught.value
    assert error.call == call and got in f"got {error.got}" and do in error.do, str(error)


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.float16(0.5)])
def test_a_numpy_number_is_a_number(number):
    def written(two, k):
        def equations(x, R, h):
            chosen = where(k < h, k * h + two, (h - k) / two - (two - h))
            return where(two >= h, chosen, maximum(k, two / (k + h * h)))

        return cell(equations)

    assert written(np.int64(2), number) == written(2, 0.5)


@pytest.mark.parametrize("framework", ["torch", "jax.numpy", "tensorflow"])
def test_a_framework_s_function_is_refused(framework):
    tanh_of = pytest.importorskip(framework).tanh
    with pytest.raises(EquationError, match=r"tanh|torch|jax|tensorflow|Vector"):
        cell(lambda x, R, h: tanh_of(x.h + R.h(h)))


def test_a_vector_kept_from_another_cell_is_refused():
    kept = []

    @cell
    def first(x, h):
        kept.append(h)
        return x.h + h

    with pytest.raises(EquationError, match="kept from other equations"):
        cell(lambda x, h: x.h + kept[0])


@pytest.mark.parametrize("wrong", [5, None, "lstm", object()], ids=lambda wrong: type(wrong).__name__)
def test_what_is_no_function_is_no_cell(wrong):
    with pytest.raises(EquationError):
        cell(wrong)


@pytest.mark.parametrize("equations", [lambda x: (), lambda x: 1.0, lambda x: (x.a, x.b), lambda x: out(1.0)])
def test_a_cell_without_a_state_must_return_one_vector(equations):
    with pytest.raises(EquationError, match=r"must return one vector|output must be a vector"):
        cell(equations)


@pytest.mark.parametrize("equations", [lambda x: tanh(x.y), lambda x: out(tanh(x.y))])
def test_a_cell_may_have_no_state(equations):
    found = cell(equations)
    assert found.states == () and found.output_state is None
    assert found.widths(4)[""] == found.widths(4)["x.y"] == 4


@pytest.mark.parametrize("equations", [lambda x, R, h, c: tanh(x.h + R.h(h)), lambda x, h, c: (out(h), c)])
def test_a_forgotten_state_is_refused_and_named(equations):
    with pytest.raises(EquationError, match=r"\('h', 'c'\)"):
        cell(equations)


def test_the_order_of_lines_and_the_name_change_nothing_but_the_label():
    @cell
    def one(x, R, h, c):
        i = sigmoid(x.i + R.i(h))
        g = tanh(x.g + R.g(h))
        return i * g + c, g

    def two(x, R, h, c):
        g = tanh(x.g + R.g(h))
        i = sigmoid(x.i + R.i(h))
        return i * g + c, g

    twin = cell(two)
    assert one.graph.names("input") == twin.graph.names("input") == ("g", "i")
    assert one != twin or one.name != twin.name
    renamed = cell(two)
    assert renamed == twin
    assert hash(renamed) == hash(twin)


def test_states_and_maps_of_the_lstm():
    assert cells.lstm.states == ("h", "c")
    assert cells.lstm.output_state == "h"
    assert cells.lstm.graph.names("map") == ("f", "g", "i", "o")


def test_an_unused_map_is_no_parameter():
    @cell
    def wasteful(x, R, p, h):
        _ = R.unused(h) + x.unused + p.unused
        return tanh(x.h + R.h(h))

    shapes = wasteful.parameter_shapes(2, 3)
    assert shapes == {"W": {"h": (3, 2)}, "b": {"h": (3,)}, "U": {"h": (3, 3)}, "p": {}}


def test_an_output_that_is_no_state():
    quiet = cell(lambda x, R, h: (out(R.y(h) + x.y), tanh(x.h + R.h(h))))
    assert quiet.output_state is None
    assert quiet.output_width({"h": 4, "x.y": 2}) == 2


def test_an_output_that_is_marked_and_a_state_too():
    @cell
    def marked(x, R, h):
        new = tanh(x.h + R.h(h))
        return out(new), new

    assert marked == cell(lambda x, R, h: tanh(x.h + R.h(h)))


def plain(net, params, inputs, state):
    """A cell's outputs by its own equations, a step at a time, on plain numbers."""
    half = params["layers"][0]["forward"]
    outputs, now = [], state[0]["forward"]
    for x in inputs:
        read = Input(Number(x), lambda name, x=x: Number(x @ half["W"][name].T + half["b"][name]))
        maps = _Read(lambda name: _Map(half["U"][name]))
        vectors = _Read(lambda name: Number(half["p"][name][None]))
        y, new = net.layers[0].cell.equations(read, maps, vectors, {k: Number(v) for k, v in now.items()})
        now = {k: v.value for k, v in new.items()}
        outputs.append(y.value)
    return np.stack(outputs), now


class _Map:
    def __init__(self, matrix):
        self.matrix = matrix

    @property
    def T(self):  # noqa: N802
        return _Map(self.matrix.T)

    def __call__(self, v):
        return Number(v.value @ self.matrix.T)


class _Read:
    def __init__(self, of):
        self.of = of

    def __getattr__(self, name):
        return self.of(name)


class Number(rnnspec.primitives.Expression):
    """Plain arrays as expressions: what the primitives mean is written out here once more."""

    MEANS = {  # noqa: RUF012
        "add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide, "negate": np.negative,
        "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "relu": lambda a: a * (a > 0),
        "maximum": np.maximum, "minimum": np.minimum, "softplus": lambda a: np.log1p(np.exp(a)),
        "greater": np.greater, "where": np.where, "exp": np.exp,
        "total": functools.partial(np.sum, axis=-1, keepdims=True),
        "greater_equal": np.greater_equal, "sqrt": np.sqrt, "width": lambda a: a.shape[-1], "number": lambda a: a,
        "cos": np.cos, "sin": np.sin,
        "outer": lambda a, b: np.atleast_2d(a)[:, :, None] * np.atleast_2d(b)[:, None],
        "matmul": lambda a, b: ((a * np.atleast_2d(b)[:, None]).sum(2) if np.ndim(a) == 3 else
                                (np.atleast_2d(a)[:, :, None] * b).sum(1)),
    }  # fmt: skip

    def __init__(self, value):
        self.value = value

    def apply(self, op, *operands):
        values = [v.value if isinstance(v, Number) else v for v in operands]
        if op not in ("outer", "matmul") and any(np.ndim(value) == 3 for value in values):
            values = [value[..., None] if np.ndim(value) == 2 else value for value in values]
        return Number(self.MEANS[op](*values))


MINE = {
    "own": (lambda x, R, p, h, m: (maximum(tanh(x.h + R.h(m)), p.f), where(h > m, m + x.m, 0.5 * m)), 3),
    "of a scalar": (lambda x, R, h, n: (tanh(x.h + R.k(n) + R.h(h)), 0.1 * total(h)), {"h": 3, "n": 1}),
    "leaky": (lambda x, R, p, h: sigmoid(p.a) * h + (1 - sigmoid(p.a)) * tanh(x.h + R.h(h)), 3),
    "step": (lambda x, R, h, step: (tanh(x.h + R.h(step)), tanh(x.s + R.s(h))), 3),
    "swapped": (lambda x, h, c: (c + x.c, h), 3),
    "vector as a state": (lambda x, R, p, h, c: (tanh(x.h + R.h(c)), p.c), 3),
    "map of a map": (lambda x, R, h: tanh(R.h(R.h(h)) + x.h), 3),
    "no input": (lambda R, h: tanh(R.h(h)), 3),
    "memoryless": (lambda x, h: x.h, 3),
}


@pytest.mark.parametrize("named", [*MINE, *(c.name for c in vars(cells).values() if isinstance(c, rnnspec.Cell))])
def test_a_cell_computes_its_equations(named, reference):
    """Cells of nobody's package, without registration, and the built-in ones, on plain numbers."""
    declared, hidden = (cell(MINE[named][0]), MINE[named][1]) if named in MINE else (getattr(cells, named), None)
    hidden = hidden_for(declared, (3,)) if hidden is None else hidden
    net = Network(inputs=2, layers=[Layer(declared, hidden=hidden)])
    rng = np.random.default_rng(0)
    params, inputs = net.init(1), rng.normal(size=(4, 5, 2))
    state = [{"forward": {k: rng.normal(size=s) for k, s in net.state_shapes(5)[0]["forward"].items()}}]
    found = reference.run(net, params, inputs, state)
    outputs, final = plain(net, params, inputs, state)
    np.testing.assert_allclose(found.outputs, outputs, rtol=0, atol=1e-14)
    for name, value in final.items():
        wide = np.broadcast_to(value, state[0]["forward"][name].shape)
        np.testing.assert_allclose(found.state[0]["forward"][name], wide, rtol=0, atol=1e-14)


@cell
def oscillator(x, R, y, z, *, dt=0.25, gamma=2.0):
    z = (1 - dt) * z + dt * (tanh(x.z + R.y(y) + R.z(z)) - gamma * y)
    return y + dt * z, z


def test_a_constant_has_a_name_and_a_value():
    assert oscillator.constants == {"dt": 0.25, "gamma": 2.0}
    assert repr(oscillator) == "<cell oscillator(y, z, dt=0.25, gamma=2)>"
    assert str(oscillator).splitlines() == [
        "oscillator(y, z, dt=0.25, gamma=2)",
        "  z' = (1 - dt) ⊙ z + dt ⊙ (tanh(W_z x + b_z + U_y y + U_z z) - gamma ⊙ y)",
        "  y' = y + dt ⊙ z'",
    ]
    assert r"\mathrm{dt} \odot" in oscillator.latex()


def test_a_cell_with_other_constants_is_another_cell():
    slower = oscillator(dt=0.125)
    assert slower != oscillator and slower.constants == {"dt": 0.125, "gamma": 2.0}
    assert slower(dt=0.25) == oscillator
    assert 0.875 in [node.value for node in slower.graph.nodes]


@pytest.mark.parametrize("constants", [{"dt": "0.1"}, {"dt": float("nan")}, {"dt": True}, {"speed": 1.0}], ids=repr)
def test_a_constant_that_is_none_is_refused(constants):
    with pytest.raises(EquationError, match=r"constant of the cell|finite number"):
        oscillator(**constants)


def test_numbers_of_constants_are_folded_before_a_backend_sees_them():
    @cell
    def bent(x, R, h, *, k=0.5):
        chosen = where(k > 0.25, tanh(k) * h, x.never)
        return chosen + maximum(k, 2 * k - sigmoid(-k)) * R.h(h) / total(k)

    ops = [node.op for node in bent.graph.nodes]
    assert sorted(ops) == ["add", "constant", "constant", "constant", "divide", "map", "multiply", "multiply", "state"]
    assert bent.parameter_names == {"W": set(), "b": set(), "U": {"h"}, "p": set()}


def test_every_primitive_of_numbers_can_be_folded():
    assert folding.VALUES.keys() == PRIMITIVES.keys() - {"spread"}


@cell
def skipping(x, R, p, h, past):
    return tanh(R.new(x) + R.old(past) + R.h(h)) + number(p.share) * R.skip.T(h), x


def test_x_is_a_vector_as_wide_as_the_input():
    assert skipping.widths(4, 3)["past"] == 3
    assert skipping.parameter_shapes(3, 4)["U"] == {"new": (4, 3), "old": (4, 3), "h": (4, 4), "skip": (4, 4)}
    assert skipping.parameter_shapes(3, 4)["p"] == {"share": (1,)}
    deep = Network(3, [Layer(skipping, 4), Layer(skipping, 5, "bidirectional")])
    assert [layer.state_sizes["past"] for layer in deep.layers] == [3, 4]


def test_a_width_that_is_that_of_x_cannot_be_another():
    like = cell(lambda x, R, p, h: p.d * x + R.h(h))
    assert Network(3, [Layer(like, 3)]).layers[0].width == 3
    with pytest.raises(NetworkError, match=r"must have one width, got h=4, x=3; .*x is the input itself"):
        Network(3, [Layer(like, 4)])


def test_a_cell_called_in_equations_shares_its_maps():
    @cell
    def multiplicative(x, R, h, c):
        return cells.lstm(x, R, R.m(x) * R.n(h), c)

    @cell
    def by_hand(x, R, h, c):
        h = R.m(x) * R.n(h)
        i, f = sigmoid(x.i + R.i(h)), sigmoid(x.f + R.f(h))
        g, o = tanh(x.g + R.g(h)), sigmoid(x.o + R.o(h))
        c = f * c + i * g
        return o * tanh(c), c

    assert are_same(multiplicative, by_hand)


def test_a_cell_called_twice_can_have_maps_of_its_own():
    @cell
    def fast_slow(x, R, f, s):
        f = cells.elman.prefixed("first")(x, R, f)
        s = cells.elman.prefixed("slow")(f, R, s)
        return cells.elman.prefixed("second")(s, R, f), s

    @cell
    def by_hand(x, R, p, f, s):
        f = tanh(x.first_h + R.first_h(f))
        s = tanh(R.x_slow_h(f) + p.x_slow_h + R.slow_h(s))
        return tanh(R.x_second_h(s) + p.x_second_h + R.second_h(f)), s

    assert are_same(fast_slow, by_hand)


def test_a_cell_called_with_constants_and_an_output_that_is_no_state():
    @cell
    def inner(x, h, *, k=0.5):
        return out(k * h), x.h + h

    @cell
    def outer(x, h):
        y, h = inner(x, h, k=0.25)
        return y + h

    assert are_same(outer, cell(lambda x, h: 0.25 * h + (x.h + h)))


CALLED = {
    "too few arguments": (lambda x, R, h: -cells.lstm(x, R, h), "lstm(...)", "3 arguments"),
    "a number for a state": (lambda x, R, h: cells.elman(x, R, 1.0), "elman(...)", "1.0"),
    "an unknown constant": (lambda x, R, h: oscillator(x, R, h, h, step=1.0), "oscillator(step=1.0)", "step"),
    "a prefix that is none": (lambda x, R, h: -cells.elman.prefixed("a b")(x, R, h), "elman.prefixed", "'a b'"),
}


@pytest.mark.parametrize("name", CALLED)
def test_a_wrong_call_of_a_cell_is_refused(name):
    equations, call, got = CALLED[name]
    with pytest.raises(EquationError) as caught:
        cell(equations)
    assert (caught.value.call, caught.value.got) == (call, got)
