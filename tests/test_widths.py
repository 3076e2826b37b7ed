"""Widths follow by unification; one that nothing fixes, or that two things fix, is an error."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rnnspec import cell, cells, out
from rnnspec.errors import NetworkError
from rnnspec.primitives import logsumexp, outer, relu, tanh, total


def test_one_number_for_all():
    assert cells.lstm.parameter_shapes(5, 3)["U"] == dict.fromkeys("fgio", (3, 3))


def test_a_projection_has_two():
    shapes = cells.lstm_projected.parameter_shapes(5, {"h": 2, "c": 3})
    assert shapes["U"] == {"f": (3, 2), "g": (3, 2), "i": (3, 2), "o": (3, 2), "p": (2, 3)}
    assert shapes["W"]["i"] == (3, 5)
    assert cells.lstm_projected.output_width({"h": 2, "c": 3}) == 2


def test_one_map_on_two_arguments_makes_them_one_width():
    shared = cell(lambda x, R, h, c: (tanh(x.h + R.k(h)), tanh(R.k(c) + x.c)))
    with pytest.raises(NetworkError, match="one width"):
        shared.widths({"h": 2, "c": 3})
    assert shared.parameter_shapes(1, 4)["U"] == {"k": (4, 4)}


def test_a_map_between_needs_a_width_of_its_own():
    between = cell(lambda x, R, h: tanh(x.h + R.h(relu(R.k(h)))))
    with pytest.raises(NetworkError, match=r"give the width of R\.k, h\.R"):
        between.widths(3)
    assert between.parameter_shapes(1, {"h": 3, "R.k": 5})["U"] == {"h": (3, 5), "k": (5, 3)}


@pytest.mark.parametrize(
    "hidden",
    [
        {"h": 2},
        {"h": 2, "c": 3, "m": 1},
        {"h": 0, "c": 1},
        {"h": 2, "c": 2.0},
        {"h": 2, "c": True},
        {},
        {"h": 2, "c": -1},
        {"": 2, "h": 2},
    ],
    ids=repr,
)
def test_wrong_widths_of_a_projection(hidden):
    with pytest.raises(NetworkError):
        cells.lstm_projected.widths(hidden)


def test_two_widths_for_one():
    with pytest.raises(NetworkError, match=r"c=3.*h=2"):
        cells.lstm.widths({"h": 2, "c": 3})


def test_a_total_is_one_number():
    counter = cell(lambda x, R, h, n: (tanh(x.h + R.h(h)), total(h)))
    assert counter.widths(5)["n"] == 1
    assert counter.widths({"h": 5})["n"] == 1
    with pytest.raises(NetworkError, match="one number"):
        counter.widths({"h": 5, "n": 5})


def test_a_total_that_is_used_as_a_wide_state_is_refused():
    with pytest.raises(NetworkError, match="one width"):
        cell(lambda x, R, h, n: (tanh(x.h + n * h), total(h))).widths(5)


def test_a_map_of_a_number_has_one_column():
    assert cell(lambda x, R, h: tanh(x.h + R.k(logsumexp(h)))).parameter_shapes(1, 3)["U"] == {"k": (3, 1)}


def test_a_map_of_a_number_and_of_a_vector_is_refused():
    with pytest.raises(NetworkError, match="one width"):
        cell(lambda x, R, h: tanh(R.k(total(h)) + R.k(h))).widths(3)


def test_a_map_and_an_input_of_like_names_are_apart():
    apart = cell(lambda x, R, h, c: (tanh(x.k + R.x(c)), tanh(x.c + R.h(h))))
    assert apart.parameter_shapes(1, {"h": 3, "c": 2})["U"] == {"h": (2, 3), "x": (3, 2)}


def test_heads_have_the_widths_of_one():
    one = replace(cells.lstm_projected, heads=3)
    assert one.widths({"h": 2, "c": 4}) == cells.lstm_projected.widths({"h": 2, "c": 4})
    assert one.output_width({"h": 2, "c": 4}) == 6
    assert one.parameter_shapes(5, {"h": 2, "c": 4})["U"]["p"] == (3, 2, 4)


def test_a_matrix_of_one_row_has_a_vector_s_width():
    row = cell(lambda x, S: (out(S @ x.k), outer(1, x.k) * total(S)))
    assert row.state_shapes({"S.columns": 3}) == {"S": (1, 3)}
    assert row.numbers >= {"S.rows"}
    with pytest.raises(NetworkError, match=r"S\.rows.* one width, got S\.rows=2"):
        row.state_shapes({"S.columns": 3, "S.rows": 2})
