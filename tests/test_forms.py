"""Modules that are called in forms of their own, judged on what they return."""

from __future__ import annotations

import pytest
from test_strange_modules import findings, opened

from conformance.modules.form import read
from conformance.modules.trial import tried
from rnnspec.errors import ArgumentError

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
    ("RemembersSecretly", "P07"), ("CallsItDetached", "P110"),
])  # fmt: skip
def test_a_faulty_one_fails(name, law):
    assert findings(opened(getattr(theirs, name)), (law,))[law].status == "fail"


def test_what_stands_in_is_noted():
    assert "tested on what it returns (batch first: x -> y[-1])" in opened(theirs.LastOnly).notes[-1]


@pytest.mark.parametrize("text", ["", "x", "x ->", "h -> y", "x, h -> q", "x, k -> y", "x -> y[0]", "x -> _"])
def test_a_text_that_is_no_form_is_refused(text):
    with pytest.raises(ArgumentError, match="the form must be written as"):
        read("--form", text, ("h", "c"))
