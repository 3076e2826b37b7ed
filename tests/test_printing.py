"""Printed equations: they read like the book, say what the graph says, and are well-formed LaTeX."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_adjoint import WAYS, drawn_cell

import rnnspec
from rnnspec import cell, cells, out
from rnnspec.primitives import cos, erf, mean, sigmoid, sin, sqrt, stop, tanh, total, where, width

BUILT_IN = [value for value in vars(cells).values() if isinstance(value, rnnspec.Cell)]


def test_the_lstm_reads_like_the_book():
    assert str(cells.lstm) == "\n".join([
        "lstm(h, c)",
        "  i = σ(W_i x + b_i + U_i h)",
        "  f = σ(W_f x + b_f + U_f h)",
        "  g = tanh(W_g x + b_g + U_g h)",
        "  o = σ(W_o x + b_o + U_o h)",
        "  c' = f ⊙ c + i ⊙ g",
        "  h' = o ⊙ tanh(c')",
    ])  # fmt: skip


def test_the_gru_in_latex():
    assert cells.gru.latex() == "\n".join([
        r"\begin{aligned}",
        r"r &= \sigma\left(W_{r} x_t + b_{r} + U_{r} h_{t-1}\right) \\",
        r"z &= \sigma\left(W_{z} x_t + b_{z} + U_{z} h_{t-1}\right) \\",
        r"n &= \tanh\left(W_{n} x_t + b_{n} + r \odot (U_{n} h_{t-1} + p_{n})\right) \\",
        r"h_t &= (1 - z) \odot n + z \odot h_{t-1}",
        r"\end{aligned}",
    ])  # fmt: skip


def test_an_output_that_is_no_state_is_y():
    assert "y = " in str(cell(lambda x, R, h: (out(R.y(h)), tanh(x.h))))


def test_two_states_of_one_value_are_one_line():
    assert "h' = c' = tanh(W_a x + b_a)" in str(cell(lambda x, h, c: (tanh(x.a),) * 2))


def test_a_state_that_is_handed_on_keeps_its_name():
    lines = str(cell(lambda x, R, h, c: (tanh(x.h + R.h(h) + R.k(c)), h))).splitlines()
    assert lines[1:] == ["  c' = h", "  h' = tanh(W_h x + b_h + U_h h + U_k c)"]


@pytest.mark.parametrize("number", [0.1234567890123, 1 / 3, 1e-300, 2.0, -0.5, 1e22])
def test_numbers_are_whole(number):
    printed = str(cell(lambda x, h: h + number))
    assert float(printed.rsplit(" ", 1)[1]) == number


@pytest.mark.parametrize(("equations", "line"), [
    (lambda x, h: h - (h - x.a), "h' = h - (h - (W_a x + b_a))"),
    (lambda x, h: (h + x.a) * h, "h' = (h + W_a x + b_a) ⊙ h"),
    (lambda x, h: h / (x.a / h), "h' = h / ((W_a x + b_a) / h)"),
    (lambda x, h: -(h + x.a), "h' = -(h + W_a x + b_a)"),
    (lambda x, h: h - (-h), "h' = h - (-h)"),
    (lambda R, h: R.a(h * h), "h' = U_a (h ⊙ h)"),
    (lambda R, h: R.a(h) * h, "h' = U_a h ⊙ h"),
    (lambda h: where(h > 0, h, 1.0), "h' = where(h > 0, h, 1)"),
    (lambda h: where(h >= 0, h, 1.0), "h' = where(h ≥ 0, h, 1)"),
    (lambda x, h: cos(x.a) + sin(h) * erf(stop(h)), "h' = cos(W_a x + b_a) + sin(h) ⊙ erf(stop(h))"),
    (lambda x, h: h / sqrt(width(x.a * h)), "h' = h / sqrt(width((W_a x + b_a) ⊙ h))"),
    (lambda x, h: h - mean(x.a * h), "h' = h - mean((W_a x + b_a) ⊙ h)"),
    (lambda x, h: h * (total(h) / width(x.a)), "h' = h ⊙ Σ(h) / width(W_a x + b_a)"),
])  # fmt: skip
def test_parentheses_stand_where_they_must(equations, line):
    assert str(cell(equations)).splitlines()[1].strip() == line


def number(text, names):
    """The number that a printed line says, by Python's own reading of it, where maps are the identity."""
    text = re.sub(r"U_\w+ ", "", text)
    for written, read in {"σ": "sigmoid", "⊙": "*", "≥": ">=", "'": "_new", "Σ": "total", "ᵀ": ""}.items():
        text = text.replace(written, read)
    text = re.sub(r"(?<=[\w)]) (?=[\w(])", " * ", text)
    return eval(text, {"__builtins__": {}}, names)


