"""Layouts of one's own: where the maps of a cell lie in named tensors, read and written."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import rnnspec
from rnnspec import cells, convert
from rnnspec.convert.assembly import tree_of
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import leaves

INPUTS, WIDTH = 3, 4
GATES, KINDS = "ifgo", {"in": "W", "rec": "U", "bias": "b"}


def rows(kind, flipped=""):
    return " ".join(f"{kind}.{gate}{flipped}" for gate in GATES)


def columns(*kinds):
    return " | ".join(" ".join(f"{kind}.{gate}.T" for kind in kinds) for gate in GATES)


def turns(kind):
    """The gates in turn: rows of one unit below one another."""
    return f"({rows(kind)})"


LAYOUTS = {
    "one map of (x, h)": ({"weight": f"{rows('W')} | {rows('U')}", "bias": rows("b")}, {"weight": (16, 7)}),
    "one map of (h, x)": ({"weight": f"{rows('U')} | {rows('W')}", "bias": rows("b")}, {"weight": (16, 7)}),
    "with the bias beside": ({"weight": f"{rows('W')} | {rows('U')} | {rows('b')}"}, {"weight": (16, 8)}),
    "transposed": ({"weight": columns("W", "U"), "bias": rows("b")}, {"weight": (7, 16), "bias": (16,)}),
    "with a transposed bias": ({"weight": columns("W", "U", "b")}, {"weight": (8, 16)}),
    "gates in turn": ({"weight": f"{turns('W')} | {turns('U')} | {turns('b')}"}, {"weight": (16, 8)}),
    "gates in turn, apart": (
        {"in": f"{turns('W')}.T", "rec": turns("U"), "bias": turns("b")},
        {"in": (3, 16), "rec": (16, 4), "bias": (16,)},
    ),
    "gates in turn, transposed": ({"weight": " ".join(f"{turns(kind)}.T" for kind in "WUb")}, {"weight": (8, 16)}),
    "some gates in turn": (
        {"weight": "(W.i W.f) W.g W.o | (U.i U.f) U.g U.o", "bias": "b.g (b.i b.f) b.o"}, {"weight": (16, 7)},
    ),
    "one map for each gate": (
        {f"{gate}.{name}": f"{kind}.{gate}" for gate in GATES for name, kind in KINDS.items()},
        {"f.in": (4, 3), "o.rec": (4, 4), "i.bias": (4,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_tensors_are_written_and_read_again(name):
    tensors, shapes = LAYOUTS[name]
    layout = convert.Layout(name, cells.lstm, tensors)
    net = rnnspec.Network(INPUTS, [rnnspec.Layer(cells.lstm, WIDTH)])
    params = net.init(seed=1)
    made = convert.to_tensors(layout, net, params).model
    assert {tensor: made[tensor].shape for tensor in shapes} == shapes
    found = convert.from_tensors(layout, made)
    assert (found.net, found.notes) == (net, ())
    again = dict(leaves(found.params))
    for place, ours in leaves(params):
        np.testing.assert_array_equal(again[place], ours, err_msg=place)


def test_a_map_lies_where_the_layout_says():
    """By hand: the gate f of an LSTM in one map of (x, h), transposed."""
    maps = {"W.f": np.full((2, 1), 1.0), "U.f": np.full((2, 2), 2.0), "b.f": np.full(2, 3.0)}
    layout = convert.Layout("by hand", cells.lstm, {"weight": "W.f | U.f | b.f", "turned": "U.f.T W.f.T b.f.T"})
    found = layout.spread({name: 2 * a for name, a in maps.items()})  # half in each place
    np.testing.assert_array_equal(found["weight"], [[1, 2, 2, 3], [1, 2, 2, 3]])
    np.testing.assert_array_equal(found["turned"], [[2, 2], [2, 2], [1, 1], [3, 3]])


def test_rows_in_parentheses_take_turns():
    """By hand: row 2 i + k of a tensor is row i of its map k."""
    layout = convert.Layout("by hand", cells.minimal_rnn, {"weight": "(W.z U.h U.z)"})
    maps = {"W.z": np.diag([1.0, 2.0]), "U.h": np.diag([3.0, 4.0]), "U.z": np.diag([5.0, 6.0])}
    found = layout.pack(maps)["weight"]
    np.testing.assert_array_equal(found, [[1, 0], [3, 0], [5, 0], [0, 2], [0, 4], [0, 6]])
    turned = replace(layout, tensors={"weight": "(W.z U.h U.z).T"}).pack(maps)["weight"]
    np.testing.assert_array_equal(turned, found.T)


def test_a_layout_in_the_names_of_another_cell_keeps_its_turns():
    @rnnspec.cell
    def other(x, R, s):
        a = sigmoid(x.a + R.a(s))
        k = tanh(x.k + R.k(a * s))
        return (1 - a) * s + a * k

    row = convert.Layout("in turn", cells.mgu, {"weight": "(W.f W.n).T (U.f U.n).T", "bias": "b.f (b.n)"})
    assert row.of(other).tensors == {"weight": "(W.a W.k).T (U.a U.k).T", "bias": "b.a (b.k)"}


BAD = ["(W.h U.h", "W.h)", "()", "(W.h.T U.h)", "(W.h (U.h))", "(W.h | U.h)", "W.h(U.h)", "(W.h)T"]


@pytest.mark.parametrize("text", BAD)
def test_parentheses_that_enclose_no_maps_in_turn_are_refused(text):
    with pytest.raises(ArgumentError, match=r"must enclose the maps whose rows take turns.*got '.*; see docs"):
        convert.Layout("a model", cells.elman, {"weight": text})


def test_more_axes_than_a_matrix_are_read_in_their_order():
    layout = convert.Layout("gates apart", cells.lstm, {"weight": f"{rows('W')} | {rows('U')}", "bias": rows("b")})
    net = rnnspec.Network(INPUTS, [rnnspec.Layer(cells.lstm, WIDTH)])
    made = convert.to_tensors(layout, net, net.init(seed=2)).model
    apart = convert.Layout("gates apart", cells.lstm, {"inner": rows("W"), "outer": rows("U"), "bias": rows("b")})
    tensors = {"inner": made["weight"][:, :3].reshape(4, 4, 3), "outer": made["weight"][:, 3:].reshape(4, 4, 4),
               "bias": made["bias"].reshape(4, 4)}  # fmt: skip
    found = convert.from_tensors(apart, tensors)
    assert found.net == net
    np.testing.assert_array_equal(found.params["layers"][0]["forward"]["U"]["g"], made["weight"][8:12, 3:])


def test_a_layer_without_biases_gets_zeros_and_a_note():
    layout = convert.Layout("no biases", cells.gru, {"ih": "W.r W.z W.n", "hh": "U.r U.z U.n"})
    found = convert.from_tensors(layout, {"ih": np.ones((6, 3)), "hh": np.ones((6, 2))})
    assert {note.what for note in found.notes} == {convert.Note.NO_BIAS, convert.Note.NO_INNER_BIAS}
    assert not found.params["layers"][0]["forward"]["b"]["z"].any()
    written = convert.to_tensors(layout, found.net, found.params)
    assert written.model["hh"].shape == (6, 2)
    biased = tree_of({name: np.ones_like(a) for name, a in leaves(found.params["layers"][0]["forward"])})
    with pytest.raises(UnsupportedError, match="must be zeros"):
        convert.to_tensors(layout, found.net, {"layers": [{"forward": biased}]})


def test_what_is_outside_is_left_there_and_noted():
    layout = convert.Layout("a model", cells.elman, {"ih": "W.h | U.h", "bias": "b.h"}, outside=("fc",))
    tensors = {"rnn.ih": np.ones((4, 7)), "rnn.bias": np.ones(4), "rnn.fc.weight": np.ones((2, 4))}
    found = convert.from_tensors(layout, tensors, prefix="rnn.")
    assert [note.what for note in found.notes] == [convert.Note.OUTSIDE]
    with pytest.raises(TreeError, match=r"'fcs\.weight'"):
        convert.from_tensors(layout, {**tensors, "rnn.fcs.weight": np.ones(3)}, prefix="rnn.")


@pytest.mark.parametrize(("tensors", "given", "error", "says"), [
    ({"w": "W.h | U.h", "b": "b.h"}, {"w": np.ones((4, 7))}, TreeError, "no b"),
    ({"w": "W.h U.h", "b": "b.h"}, {"w": np.ones((8, 3)), "b": np.ones(4)}, ShapeError, "w of"),
    ({"w": "(W.h U.h)", "b": "b.h"}, {"w": np.ones((8, 3)), "b": np.ones(4)}, ShapeError, r"U\.h \(4, 4\)"),
    ({"w": "W.h | U.h", "b": "b.q"}, {"w": np.ones((4, 7)), "b": np.ones(4)}, ArgumentError, r"elman.*got b\.q"),
    ({"w": "W.h", "b": "b.h"}, {"w": np.ones((4, 3)), "b": np.ones(4)}, UnsupportedError, "no place for U.h"),
    ({"w": "W.h | U.h", "b": "b.h"}, {"w": np.ones((4, 7)), "b": np.ones(3)}, ShapeError, "b of|w of"),
])  # fmt: skip
def test_what_cannot_be_read_says_why(tensors, given, error, says):
    with pytest.raises(error, match=says):
        convert.from_tensors(convert.Layout("a model", cells.elman, tensors), given)


def test_maps_that_do_not_fit_together_are_not_written():
    net = rnnspec.Network(INPUTS, [rnnspec.Layer(cells.elman, WIDTH)])
    layout = convert.Layout("a model", cells.elman, {"w": "(W.h U.h)", "b": "b.h"})
    with pytest.raises(ShapeError, match=r"maps of one shape in parentheses, got W\.h \(4, 3\), U\.h \(4, 4\)"):
        convert.to_tensors(layout, net, net.init(seed=1))


def test_a_kind_that_is_no_layout_is_refused():
    with pytest.raises(ArgumentError, match="or a Layout"):
        convert.from_tensors({"w": "W.h"}, {})
