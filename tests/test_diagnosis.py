"""The diagnosis: a foreign fault is called what it is, and a report says so in every form."""

import io
import json
from functools import cache

import numpy as np
import pytest
from rich.console import Console

import rnnspec
from conformance.findings.diagnosis import KNOWN, Known, diagnose, read, remember
from conformance.findings.entry import Entry
from conformance.findings.report import report
from conformance.mutants import mutants
from conformance.registry import Scope, Shape, properties
from conformance.reports import FORMS
from conformance.reports.terminal import show
from conformance.running.examination import Examination
from conformance.selection import Selection
from rnnspec import cells

FEW = ("P01", "P11", "P12", "P15", "P24", "P25", "P26", "P28", "P30", "P32", "P33", "P35", "P36", "P44", "P69")


class Foreign(type(rnnspec.get_backend("numpy"))):
    """A backend that shares nothing with the known faults but the contract."""


class OutputsHeld(Foreign):
    """Behind a row's end outputs stay what they were."""

    def layer(self, cell, params, inputs, state, lengths, call):
        found = super().layer(cell, params, inputs, state, lengths, call)
        if lengths is None:
            return found
        last = np.maximum(np.minimum(np.arange(len(inputs))[:, None], lengths - 1), 0)
        held = np.take_along_axis(found.outputs, last[:, :, None], 0)
        return rnnspec.LayerResult(np.where((lengths > 0)[None, :, None], held, 0).astype(held.dtype), found.state,
                                   found.path, found.saved)  # fmt: skip


class StartsFromZeros(Foreign):
    """The initial state is not read."""

    def layer(self, cell, params, inputs, state, lengths, call):
        zeros = {name: np.zeros_like(a) for name, a in state.items()}
        return super().layer(cell, params, inputs, zeros, lengths, call)


@cache
def findings(kind):
    """At one size: sizes at which code takes another way show no more of a fault that is in all."""
    scope = Scope((cells.elman, cells.lstm, cells.gru), (Shape(5, 7, 3, 4),))
    examination = Examination(kind(precision="f64"), scope, examples=2)
    return [examination.judge(law).as_dict() for law in properties() if law.id in FEW]


@pytest.mark.parametrize(("fault", "known"), [(OutputsHeld, "lengths: outputs held"),
                                              (StartsFromZeros, "states: initial ignored")])  # fmt: skip
def test_a_foreign_fault_is_called_what_it_is(fault, known):
    best, *_ = diagnose(findings(fault))
    assert known in (best.fault, *best.others)
    assert best.alike > 0.5


def test_a_right_backend_looks_like_no_fault():
    assert diagnose(findings(Foreign)) == []


def test_what_fails_like_nothing_known_is_called_nothing():
    known = [Known("one", "says", "", frozenset({"P01", "P02"})), Known("two", "says", "", frozenset({"P02", "P03"}))]
    alone = [*others(), found("P01", "pass"), found("P02", "pass"), found("P03", "pass"), found("P99", "fail")]
    assert diagnose(alone, known) == []


def test_a_rare_property_counts_for_more_than_a_common_one():
    common = [Known(str(i), "says", "", frozenset({"P01", f"P{i}"})) for i in range(10, 30)]
    rare = Known("rare", "says", "", frozenset({"P05"}))
    judged = [found("P01", "fail"), found("P05", "fail"), *(found(f"P{i}", "pass") for i in range(10, 30))]
    assert diagnose(judged, [*common, rare])[0].fault == "rare"


def test_a_fault_of_one_cell_is_not_named_where_another_cell_fails():
    known = [Known("of the gru", "says", "gru", frozenset({"P01"})), Known("other", "says", "", frozenset({"P02"}))]
    here = [*others(), found("P01", "fail", {"gru": "fail", "lstm": "pass"}), found("P02", "pass")]
    there = [*others(), found("P01", "fail", {"gru": "pass", "lstm": "fail"}), found("P02", "pass")]
    assert [likeness.fault for likeness in diagnose(here, known)] == ["of the gru"]
    assert diagnose(there, known) == []


def test_the_package_remembers_real_faults_and_properties():
    names, laws = {mutant.name for mutant in mutants()}, {law.id for law in properties()}
    assert {fault.name for fault in read()} <= names
    assert set().union(*(fault.told_by for fault in read())) <= laws
    assert all(fault.told_by and fault.says for fault in read())
    assert len({fault.told_by for fault in read()}) >= 150


def test_a_matrix_is_remembered_as_it_was(tmp_path):
    file = tmp_path / "known.json"
    remember(json.loads(KNOWN.read_text(encoding="utf-8")), file)
    assert file.read_text(encoding="utf-8") == KNOWN.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [file]


@pytest.fixture(scope="module")
def document():
    entry = Entry("theirs", "1.0", device="cpu", precision="f64")
    judged = findings(OutputsHeld)
    entry.counts["expected"] = len(judged)
    for one in judged:
        entry.add(one, counted=True)
    return report([entry], 0, Selection().tier, 1.0)


def test_the_document_has_the_nearest_known_fault(document):
    assert document["backends"][0]["looks_like"][0]["fault"] == "lengths: outputs held"


@pytest.mark.parametrize("form", ["html", "markdown"])
def test_the_report_says_what_the_failures_look_like(form, document):
    assert "last output is repeated" in FORMS[form](document)


def test_the_terminal_says_what_the_failures_look_like(document):
    console = Console(record=True, width=160, file=io.StringIO())
    show(console, document)
    text = console.export_text()
    assert "known faults that fail the same laws" in text
    assert "lengths: outputs held" in text


def others():
    return [found(f"P{i}", "pass") for i in range(40, 55)]


def found(id, status, labels=None):
    return {"id": id, "status": status, "labels": labels or {"stacked": status}}
