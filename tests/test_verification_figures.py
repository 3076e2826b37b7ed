"""The script that measures the verifier: plans are built anew, and each is verified within what is measured."""

import importlib
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture
def script(figures, monkeypatch):
    pytest.importorskip("torch")
    found = figures("verification")
    monkeypatch.setattr(found, "ROUNDS", 2)
    return found


@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_plans_are_built_anew_and_verified(backend, script, monkeypatch):
    module, _ = script.PLANS[backend]
    verify, plans = module.verify, []

    def kept(plan, schedule):
        plans.append(plan)
        verify(plan, schedule)

    monkeypatch.setattr(module, "verify", kept)
    for _ in range(2):
        seconds, verifying = script.built(backend, script.CELLS["elman"])
        assert 0 < verifying < seconds
    assert len({id(plan) for plan in plans}) == 4
    assert module.verify is kept


def test_a_cell_is_a_row_of_the_table_and_all_of_them_are_one(script, monkeypatch):
    monkeypatch.syspath_prepend(DOCS)
    rows = [script.row(backend, cell) for backend in script.PLANS for cell in ("elman", "mingru")]
    for i, row in enumerate(rows):
        row["seconds"], row["verifying_seconds"] = 0.1 * (i + 1), 0.01
    _, _, *lines = importlib.import_module("tables.speed").verification_tables({"rows": rows})
    assert lines == [
        "| `elman` | 100.0; 10.0; 10.0% | 300.0; 10.0; 3.3% |",
        "| `mingru` | 200.0; 10.0; 5.0% | 400.0; 10.0; 2.5% |",
        "| all | 300.0; 20.0; 6.7% | 700.0; 20.0; 2.9% |",
    ]
