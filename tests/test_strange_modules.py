"""Modules whose parameters or calls differ from those of the frameworks' layers: declared as data, and judged."""

from __future__ import annotations

import pytest
from test_modules import is_right

from conformance.cases import load_cell
from conformance.modules import ModuleBackend
from conformance.modules.source import source
from conformance.modules.trial import tried
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError

pytest.importorskip("torch")
theirs = pytest.importorskip("strange_torch_modules")
PLAIN = ("P01-plain", "P02-plain")
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


def findings(backend, only):
    """The findings of some laws, with one example of each."""
    scope = Scope(backend.capabilities.cells, brief=True, closed=True)
    examination = Examination(backend, scope, examples=1, labels=1)
    return {law.id: examination.judge(law) for law in properties() if law.id in only}


def opened(thing, cell="lstm", precision="f32", **more):
    return ModuleBackend(source("x:y", thing, load_cell(cell), **more), cell, precision)


@pytest.mark.parametrize("thing", theirs.STRANGE, ids=lambda thing: thing.__name__)
def test_a_layout_says_where_the_maps_lie(thing):
    assert judged(thing) == {"P01-plain": "pass", "P02-plain": "pass"}


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
    assert found == {"P01-plain": "pass", "P02-plain": "pass", "P32": "pass"}
    assert opened(bare, "gru").source.absent == {"b.r", "b.z", "b.n", "p.n"}


@pytest.mark.parametrize(("thing", "layout", "error", "says"), [
    (theirs.WithClassifier, None, TreeError, r'fc\.weight, fc\.bias besides; say.*"fc\.weight": ""'),
    (theirs.Joint, {**theirs.PLAIN, "gates.bias": "b.i b.f b.x b.o"}, ArgumentError, r"got b\.x"),
    (theirs.Joint, {**theirs.PLAIN, "gates.bias": "(b.i b.f b.g b.o"}, ArgumentError, "--module x:y: paren"),
    (theirs.Joint, {**theirs.PLAIN, "gates.weight": theirs.rows("W")}, UnsupportedError, r"no place for U\.f, U\.g"),
    (theirs.Joint, {**theirs.PLAIN, "gates.weight": "W.i W.f W.g W.o U.i U.f U.g U.o"}, ShapeError, r"gates\.weight"),
])  # fmt: skip
def test_a_layout_that_does_not_fit_says_why(thing, layout, error, says):
    with pytest.raises(error, match=says):
        opened(thing, layout=layout)


FIRST_CALLS = {
    "RefusesLengths": ("lengths", "NotImplementedError: no packed sequences yet", "--without lengths"),
    "RefusesEmptyRows": ("empty_rows", "ValueError: length must be greater than 0", "--without empty_rows"),
    "RefusesOneRow": ("", "IndexError: too many indices", "one row"),
    "RefusesGradients": ("gradients", "RuntimeError: ", "--without gradients"),
}


@pytest.mark.parametrize("name", FIRST_CALLS)
def test_an_error_of_the_first_calls_is_reported_once_and_what_else_there_is_is_asked(name):
    need, error, says = FIRST_CALLS[name]
    backend = tried(opened(getattr(theirs, name)))
    (raised,) = backend.raised
    assert raised.need == need
    assert error in raised.why
    assert says in raised.why
    assert not need or not getattr(backend.capabilities, need)
    found = findings(backend, ("P01-plain", "P02-plain", "P32"))
    errors = [id for id, finding in found.items() if finding.status == "error"]
    assert len(errors) == 1
    assert found[errors[0]].why == raised.why
    assert "conformance.reproduce" in found[errors[0]].reproducer
    assert "fail" not in {finding.status for finding in found.values()}
    assert "pass" in {finding.status for finding in found.values()}


def test_a_right_module_has_no_errors_and_keeps_its_capabilities():
    backend = opened(theirs.Ragged)
    before = backend.capabilities
    assert tried(backend).raised == []
    assert backend.capabilities == before
    assert findings(backend, ("P01-plain", "P02-plain"))["P02-plain"].status == "pass"


def test_a_module_that_cannot_be_called_says_so_once():
    with pytest.raises(ArgumentError, match="RuntimeError: mat1 and mat2"):
        tried(opened(theirs.RefusesAll))


def test_a_module_that_refuses_frozen_parameters_is_asked_for_all_gradients_without_them():
    backend = tried(opened(theirs.RefusesFrozen))
    assert "the module raises RuntimeError: the program was made" in backend.notes[-1]
    assert findings(backend, ("P02-plain",))["P02-plain"].status == "pass"


@pytest.mark.parametrize("name", ["scripted", "Uncopied"])
def test_a_module_of_torchscript_or_that_cannot_be_copied_is_judged(name):
    found = findings(tried(opened(getattr(theirs, name))), ("P01-plain", "P02-plain"))
    assert {finding.status for finding in found.values()} == {"pass"}, found


def test_memory_that_results_share_is_a_note_of_a_module_and_no_failure():
    backend = tried(opened(theirs.LastIsAView))
    assert "the outputs and the final h share memory" in backend.notes[-1]
    assert findings(backend, ("P09",))["P09"].status == "pass"
