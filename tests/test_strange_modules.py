"""Modules whose parameters or calls differ from those of the frameworks' layers: declared as data, and judged."""

from __future__ import annotations

import pytest
from test_modules import is_right

from conformance.cases import load_cell
from conformance.modules import ModuleBackend
from conformance.modules.source import source
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError

pytest.importorskip("torch")
theirs = pytest.importorskip("strange_torch_modules")
PLAIN = ("P01-plain", "P02")
"""Values and gradients of full rows."""


def judged(thing, cell="lstm", only=PLAIN, **more):
    """The status of some laws, with one example of each; stops at the first that fails."""
    backend = opened(thing, cell, **more)
    examination = Examination(backend, Scope(backend.capabilities.cells, brief=True, closed=True), examples=1, labels=2)
    found = {}
    for law in properties():
        if law.id in only:
            found[law.id] = examination.judge(law).status
            if found[law.id] in ("fail", "error"):
                break
    return found


def opened(thing, cell="lstm", precision="f32", **more):
    return ModuleBackend(source("x:y", thing, load_cell(cell), **more), cell, precision)


@pytest.mark.parametrize("thing", theirs.STRANGE, ids=lambda thing: thing.__name__)
def test_a_layout_says_where_the_maps_lie(thing):
    assert judged(thing) == {"P01-plain": "pass", "P02": "pass"}


@pytest.mark.parametrize("faulty", theirs.FAULTY_LAYOUTS, ids=lambda thing: thing.__name__)
def test_what_no_parameter_holds_fails(faulty):
    assert not is_right(judged(faulty))


def test_a_layout_that_names_another_order_fails():
    wrong = type("Wrong", (theirs.StateFirst,), {"layout": {**theirs.Joint.layout, "gates.weight": " | ".join(
        theirs.rows(kind, "figo") for kind in "UW")}})  # fmt: skip
    assert not is_right(judged(wrong))


def test_what_is_outside_and_what_is_missing_is_noted():
    (note,) = opened(theirs.Joint).notes
    assert "fc.weight, fc.bias keep the numbers" in note
    (note,) = opened(theirs.EachGate).notes
    assert "no b.f, b.g, b.i, b.o: it is tested as lstm_without_biases" in note


def test_a_layout_can_be_given_beside_the_module_and_can_extend_a_table():
    assert opened(theirs.Plain, layout=theirs.PLAIN).source.outside == ["fc.weight", "fc.bias"]
    assert opened(theirs.WithClassifier, layout=theirs.CLASSIFIER).source.outside == ["fc.weight", "fc.bias"]


def test_a_layer_of_torch_without_biases_is_judged_as_such():
    def bare(inputs, hidden):
        return theirs.nn.GRU(inputs, hidden, bias=False)

    found = judged(bare, "gru", only=(*PLAIN, "P32"))
    assert found == {"P01-plain": "pass", "P02": "pass", "P32": "pass"}
    assert opened(bare, "gru").source.absent == {"b.r", "b.z", "b.n", "p.n"}


@pytest.mark.parametrize(("thing", "layout", "error", "says"), [
    (theirs.WithClassifier, None, TreeError, r'fc\.weight, fc\.bias besides; say.*"fc\.weight": ""'),
    (theirs.Joint, {**theirs.PLAIN, "gates.bias": "b.i b.f b.x b.o"}, ArgumentError, r"got b\.x"),
    (theirs.Joint, {**theirs.PLAIN, "gates.weight": theirs.rows("W")}, UnsupportedError, r"no place for U\.f, U\.g"),
    (theirs.Joint, {**theirs.PLAIN, "gates.weight": "W.i W.f W.g W.o U.i U.f U.g U.o"}, ShapeError, r"gates\.weight"),
])  # fmt: skip
def test_a_layout_that_does_not_fit_says_why(thing, layout, error, says):
    with pytest.raises(error, match=says):
        opened(thing, layout=layout)
