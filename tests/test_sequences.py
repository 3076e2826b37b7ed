"""Reproducers of faults that depend on the calls before: they say so, and fail when they are pasted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_strange_modules import opened

from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from conformance.running.sequence import fails_after

pytest.importorskip("torch")
theirs = pytest.importorskip("strange_torch_modules")
LAWS = {law.id: law for law in properties()}


def pasted(thing, ids, spec):
    """The reproducer of the first of some laws that fails."""
    backend = opened(thing)
    backend.name = spec
    examination = Examination(backend, Scope(backend.capabilities.cells, brief=True, closed=True), examples=1, labels=1)
    findings = [examination.judge(LAWS[id]) for id in ids]
    return next(finding for finding in findings if finding.status == "fail").reproducer


def ran(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(
                              [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])})  # fmt: skip


def test_a_fault_of_the_second_call_is_reproduced_with_the_call_before():
    laws = ("P01-plain", "P02-plain", "P28", "P25", "P32")
    code = pasted(theirs.SecondCall, laws, "strange_torch_modules:SecondCall")
    assert code.startswith("# On a new backend this case alone passes.")
    assert "earlier.append(('P0" in code
    assert code.rstrip().endswith("as_cell='lstm', after=earlier)")
    again = ran(code)
    assert again.returncode == 1, again.stderr
    assert "conformance.judge.Failure" in again.stderr


def test_a_fault_of_every_call_is_reproduced_by_its_case_alone():
    code = pasted(theirs.ClassifierUsed, ("P01-plain",), "strange_torch_modules:ClassifierUsed")
    assert code.startswith("import conformance")
    assert "after" not in code


def test_a_fault_that_no_sequence_shows_again_says_so():
    theirs.CALLS.clear()
    code = pasted(theirs.AtRandom, ("P01-plain", "P28", "P25", "P32"), "strange_torch_modules:AtRandom")
    assert code.startswith("# On a new backend this case passes, also after")


def test_the_shortest_tail_of_calls_is_found(monkeypatch):
    """A fault that a large case leaves behind: of five cases before, the last two are needed."""

    class Backend:
        capabilities = None

    def law(backend, case, judge):
        assert not (case == 9 and 4 in backend.heard), "spoilt"
        backend.heard.append(case)

    monkeypatch.setattr("conformance.running.sequence._anew", lambda backend: type("New", (), {"heard": []})())
    found = fails_after(law, 9, Backend(), [("P", n) for n in (1, 2, 3, 4, 5)], {"P": law})
    assert found == [("P", 4), ("P", 5)]
    assert fails_after(law, 8, Backend(), [("P", n) for n in (1, 2)], {"P": law}) is None
