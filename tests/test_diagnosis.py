"""The diagnosis: a foreign fault is called what it is, and a report says so in every form."""

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import rnnspec
from conformance.findings.diagnosis import UNLIKE, diagnose
from conformance.findings.entry import Entry
from conformance.findings.kinds import KINDS
from conformance.findings.known import KNOWN, Known, read, remember
from conformance.findings.report import report
from conformance.findings.signs import SIGNS, signs
from conformance.mutants import mutants
from conformance.mutants.kinds import kind
from conformance.mutants.matrix import missing, signatures
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


@pytest.mark.parametrize(("fault", "kind", "known"), [
    (OutputsHeld, "padding counted", "lengths: outputs held"),
    (StartsFromZeros, "initial state", "states: initial ignored"),
])  # fmt: skip
def test_a_foreign_fault_is_called_what_it_is(fault, kind, known):
    best, *others = diagnose(findings(fault))
    told = {row.name: row.laws & {*FEW} for row in read()}
    assert best.kind == kind
    assert told[best.fault] == told[known]
    assert best.probability > max(other.probability for other in others)
    assert best.says == KINDS[kind]
    assert best.law in {one["id"] for one in findings(fault) if one["status"] == "fail"}


def test_a_right_backend_looks_like_no_fault():
    assert diagnose(findings(Foreign)) == []


def test_what_fails_like_nothing_known_is_called_nothing():
    known = [fault("one", "loss", "P01 P02"), fault("two", "CTC", "P02 P03")]
    alone = [*others(), found("P01", "pass"), found("P02", "pass"), found("P03", "pass"), found("P99", "fail")]
    assert diagnose(alone, known) == [UNLIKE]


def test_a_rare_property_counts_for_more_than_a_common_one():
    common = [fault(str(i), "loss", f"P01 P{i}") for i in range(10, 30)]
    rare = fault("rare", "CTC", "P05")
    judged = [found("P01", "fail"), found("P05", "fail"), *(found(f"P{i}", "pass") for i in range(10, 30))]
    assert diagnose(judged, [*common, rare])[0].fault == "rare"


def test_a_fault_of_one_cell_is_not_named_where_another_cell_fails():
    known = [fault("of the gru", "equation", "P01", "gru"), fault("other", "loss", "P02")]
    here = [*others(), found("P01", "fail", {"gru": "fail", "lstm": "pass"}), found("P02", "pass")]
    there = [*others(), found("P01", "fail", {"gru": "pass", "lstm": "fail"}), found("P02", "pass")]
    assert [likeness.fault for likeness in diagnose(here, known)][:1] == ["of the gru"]
    assert "of the gru" not in [likeness.fault for likeness in diagnose(there, known)]
    assert diagnose(there, known)[0].kind == "equation"


def test_few_laws_say_nothing():
    assert diagnose([found("P01", "fail"), found("P02", "pass")], [fault("one", "loss", "P01")]) == []


def test_a_law_that_a_known_fault_has_not_met_does_not_count_against_it():
    met = [*others(), found("P01", "fail"), found("P02", "pass")]
    known = [fault("one", "loss", "P01"), fault("two", "CTC", "P02")]
    newer = [*met, found("P90", "fail")]
    assert [diagnose(judged, known)[0].kind for judged in (met, newer)] == ["loss", "loss"]


def test_the_package_remembers_real_faults_and_properties():
    names, laws = {mutant.name for mutant in mutants()}, {law.id for law in properties()}
    assert {fault.name for fault in read()} <= names
    assert set().union(*(fault.shows for fault in read())) <= {*laws, *SIGNS}
    assert all(fault.shows <= fault.asked and fault.says for fault in read())
    assert len({fault.laws for fault in read()}) >= 150


def test_every_mutant_has_a_kind():
    """Whoever adds a mutant gives it, or its family, a kind in `conformance.mutants.kinds`."""
    assert [mutant.name for mutant in mutants() if kind(mutant) not in KINDS] == []
    kinds = {mutant.name: kind(mutant) for mutant in mutants()}
    assert [fault.name for fault in read() if fault.kind != kinds[fault.name]] == []


