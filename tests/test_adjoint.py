"""The derived backward equations against central differences, for cells drawn from every primitive."""

from __future__ import annotations

import functools
from collections import Counter

import numpy as np
import pytest
from differences import disagreement, everything, number, pulled
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

import rnnspec
from conformance.cases import hidden_for
from rnnspec import Layer, Network, cells, primitives
from rnnspec.derivation.adjoint import derive
from rnnspec.derivation.schedule import schedule
from rnnspec.primitives import (
    cos,
    erf,
    exp,
    log,
    logsumexp,
    maximum,
    mean,
    minimum,
    outer,
    relu,
    remainder,
    sigmoid,
    sin,
    softplus,
    sqrt,
    stop,
    tanh,
    total,
    where,
    width,
)

# Each primitive on values that may be anything, kept inside its domain and the result of moderate size.
WAYS = {
    "add": lambda R, a, b, c: a + b,
    "subtract": lambda R, a, b, c: a - 0.5 * b,
    "multiply": lambda R, a, b, c: a * tanh(b),
    "divide": lambda R, a, b, c: a / (1.0 + b * b),
    "negate": lambda R, a, b, c: -a,
    "tanh": lambda R, a, b, c: tanh(a),
    "sigmoid": lambda R, a, b, c: sigmoid(a),
    "relu": lambda R, a, b, c: relu(a),
    "softplus": lambda R, a, b, c: softplus(a),
    "exp": lambda R, a, b, c: exp(tanh(a)),
    "log": lambda R, a, b, c: log(0.3 + a * a),
    "sqrt": lambda R, a, b, c: sqrt(0.3 + a * a),
    "cos": lambda R, a, b, c: cos(a),
    "sin": lambda R, a, b, c: sin(a),
    "erf": lambda R, a, b, c: erf(a),
    "stop": lambda R, a, b, c: where(stop(a) > 0.1, b, 0.5 * c),
    "maximum": lambda R, a, b, c: maximum(a, b),
    "minimum": lambda R, a, b, c: minimum(a, b),
    "remainder": lambda R, a, b, c: remainder(a, 0.7 + sigmoid(b)),
    "greater": lambda R, a, b, c: where(a > b, tanh(c), a),
    "greater_equal": lambda R, a, b, c: where(a >= b, c, 2.0),
    "where": lambda R, a, b, c: where(a > 0.1, b * 0.5, c),
    "total": lambda R, a, b, c: a + 0.1 * total(b * c),
    "logsumexp": lambda R, a, b, c: a - logsumexp(b),
    "width": lambda R, a, b, c: a / width(b),
    "mean": lambda R, a, b, c: a - mean(b),
    "spread": lambda R, a, b, c: b * total(a),
    "number": lambda R, a, b, c: a - 0.5 * primitives.number(R.single(b)) * c,
    "outer": lambda R, a, b, c: (outer(a, 1) * outer(tanh(b), c) - outer(1, b)) @ tanh(c),
    "matmul": lambda R, a, b, c: tanh(a) @ maximum(outer(b, a), outer(c, 1)) + 0.1 * (outer(a, b) @ 1),
    "transposed map": lambda R, a, b, c: R.first.T(a) - R.first(b),
    "first map": lambda R, a, b, c: R.first(a) - b,
    "second map": lambda R, a, b, c: R.second(a),
    "map of a map": lambda R, a, b, c: R.first(tanh(R.second(a))),
    "map of a number": lambda R, a, b, c: a * R.third(total(b)),
}
WIDTH = 3


def drawn_cell(states, recipe, returned, marked):
    """A cell of `states` states: each entry of the recipe is a way and which earlier values it takes."""

    def equations(x, R, p, *state):
        pool = [x.a, p.a, *state, x.b]
        for way, *places in recipe:
            pool.append(WAYS[way](R, *(pool[place % len(pool)] for place in places)))
        results = tuple(tanh(pool[-1 - place % len(pool)]) for place in returned)
        return (rnnspec.out(results[-1]), *results[:-1]) if marked else results[:-1]

    names = ("h", "c", "m")[:states]
    namespace = {"equations": equations}
    exec(f"def drawn(x, R, p, {', '.join(names)}): return equations(x, R, p, {', '.join(names)})", namespace)
    return rnnspec.cell(namespace["drawn"])


def widths_of(cell):
    """Every width 3, but those of one number."""
    return {min(members - {""}): WIDTH for members in cell.width_classes if not members & cell.numbers}


recipes = st.lists(st.tuples(st.sampled_from(sorted(WAYS)), *[st.integers(0, 15)] * 3), min_size=2, max_size=9)


BASES = {
    "generic": lambda: rnnspec.Backend(None, "f64"),
    "numpy": lambda: rnnspec.get_backend("numpy", precision="f64"),
}


