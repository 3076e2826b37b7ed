"""The suite in parts: what is shared out, that the parts are the whole, and that they fail as the whole does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from inspect import isroutine
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from run_in_parts import parts, run, says, together

from conformance.cases import drawn_cells
from conformance.cases.affine import affine_cells
from conformance.mutants.self_test import Reference
from conformance.part import Part
from conformance.processes.deadline import Deadline
from conformance.registry import Property, Scope, properties
from conformance.running.examination import Examination
from conformance.running.inquiry import BATCH
from conformance.selection import Selection
from conformance.speed.arena import own_rows, rows
from conformance.statements import Statement
from rnnspec import Backend

LAWS = {law.id: law for law in properties()}
ONLY = ("P01", "P11", "P15", "P42", "P72", "P113-refused", "P120")
SELECTION = Selection("smoke", seed=5, only=ONLY, cells=("lstm", "elman"), precisions=("f32", "f64"))
IDS = [(f"P{law:02}", label, number) for law in range(40) for label in "abcde" for number in range(1 + law % 3)]


class Broken(Reference):
    """Outputs of an LSTM are wrong from the second step on, those of other cells where there are less than three rows.
    """

    def layer(self, cell, params, inputs, state, lengths, call):
        found = super().layer(cell, params, inputs, state, lengths, call)
        wrong = np.arange(len(inputs)) >= (1 if cell.name == "lstm" else len(inputs) * (inputs.shape[1] < 3))
        return replace(found, outputs=np.where(wrong[:, None, None], found.outputs + 0.01, found.outputs))


class Raises(Reference):
    """An error where a row is empty."""

    def layer(self, cell, params, inputs, state, lengths, call):
        if lengths is not None and not np.min(lengths):
            raise ValueError("an empty row")
        return super().layer(cell, params, inputs, state, lengths, call)


class Compiling(Reference):
    """A backend that says that it compiles."""

    programs_compiled = 0


@pytest.mark.parametrize("of", (1, 2, 3, 7, 16, 400))
def test_the_parts_are_the_whole_and_nothing_is_twice(of):
    for share in (lambda part: part.own(IDS, "numpy f64"), lambda part: part.stretch(IDS)):
        own = [share(Part(number, of)) for number in range(1, 1 + of)]
        assert Counter(id for each in own for id in each) == Counter(IDS)
        assert max(map(len, own)) - min(map(len, own)) <= 1


def test_the_order_of_names_does_not_matter():
    assert Part(2, 5).own(reversed(IDS), "torch f32") == Part(2, 5).own(IDS, "torch f32")
    assert Part(2, 5).stretch(reversed(IDS)) == Part(2, 5).stretch(IDS)


def test_every_law_is_spread_over_the_parts_and_places_begin_with_different_ones():
    own = [Part(number, 5).own(IDS, "numpy f64") for number in range(1, 6)]
    for law in {id[0] for id in IDS}:
        counts = [sum(id[0] == law for id in each) for each in own]
        assert max(counts) - min(counts) <= 1
    begins = {number for where in ("numpy f32", "numpy f64", "torch f32", "torch f64", "jax f32")
              for number in range(1, 17) if Part(number, 16).own(IDS[:1], where)}  # fmt: skip
    assert len(begins) > 2


@pytest.mark.parametrize("text", ("3", "0/4", "5/4", "a/b", "1/0", "-1/4", "1/4/4", "", "/", " 1/4", "1/ 4", "1.0/4",
                                  "²/4", "1/" + "9" * 5000))  # fmt: skip
def test_other_texts_are_no_part(text):
    with pytest.raises(ValueError):
        Part.read(text)


def test_rows_of_speed_are_measured_once():
    for tier in ("smoke", "default", "deep"):
        selection = Selection(tier)
        own = [own_rows("torch", "f32", replace(selection, part=Part(number, 5))) for number in range(1, 6)]
        assert Counter(row for each in own for row in each) == Counter(rows(selection, "f32", ""))
        assert max(map(len, own)) - min(map(len, own)) <= 1


def opened(kind, selection=SELECTION):
    return [kind(precision=precision) for precision in selection.precisions]


@pytest.mark.parametrize("kind", (Reference, Compiling))
def test_parts_test_the_cases_of_the_whole_and_say_what_it_says(kind):
    whole, cases = run(opened(kind), SELECTION)
    found = parts(lambda: opened(kind), SELECTION, 4)
    assert Counter(case for _, own in found for case in own) == Counter(cases)
    assert {entry["status"] for entry in whole["backends"]} == {"conforms"}
    assert says(together([document for document, _ in found])) == says(whole)


@pytest.mark.parametrize("kind", (Broken, Raises))
def test_parts_fail_as_the_whole_does_with_the_same_cases_to_paste(kind):
    selection = replace(SELECTION, precisions=("f64",))
    whole, cases = run(opened(kind, selection), selection)
    found = parts(lambda: opened(kind, selection), selection, 3)
    assert not Counter(cases) - Counter(case for _, own in found for case in own)
    assert says(together([document for document, _ in found])) == says(whole)
    pasted = [finding["reproducer"] for document, _ in found for finding in document["backends"][0]["properties"]]
    wanted = [finding["reproducer"] for finding in whole["backends"][0]["properties"] if finding["reproducer"]]
    assert len(wanted) > 2
    assert set(wanted) <= set(pasted)


def test_a_compiling_backend_keeps_a_label_together():
    """So that no part compiles what another one has compiled, but for the labels at the ends of its stretch."""
    wide = replace(SELECTION, only=(), modes=("forward",), cells=("elman", "gru"), precisions=("f32",))
    labels = [{(label, number) for document, _ in [parted] for law in document["backends"][0]["batches"].values()
               for label, number in [(tally["label"], 0) for tally in law]}
              for parted in ((run_plan(wide, number), 0) for number in range(1, 5))]  # fmt: skip
    assert sum(map(len, labels)) <= len(set.union(*labels)) + 3


def test_no_part_of_a_compiling_backend_has_laws_without_a_label_alone():
    selection = replace(SELECTION, only=(), modes=("forward",), shapes=(), cells=("elman", "gru"), precisions=("f32",))
    found = [run_plan(selection, number)["backends"][0]["batches"] for number in range(1, 5)]
    sizes = [sum(map(len, batches.values())) for batches in found]
    assert max(sizes) <= 2 * min(sizes), sizes


def run_plan(selection, number):
    """A part in which no law tests anything."""
    idle = Compiling(precision="f32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Property, "__call__", lambda *_: None)
        return run([idle], replace(selection, part=Part(number, 4)))[0]


def drawn(selection, number=None, of=16):
    """The drawn cells that a run, or a part, tests, as code."""
    selection = replace(selection, part=number and Part(number, of))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Property, "__call__", lambda *_: None)
        return [code for _, _, code in run([Reference(precision="f64")], selection)[1]]


def test_hundreds_of_drawn_cells_in_parts_are_those_of_the_whole():
    selection = Selection("smoke", only=("P120",), precisions=("f64",), examples=BATCH + 5)
    whole, own = drawn(selection), [drawn(selection, number, 4) for number in range(1, 5)]
    assert len(whole) > 3 * (BATCH + 5)  # of three labels, and one with every function
    assert Counter(code for each in own for code in each) == Counter(whole)
    assert max(map(len, own)) <= 2 * BATCH  # of eight batches each part has two


def test_no_draw_depends_on_where_a_function_is_in_memory(monkeypatch):
    """hypothesis makes cases of others by the hashes of what was chosen among; that of a function is its address."""
    chosen = []

    def sampled_from(elements, genuine=st.sampled_from):
        chosen.append(elements)
        return genuine(elements)

    monkeypatch.setattr(st, "sampled_from", sampled_from)
    for strategy in (drawn_cells(), affine_cells()):
        settings(max_examples=25, database=None, derandomize=True, phases=[Phase.generate], deadline=None,
                 suppress_health_check=list(HealthCheck))(given(strategy)(lambda cell: None))()  # fmt: skip
    assert len(chosen) > 500
    assert not [each for elements in chosen for each in elements if isroutine(each)]


def test_more_examples_begin_with_the_same_ones_and_are_drawn_anew():
    law = Property(Statement("P999", "one", "It holds."), lambda *_: None, lambda _: {"here": st.integers(0, 10**9)})

    def cases(examples):
        found = []
        examination = Examination(Backend(None, "f64"), Scope(()), examples=examples)
        examination.announce = lambda law, label, case: found.append(case)
        assert examination.judge(law).examples == examples == len(found)
        return found

    few, many = cases(BATCH), cases(5 * BATCH + 3)
    assert many[:BATCH] == few
    assert len(set(many)) > 0.8 * len(many)
    assert all(many[i : i + BATCH] != many[j : j + BATCH] for i, j in pairwise(range(0, 5 * BATCH + 1, BATCH)))


def test_laws_that_are_expected_to_fail_are_so_in_parts():
    selection = replace(SELECTION, xfails={"P01": "known", "P72": "it passes"}, precisions=("f64",))
    whole, _ = run(opened(Broken, selection), selection)
    found = parts(lambda: opened(Broken, selection), selection, 4)
    assert says(together([document for document, _ in found])) == says(whole)
    statuses = {finding["id"]: finding["status"] for finding in whole["backends"][0]["properties"]}
    assert (statuses["P01"], statuses["P72"]) == ("xfail", "fail")
    told = [finding["status"] for document, _ in found for finding in document["backends"][0]["properties"]
            if finding["id"] in ("P01", "P72")]  # fmt: skip
    assert set(told) == {"xfail", "pass"}


def test_what_failed_before_is_asked_first_with_more_cases_in_parts_too():
    failed = {"numpy": {"P42": ["elman"], "P113-refused": []}}
    selection = replace(SELECTION, only=("P42", "P113-refused", "P11"), precisions=("f64",), examples=6, failed=failed)
    whole, cases = run(opened(Reference, selection), selection)
    found = parts(lambda: opened(Reference, selection), selection, 3)
    assert Counter(case for _, own in found for case in own) == Counter(cases)
    assert says(together([document for document, _ in found])) == says(whole)
    (law,) = [finding for finding in whole["backends"][0]["properties"] if finding["id"] == "P42"]
    assert law["examples"] == 4 * 6 + 6


def test_a_part_without_time_leaves_the_run_unfinished():
    selection = replace(SELECTION, precisions=("f64",))
    documents = [run(opened(Reference, selection), replace(selection, part=Part(number, 2)), deadline)[0]
                 for number, deadline in ((1, None), (2, Deadline(0.0)))]  # fmt: skip
    (entry,) = together(documents)["backends"]
    assert documents[1]["backends"][0]["status"] == "unfinished"
    late = [finding for finding in entry["properties"] if "not_asked" in finding["labels"].values()]
    assert late
    assert entry["counts"]["expected"] == len(entry["properties"])
