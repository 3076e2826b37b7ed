"""The measure of the diagnosis: its faults are new, their kinds are true words, and most kinds are named."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from conformance.findings.kinds import KINDS
from conformance.mutants import mutants
from conformance.mutants.trial import Reference

FIGURES = Path(__file__).parents[1] / "docs/figures"
MEASURED = json.loads((FIGURES / "looks_like.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def faults():
    sys.path.insert(0, str(FIGURES))
    yield list(import_module("unseen").faults())
    sys.path.remove(str(FIGURES))


def test_no_self_test_reads_the_faults(faults):
    names, sentences = {m.name for m in mutants()}, {m.says for m in mutants()}
    assert len(faults) >= 100
    assert len({fault.mutant.name for fault in faults}) == len(faults)
    assert not names & {fault.mutant.name for fault in faults}
    assert not sentences & {fault.mutant.says for fault in faults}


def test_every_kind_has_faults_in_both_halves(faults):
    for half in (True, False):
        assert {fault.kind for fault in faults if fault.open is half} == {*KINDS}


def test_every_fault_makes_a_backend(faults):
    for fault in faults:
        assert isinstance(fault.mutant.make(Reference()), Reference), fault.mutant.name


def test_the_figures_are_of_these_faults(faults):
    known = {fault.mutant.name: (fault.mutant.says, fault.kind, fault.open) for fault in faults}
    for row in MEASURED["rows"]:
        assert known[row["fault"]] == (row["says"], row["kind"], row["open"]), "run `make looks-like`"
    assert sum(not row["open"] for row in MEASURED["rows"]) >= 40


@pytest.mark.parametrize("half", [True, False])
def test_most_kinds_are_among_those_that_are_named(faults, half):
    """With the matrix as it is now; every third row, since each is compared with every known fault."""
    rows = [row for row in MEASURED["rows"] if row["open"] is half and row["shows"]][::3]
    named = [import_module("looks_like").diagnosed(row, MEASURED["laws"]) for row in rows]
    assert sum(row["place"] > 0 for row in named) > len(rows) / 2
