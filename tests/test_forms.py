"""Modules that are called in forms of their own, judged on what they return."""

from __future__ import annotations

import pytest
from test_strange_modules import findings, opened

from conformance.modules.form import read
from conformance.modules.source import source
from conformance.modules.trial import tried
from rnnspec import cell, out
from rnnspec.errors import ArgumentError
from rnnspec.primitives import sigmoid, tanh

pytest.importorskip("torch")
theirs = pytest.importorskip("strange_torch_modules")
LAWS = ("P01-plain", "P02-plain", "P07")
"""Values, gradients, and both twice."""


@pytest.mark.parametrize("thing", theirs.FORMS, ids=lambda thing: thing.__name__)
def test_a_module_is_judged_on_what_it_returns(thing):
    backend = tried(opened(thing))
    assert backend.raised == []
    found = {id: finding.status for id, finding in findings(backend, LAWS).items()}
    assert found["P01-plain"] == "pass"
    assert not {"fail", "error"} & set(found.values()), found


@pytest.mark.parametrize(("name", "law"), [
    ("WrongLast", "P01-plain"), ("WrongStates", "P01-plain"), ("WrongGradients", "P02-plain"),
    ("RemembersSecretly", "P07"), ("CallsItDetached", "P110"), ("StepOfSwappedGates", "P01-plain"),
    ("StepOfTheFirstRow", "P01-plain"), ("StepCutFromItsPast", "P02-plain"),
])  # fmt: skip
def test_a_faulty_one_fails(name, law):
    assert findings(opened(getattr(theirs, name)), (law,))[law].status == "fail"


def test_a_step_that_writes_into_its_state_is_told():
    found = findings(opened(theirs.StepThatOverwrites), ("P01-plain",))["P01-plain"]
    assert found.status == "error"
    assert "must not modify its arguments" in found.why


CELLS = {"LSTMCell": "lstm", "GRUCell": "gru", "RNNCell": "elman_relu"}


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_of_torch_is_called_step_by_step(name):
    backend = tried(opened(getattr(theirs.nn, name), CELLS[name]))
    assert backend.raised == []
    assert not backend.capabilities.lengths
    found = {id: finding.status for id, finding in findings(backend, (*LAWS, "P32")).items()}
    assert found == {**dict.fromkeys(LAWS, "pass"), "P32": "unsupported"}


def test_the_states_of_a_cell_of_torch_are_given_in_its_order():
    """A cell of the same equations whose states stand in another order."""

    @cell
    def turned(x, R, line, page):
        i, f, o = sigmoid(x.i + R.i(page)), sigmoid(x.f + R.f(page)), sigmoid(x.o + R.o(page))
        line = f * line + i * tanh(x.g + R.g(page))
        return out(o * tanh(line)), line, o * tanh(line)

    assert source("x:y", theirs.nn.LSTMCell, turned).family.form.text == "x_t, (page, line) -> (page, line)"


def test_what_stands_in_is_noted():
    assert "tested on what it returns (batch first: x -> y[-1])" in opened(theirs.LastOnly).notes[-1]


STEPS = ["x_t -> y_t", "x_t, (h, c) -> y_t", "x_t, h -> h", "x_t, (h, c) -> y, (h, c)",
         "batch first: x_t, (h, c) -> (h, c)", "x_t, (h, c), lengths -> (h, c)"]  # fmt: skip


@pytest.mark.parametrize("text", STEPS)
def test_a_form_of_one_step_gives_and_returns_all_states_and_has_no_sequences(text):
    with pytest.raises(ArgumentError, match=r"the form of one step must be written as.*all states \(h, c\) .*, got '"):
        read("--form", text, ("h", "c"))


BAD = ["", "x", "x ->", "h -> y", "x, h -> q", "x, k -> y", "x -> y[0]", "x -> _", "x, h -> y_t, h", "x, x_t -> y"]


@pytest.mark.parametrize("text", BAD)
def test_a_text_that_is_no_form_is_refused(text):
    with pytest.raises(ArgumentError, match="the form must be written as"):
        read("--form", text, ("h", "c"))