@pytest.mark.parametrize("declared", BUILT_IN, ids=lambda c: c.name)
def test_what_is_printed_computes_what_the_graph_says(declared):
    """By reading the lines as Python, with maps that are the identity."""
    rng = np.random.default_rng(0)
    names = {
        "tanh": np.tanh, "sigmoid": lambda a: 1 / (1 + np.exp(-a)), "relu": lambda a: np.maximum(a, 0),
        "exp": np.exp, "softplus": lambda a: np.logaddexp(a, 0), "maximum": np.maximum, "minimum": np.minimum,
        "where": np.where, "sqrt": np.sqrt, "mean": lambda a: a, "x": rng.normal(), **declared.constants,
        "cos": np.cos, "sin": np.sin, "total": lambda a: a, "width": lambda a: 1,
        **{s: rng.normal() for s in declared.states},
        **{f"p_{n}": rng.normal() for n in declared.graph.names("vector")},
    }  # fmt: skip
    given = {n: rng.normal() for n in declared.graph.names("input")}
    lines = [line.strip().split(" = ") for line in str(declared).splitlines()[1:]]
    for left, right in lines:
        text = re.sub(r"W_(\w+) x \+ b_\1", lambda found: f"({given[found[1]]!r})", right)
        names[left.replace("'", "_new")] = number(text, names)

    known = {
        "input": given.get, "x": lambda _: names["x"], "state": names.get, "vector": lambda name: names[f"p_{name}"],
        "width": lambda _: 1,
    }  # fmt: skip

    def apply(node, operands):
        if node.op in known:
            return known[node.op](node.name)
        match node.op:
            case "constant":
                return node.value
            case "map" | "transposed" | "total" | "number":
                return operands[0]
            case "outer" | "matmul":
                return operands[0] * operands[1]
        return rnnspec.lowering.primitive(rnnspec.arrays.NumpyArrays("f8"), node.op, operands)

    for name, value in declared.graph.evaluate(apply).items():
        if name:
            assert names[f"{name}_new"] == pytest.approx(value, abs=1e-14)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from(sorted(WAYS)), *[st.integers(0, 15)] * 3), min_size=2, max_size=9),
    st.lists(st.integers(0, 8), min_size=4, max_size=4),
    st.booleans(),
)
def test_whatever_can_be_written_can_be_printed(states, recipe, returned, marked):
    declared = drawn_cell(states, recipe, returned[:states] + returned[-1:], marked)
    lines = str(declared).splitlines()
    lefts = [name for line in lines[1:] for name in line.strip().split(" = ")[:-1]]
    assert len(lefts) == len(set(lefts)), "a letter is given once"
    assert {f"{s}'" for s in declared.states} <= set(lefts)
    latex = declared.latex()
    assert latex.count("{") == latex.count("}")
    assert latex.count(r"\left(") == latex.count(r"\right)")
    assert latex.count(r"\begin{") == latex.count(r"\end{")
    body = re.sub(r"\\(?:begin|end)\{\w+\}", "", latex)
    depth = 0
    for sign in body:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert "UNKNOWN" not in latex
    assert not re.search(r"_\{?\w*_", latex.replace(r"\_", "")), "no second index without braces"


def test_long_names_stand_upright_and_escaped():
    latex = cell(lambda x, R, hid_den: sigmoid(x.forget_gate + R.k(hid_den))).latex()
    assert r"W_{\mathrm{forget\_gate}}" in latex
    assert r"\mathrm{hid\_den}_{t-1}" in latex


def test_a_total_that_more_than_its_mean_reads_is_written_as_one():
    lines = str(cell(lambda x, h: h - mean(x.a) + total(x.a))).splitlines()
    assert lines[1:] == ["  a = Σ(W_a x + b_a)", "  h' = h - a / width(W_a x + b_a) + a"]


def test_a_mean_that_is_read_twice_has_a_letter_and_is_upright_in_latex():
    centred = cell(lambda h: (h - mean(h)) * mean(h))
    assert str(centred).splitlines()[1:] == ["  u = mean(h)", "  h' = (h - u) ⊙ u"]
    assert r"\operatorname{mean}\left(h_{t-1}\right)" in centred.latex()