def compared(backend, net, seed, lengths, steps=4, batch=3):
    """Whether the derivative could be measured; if so it must be the derived one."""
    rng = np.random.default_rng(seed)
    held, outputs, final = everything(net, rng, steps, batch)
    gradients = pulled(backend, net, held, outputs, final, lengths)
    function = functools.partial(number, backend, net, outputs=outputs, final=final, lengths=lengths)
    derived, measured = disagreement(function, held, gradients, rng)
    if measured is not None:
        assert derived == pytest.approx(measured, abs=3e-7)
    return measured is not None


@pytest.mark.parametrize("opened", BASES.values(), ids=BASES)
@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(1, 3), recipes, st.lists(st.integers(0, 8), min_size=4, max_size=4), st.booleans(), st.booleans(),
       st.integers(0, 99), st.sampled_from(["forward", "reverse", "bidirectional"]))  # fmt: skip
@example(2, [("add", 0, 1, 2), ("tanh", 5, 0, 0)], [0, 0, 0, 0], False, True, 0, "forward")
def test_drawn_cells_have_the_gradients_of_their_differences(
    opened, states, recipe, returned, marked, ragged, seed, direction
):
    cell = drawn_cell(states, recipe, returned[:states] + returned[-1:], marked)
    net = Network(inputs=2, layers=[Layer(cell, hidden=widths_of(cell), direction=direction)])
    lengths = np.array([4, 0, 2]) if ragged else None
    assume(compared(opened(), net, seed, lengths))


def test_every_primitive_is_among_the_ways():
    assert primitives.PRIMITIVES.keys() <= WAYS.keys()


@pytest.mark.parametrize("way", sorted(WAYS))
def test_every_primitive_by_itself(way, reference):
    """One cell for each, so that no draw can leave one out: the way on the state, the input and the vector."""

    def drawn(x, R, p, h):
        return tanh(WAYS[way](R, x.a + h, R.second(h) + p.a, x.b - h))

    cell = rnnspec.cell(drawn)
    net = Network(inputs=2, layers=[Layer(cell, hidden=widths_of(cell))])
    assert compared(reference, net, 0, None)
    assert compared(reference, net, 1, np.array([2, 4, 0]))


BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]


@pytest.mark.parametrize("cell", BUILT_IN, ids=lambda cell: cell.name)
@pytest.mark.parametrize("read", [rnnspec.Steps(), rnnspec.Last()], ids=["steps", "last"])
def test_the_built_in_cells_stacked_and_bidirectional(cell, read, reference):
    hidden = hidden_for(cell, (3, 2))
    layers = [Layer(cell, hidden=hidden, direction="bidirectional"), Layer(cell, hidden=hidden, direction="reverse")]
    net = Network(inputs=2, layers=layers, read=read, output=rnnspec.Dense(2))
    assert compared(reference, net, 0, None)
    assert compared(reference, net, 1, np.array([4, 0, 2]))


TIES = {
    "maximum": (maximum, 1.0),
    "maximum the other way": (lambda h, b: maximum(b, h), 0.0),
    "minimum": (minimum, 1.0),
    "minimum the other way": (lambda h, b: minimum(b, h), 0.0),
    "relu": (lambda h, b: relu(h - b), 0.0),
    "where greater": (lambda h, b: where(h > b, 3.0 * h, 5.0 * h), 5.0),
    "where at least": (lambda h, b: where(h >= b, 3.0 * h, 5.0 * h), 3.0),
    "remainder at a jump": (remainder, 1.0),
}


@pytest.mark.parametrize(("way", "expected"), TIES.values(), ids=TIES)
@pytest.mark.parametrize("opened", BASES.values(), ids=BASES)
def test_the_derivative_where_two_values_are_equal_is_the_one_that_is_written_down(opened, way, expected):
    """No difference can measure it: the state and the other value are both 1."""
    net = Network(inputs=1, layers=[Layer(rnnspec.cell(lambda x, h: way(h, x.b)), hidden=1)])
    params = {"layers": [{"forward": {"W": {"b": np.ones((1, 1))}, "b": {"b": np.zeros(1)}, "U": {}, "p": {}}}]}
    one = np.ones((1, 1, 1))
    found = opened().pullback(net, params, one, one, None, [{"forward": {"h": one[0]}}])
    assert found.state[0]["forward"]["h"] == expected


def test_two_states_of_one_value_have_a_cotangent_each():
    @rnnspec.cell
    def twice(x, R, h, c):
        new = tanh(x.h + R.h(h) + R.k(c))
        return new, new

    names = sorted(node.name for node in derive(twice.graph).nodes if node.op == "cotangent")
    assert names == ["c", "h"]


def test_a_state_that_is_the_output_has_one_cotangent():
    names = [node.name for node in derive(cells.lstm.graph).nodes if node.op == "cotangent"]
    assert sorted(names) == ["c", "h"]


def test_a_leaf_that_no_result_needs_has_no_cotangent():
    assert derive(cells.mingru.graph).leaf("vector", "n") is None


def test_the_backward_loop_of_the_lstm_is_eight_calls():
    """What needs no incoming cotangent stands apart, and the four transposed products are one."""
    plan = schedule(cells.lstm)
    assert Counter(plan.nodes[index].op for index in plan.backward.step) == {"multiply": 6, "add": 1, "transposed": 1}
