"""Processes of one run leave references for each other, and a wrong one proves no fault."""

from dataclasses import replace

import numpy as np
import pytest

from conformance import oracle
from conformance.cases import Case, Remembering
from conformance.cases.kept import Kept
from conformance.cases.shelf import Shelf
from conformance.judge import Failure, Judge
from conformance.properties.asking import ask
from conformance.tolerance import PROFILES, pullback, run, value_and_grad
from rnnspec import Dense, Layer, Network, cell, cells, get_backend, losses
from rnnspec.primitives import tanh

CASE = Case(Network(3, [Layer(cells.elman, 4)], output=Dense(2), loss=losses.SquaredError()), 5, 2, seed=7)
REFERENCES = {"run": run, "pullback": pullback, "value_and_grad": value_and_grad}


@pytest.fixture
def process(monkeypatch, tmp_path):
    """Begins anew as another process of the same run would."""

    def begun():
        kept = Kept(2**24)
        monkeypatch.setattr("conformance.tolerance.yardstick.REFERENCES", kept)
        monkeypatch.setattr("conformance.properties.asking.REFERENCES", kept)
        for place in ("tolerance.yardstick", "cases.search"):
            monkeypatch.setattr(f"conformance.{place}.SHELF", Shelf(str(tmp_path)))

    begun()
    return begun


def bits(reference):
    return {name: np.asarray(a).tobytes() for name, a in reference.leaves.items()}


@pytest.mark.parametrize("what", REFERENCES)
def test_another_process_finds_the_same_bits(process, what):
    first = REFERENCES[what](CASE, PROFILES["f32"])
    process()
    second = REFERENCES[what](CASE, PROFILES["f32"])
    assert (first.shared, second.shared, second.own().shared) == (False, True, False)
    assert bits(first) == bits(second) == bits(second.own())
    assert second.tau().keys() == first.tau().keys()
    assert not second.refined().shared


def drawn(sign):
    """Two cells of one name."""

    @cell
    def drawn(x, R, h):
        return tanh(x.a + sign * R.a(h))

    return drawn


@pytest.mark.parametrize("other", [replace(CASE, seed=8), replace(CASE, lengths=(5, 3))])
def test_another_question_has_another_reference(process, other):
    run(CASE, PROFILES["f32"])
    run(CASE, PROFILES["f64"])
    process()
    assert not run(other, PROFILES["f32"]).shared


def test_cells_of_one_name_are_told_apart(process):
    first, second = (Case(Network(3, [Layer(drawn(sign), 4)]), 5, 2) for sign in (1.0, -1.0))
    be = get_backend("numpy")
    run(first, PROFILES["f32"])
    ask(be, first).pull_reference()
    process()
    assert not run(second, PROFILES["f32"]).shared
    assert not ask(be, second).pull_reference().shared
    assert run(first, PROFILES["f32"]).shared
    assert ask(be, first).pull_reference().shared


class Wrong:
    """Every answer of the backend is off by a hundredth."""

    def __init__(self, backend):
        self._backend = backend

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def run(self, *given, **named):
        found = self._backend.run(*given, **named)
        return replace(found, outputs=found.outputs * np.float32(1.01))


@pytest.mark.parametrize("asked", [lambda be: run(CASE, PROFILES["f32"]), lambda be: ask(be, CASE).run_reference()],
                         ids=["a case", "a question"])  # fmt: skip
def test_a_wrong_reference_of_another_process_blames_nobody(process, monkeypatch, asked):
    be, right = get_backend("numpy"), oracle.run

    def broken(*given, **named):
        found = right(*given, **named)
        return replace(found, outputs=found.outputs * 1.01)

    broken.__name__ = "run"
    with monkeypatch.context() as patch:
        patch.setattr("conformance.oracle.run", broken)
        asked(be)
    process()
    reference = asked(be)
    assert reference.shared
    Judge(be).close("run", ask(be, CASE).run(), reference)
    with pytest.raises(Failure):
        Judge(be).close("run", ask(Wrong(be), CASE).run(), reference.own())


def test_a_fault_is_found_by_a_shared_reference(process):
    be = get_backend("numpy")
    run(CASE, PROFILES["f32"])
    process()
    reference = run(CASE, PROFILES["f32"])
    assert reference.shared
    with pytest.raises(Failure) as told:
        Judge(be).close("run", ask(Wrong(be), CASE).run(), reference)
    assert told.value.evidence.kappa > told.value.evidence.allowed


def test_gains_are_sought_once(process, monkeypatch):
    case = Remembering(Network(2, [Layer(cells.gru, 3)]), 7, 2, seed=1)
    found = case.tested()
    process()
    monkeypatch.setattr("conformance.cases.search.remembering", None)
    assert case.tested() == found
    assert type(found) is Case


def test_what_is_large_or_has_no_place_is_made_by_everybody(process, monkeypatch, tmp_path):
    monkeypatch.setattr("conformance.cases.shelf.MOST", 100)
    assert [Shelf(str(tmp_path)).get(lambda: "a", lambda: b"a" * 200)[1] for _ in range(2)] == [False, False]
    assert not list(tmp_path.iterdir())
    gone = Shelf(str(tmp_path / "gone"))
    assert gone.get(lambda: "a", lambda: 1) == gone.get(lambda: "a", lambda: 1) == (1, False)
