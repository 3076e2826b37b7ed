"""The laws of workers hold for right backends of every kind, and share rows in every way."""

import threading
from dataclasses import replace

import hypothesis
import numpy as np
import pytest

import rnnspec
from conformance.cases import Case
from conformance.judge import Judge
from conformance.mutants.faulty import protocol_mutants
from conformance.mutants.trial import Reference
from conformance.mutants.workers import exchanges, shards
from conformance.properties.workers import networks
from conformance.properties.workers.shares import shared
from conformance.registry import Scope, properties
from conformance.running.examination import Examination
from rnnspec import cells
from rnnspec.workers.pretended import outcomes, pretended

LAWS = {law.id: law for law in properties() if law.id.startswith("P20") and len(law.id) == 4}
FAULTS = [*protocol_mutants(exchanges), *protocol_mutants(shards)]
SCOPE = Scope((cells.elman, cells.lstm, cells.gru), eager=True)


class OneAtATime(Reference):
    """It notes where two threads are in it at once, which its capabilities rule out."""

    capabilities = replace(Reference.capabilities, concurrent=False)
    inside = threading.Lock()

    def layer(self, *asked):
        assert OneAtATime.inside.acquire(blocking=False)
        try:
            return super().layer(*asked)
        finally:
            OneAtATime.inside.release()


class WithoutGradients(Reference):
    capabilities = replace(Reference.capabilities, gradients=False)


class Compiling(Reference):
    programs_compiled = 0


def judged(backend, law, **scope):
    return Examination(backend, replace(SCOPE, **scope), examples=1).judge(LAWS[law])


def cases_of(label):
    found = []

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=40, database=None, deadline=None)
    @hypothesis.given(networks.everything(SCOPE)[label])
    def collect(case):
        found.append(case)

    collect()
    return found


@pytest.mark.parametrize("law", LAWS)
def test_workers_take_turns_where_a_backend_serves_one_call_at_a_time(law):
    finding = judged(OneAtATime(precision="f64"), law)
    assert finding.status == "pass", finding


@pytest.mark.parametrize("law", LAWS)
def test_a_backend_without_gradients_is_not_asked(law):
    assert judged(WithoutGradients(), law).status == "unsupported"


@pytest.mark.parametrize("law", ["P200", "P201", "P202", "P205", "P206", "P207"])
def test_workers_of_a_backend_that_compiles_have_equal_shapes(law):
    backend = Compiling(precision="f64")
    assert judged(backend, law, eager=False).status == "pass"
    for label, strategy in networks.plain(replace(SCOPE, eager=False)).items():
        parts = shared(backend, hypothesis.find(strategy, lambda case: case.seed % 2 == 1)).parts
        assert [part.given.inputs.shape[:2] for part in parts] == [(7, 2), (7, 2), (7, 0)], label


@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("law", ["P200", "P202", "P209"])
def test_laws_hold_in_sixteen_bits(law, precision):
    with np.errstate(over="ignore"):  # where padding is rounded
        finding = judged(rnnspec.get_backend("torch", precision=precision), law)
    assert finding.status == "pass", finding


def test_rows_are_shared_in_every_way():
    """All rows once; workers without a row and without a step, a row each, all on one, and steps that are none."""
    found = [shared(Reference(), case) for case in cases_of("two layers")]
    sizes = [[len(rows) for rows in shares.rows] for shares in found]
    assert all(sorted(np.concatenate(shares.rows)) == list(range(5)) for shares in found)
    assert {len(each) for each in sizes} == {2, 3, 4}
    assert any(each.count(0) for each in sizes)
    assert any(each[:-1] == [1, 1, 1] for each in sizes)
    assert any(max(each) == 5 for each in sizes)
    assert any(len({part.steps for part in shares.parts}) > 1 for shares in found)
    assert any(rows.tolist() != sorted(rows) for shares in found for rows in shares.rows)


def test_with_a_key_rows_stay_in_order():
    case = next(case for case in cases_of("two layers") if case.seed % 4 == 0)
    assert np.concatenate(shared(Reference(), case, rnnspec.Key(0)).rows).tolist() == list(range(5))


def test_there_are_faults_of_every_law():
    assert len(FAULTS) >= 14
    assert len(LAWS) == 10


def test_no_fault_of_workers_shows_in_one_process():
    """What detects one is a law of workers: alone, the backend is right."""
    layer, loss = rnnspec.Layer(cells.lstm, 4), rnnspec.losses.SquaredError()
    net = rnnspec.Network(3, [layer], output=rnnspec.Dense(2), loss=loss)
    case = Case(net, 5, 3, (5, 0, 2), seed=3)
    laws = [law for law in properties() if law.id in ("P02-loss", "P112")]
    for mutant in FAULTS:
        backend = mutant.make(Reference())
        for law in laws:
            law(backend, case, Judge(backend))


def test_a_worker_s_error_is_kept_and_workers_serve_again():
    groups = pretended(Reference(), 3)

    def ranks(group):
        if group.rank == 1:
            raise OSError("the disk is full")
        return group.gathered(group.rank)

    found = outcomes(groups, ranks)
    assert isinstance(found[1].exception(), OSError)
    assert [type(found[rank].exception()).__name__ for rank in (0, 2)] == ["WorkerError"] * 2
    again = outcomes(groups, lambda group: group.gathered(group.rank + 1))
    assert [future.result() for future in again] == [[1, 2, 3]] * 3
