"""One cell's maps and states are found among another's by what is computed: names, order and depth mislead nobody."""

from __future__ import annotations

import pytest
from disguise import disguised
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.own_cell import leaky_gate
from rnnspec import Cell, cell, cells, out
from rnnspec.derivation.correspondence import correspondence
from rnnspec.primitives import maximum, sigmoid, tanh, where

EVERY = (*(value for value in vars(cells).values() if isinstance(value, Cell)), leaky_gate)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
def test_a_cell_corresponds_to_itself_name_by_name_and_to_no_other(one):
    assert [other.name for other in EVERY if correspondence(one, other) is not None] == [one.name]
    assert all(mine == theirs for (_, mine), theirs in correspondence(one, one).items())


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.name)
@settings(deadline=None, derandomize=True, database=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_names_are_found_though_they_are_exchanged_and_operands_and_states_stand_otherwise(one, seed):
    other, names = disguised(one, seed)
    assert correspondence(one, other) == names
    assert correspondence(other, one) == {(op, new): old for (op, old), new in names.items()}


def test_a_name_says_nothing_and_an_equation_everything():
    @cell
    def crossed(x, R, p, h):
        r = sigmoid(x.r + R.z(h))
        z = sigmoid(x.z + R.r(h))
        n = tanh(x.n + r * (R.n(h) + p.n))
        return (1 - z) * n + z * h

    @cell
    def without_complement(x, R, p, h):
        r = sigmoid(x.r + R.r(h))
        z = sigmoid(x.z + R.z(h))
        n = tanh(x.n + r * (R.n(h) + p.n))
        return z * n + z * h

    assert correspondence(cells.gru, crossed)["map", "z"] == "r"
    assert correspondence(cells.gru, without_complement) is None


def test_one_map_in_two_places_is_another_cell_than_two_maps():
    @cell
    def one_map(x, R, h):
        return tanh(x.a + R.u(h)) * sigmoid(x.b + R.u(h))

    @cell
    def two_maps(x, R, h):
        return tanh(x.a + R.u(h)) * sigmoid(x.b + R.v(h))

    @cell
    def one_input(x, R, h):
        return tanh(x.a + R.u(h)) * sigmoid(x.a + R.v(h))

    assert correspondence(one_map, two_maps) is correspondence(two_maps, one_map) is None
    assert correspondence(two_maps, one_input) is correspondence(one_input, two_maps) is None


def test_a_peephole_onto_the_old_state_is_another_than_onto_the_new_one():
    @cell
    def old_only(x, R, p, h, c):
        i = sigmoid(x.i + R.i(h) + p.i * c)
        f = sigmoid(x.f + R.f(h) + p.f * c)
        o = sigmoid(x.o + R.o(h) + p.o * c)
        c = f * c + i * tanh(x.g + R.g(h))
        return o * tanh(c), c

    assert correspondence(cells.lstm_peephole, old_only) is None


def test_the_terms_of_a_sum_and_the_factors_of_a_product_have_no_order():
    @cell
    def turned(x, R, p, seen, kept):
        take = sigmoid(p.a * kept + R.a(seen) + x.a)
        keep = sigmoid(R.b(seen) + (x.b + p.b * kept))
        kept = take * tanh(x.g + R.g(seen)) + kept * keep
        return tanh(kept) * sigmoid((x.c + p.c * kept) + R.c(seen)), kept

    names = correspondence(cells.lstm_peephole, turned)
    assert {gate: names["vector", gate] for gate in "ifo"} == {"i": "a", "f": "b", "o": "c"}
    assert names["state", "c"] == "kept"


def test_the_sides_of_a_difference_have():
    @cell
    def one(x, R, h):
        return tanh(x.h - R.h(h))

    @cell
    def other(x, R, h):
        return tanh(R.h(h) - x.h)

    assert correspondence(one, other) is None


def test_a_sum_that_is_written_twice_in_two_orders_is_one():
    @cell
    def once(x, R, h):
        a = x.h + R.h(h)
        return tanh(a) * sigmoid(a)

    @cell
    def twice(x, R, h):
        return tanh(x.h + R.h(h)) * sigmoid(R.h(h) + x.h)

    assert correspondence(once, twice) == correspondence(twice, once) == correspondence(once, once)


def test_numbers_and_how_often_an_operand_stands_there_count():
    def scaled(number):
        return cell(lambda x, R, h: tanh(number * x.h + R.h(h)))

    @cell
    def thrice(x, R, h):
        return tanh(x.h + R.h(h) + x.h + x.h)

    @cell
    def twice(x, R, h):
        return tanh(x.h + R.h(h) + R.h(h) + x.h)

    assert correspondence(scaled(2), scaled(2)) is not None
    assert correspondence(scaled(2), scaled(3)) is None
    assert correspondence(thrice, twice) is None


def test_states_that_the_output_does_not_read_are_found_too():
    @cell
    def one(x, h, count, last):
        return out(maximum(x.y, h)), x.h, count + 1, where(count > 3, x.h, last)

    @cell
    def other(x, a, b, c):
        return out(maximum(c, x.u)), where(b > 3, x.v, a), 1 + b, x.v

    names = correspondence(one, other)
    assert {name: names["state", name] for name in one.states} == {"h": "c", "count": "b", "last": "a"}


def test_a_state_more_is_another_cell():
    @cell
    def elman_and_more(x, R, h, c):
        return tanh(x.h + R.h(h)), x.h

    assert correspondence(cells.elman, elman_and_more) is correspondence(elman_and_more, cells.elman) is None


@pytest.mark.parametrize("grow", [lambda y: y + y * y, lambda y: y + y, lambda y: maximum(y, tanh(y))])
def test_a_deep_cell_is_compared_value_by_value(grow):
    """Every value is used twice: spelled out, the graph would have 2^60 leaves."""
    @cell
    def deep(x, R, h):
        y = x.h + R.h(h)
        for _ in range(60):
            y = grow(y)
        return tanh(y)

    assert correspondence(deep, disguised(deep, 1)[0]) == correspondence(deep, deep) is not None