def test_every_kind_has_known_faults():
    assert {fault.kind for fault in read() if fault.laws} == {*KINDS}


def test_a_matrix_is_remembered_as_it_was(tmp_path):
    file = tmp_path / "known.json"
    remember(read(), file)
    assert file.read_text(encoding="utf-8") == KNOWN.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [file]


def test_a_matrix_is_gone_on_with_where_a_law_or_a_mutant_is_new():
    full = frozenset(law.id for law in properties()) | {*SIGNS}
    one, other, *_ = missing(())
    rows = [Known(one.name, one.says, "", "loss", frozenset({"P01"}), full),
            Known(other.name, other.says, "", "loss", frozenset({"P01"}), full - {"P02"})]  # fmt: skip
    left = {mutant.name for mutant in missing(rows)}
    assert one.name not in left
    assert other.name in left


def test_the_matrix_of_a_report_has_the_laws_that_detect_each_fault():
    laws = [law.id for law in properties()]
    row, = signatures([fault("one", "loss", "P01 P02"), fault("silent", "loss", "")])["faults"]
    detecting = [law for i, law in enumerate(reversed(laws)) if int(row["told_by"], 16) >> i & 1]
    assert sorted(detecting) == ["P01", "P02"]


def test_signs_say_where_on_which_networks_and_how():
    labels = {"lstm": "pass", "gru": "pass", "stacked": "fail", "gru, without lengths": "pass"}
    where = {"what": "pullback", "where": "state.0.forward.h[1, 0]", "got": "nan", "kappa": 2e9}
    shown = signs([found("P02", "fail", labels) | {"evidence": where}, found("P01", "pass")])
    assert shown == {"P02", "at state gradients", "mostly state gradients", "in NaN", "on deep networks only",
                     "with lengths only"}  # fmt: skip
    assert signs([found("P02", "pass")]) == frozenset()


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


@pytest.mark.parametrize("form", ["html", "markdown", "junit"])
def test_the_report_says_what_the_failures_look_like(form, document):
    text, (best, *_) = FORMS[form](document), document["backends"][0]["looks_like"]
    assert "last output is repeated" in text
    assert f"{best['sure']} ({100 * best['probability']:.0f} %)" in text
    assert f"docs/laws/{best['law']}.md" in text


def test_every_form_leads_from_a_law_that_fails_to_its_page(document):
    failing = [one["id"] for one in document["backends"][0]["properties"] if one["status"] == "fail"]
    console = Console(record=True, width=160, file=io.StringIO())
    show(console, document)
    for text in (*(FORMS[form](document) for form in ("html", "markdown", "junit")), console.export_text()):
        assert failing
        assert all(text.count(f"docs/laws/{law}.md") for law in failing)
    assert all((Path(__file__).parents[1] / f"docs/laws/{law}.md").exists() for law in failing)


@pytest.mark.parametrize("form", ["html", "markdown", "junit"])
def test_every_form_says_where_nothing_known_fits(form, document):
    unlike = {**document, "backends": [document["backends"][0] | {"looks_like": [vars(UNLIKE)]}]}
    assert "unlike any known fault" in FORMS[form](unlike)


def test_the_terminal_says_what_the_failures_look_like(document):
    console = Console(record=True, width=160, file=io.StringIO())
    show(console, document)
    text = console.export_text()
    assert "what the failures look like" in text
    assert "lengths: outputs held" in text


def others():
    return [found(f"P{i}", "pass") for i in range(40, 55)]


def found(id, status, labels=None):
    return {"id": id, "status": status, "labels": labels or {"stacked": status}}


def fault(name, kind, laws, cell=""):
    met = frozenset({*(f"P{i:02}" for i in range(1, 60)), *SIGNS})
    return Known(name, "says", cell, kind, frozenset(laws.split()), met)
