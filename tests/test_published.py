"""The scoreboard of published packages: its runner, its figures and its page, without the packages themselves."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HERE = ROOT / "docs/scoreboard"
COLUMNS = {"package": str, "version": str, "thing": str, "cell": str, "command": str, "verdict": str, "fails": list,
           "expected": list, "why": str, "notes": list}  # fmt: skip


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    return import_module("packages")


@pytest.fixture
def runner(monkeypatch, packages):
    return import_module("published")


@pytest.fixture
def found():
    return json.loads((ROOT / "docs/figures/published.json").read_text())


def test_every_row_is_of_a_declared_thing_with_a_verdict(found, packages):
    declared = {(thing.package, thing.name): thing for thing in packages.THINGS}
    assert [(row["package"], row["thing"]) for row in found["rows"]] == list(declared)
    for row in found["rows"]:
        assert {name: type(value) for name, value in row.items()} == COLUMNS
        assert row["verdict"]
        assert "not yet explained" not in row["verdict"]
        assert row["expected"] == list(declared[row["package"], row["thing"]].fails)
        if row["command"] and "could not be judged" not in row["verdict"]:
            assert bool(row["fails"]) == bool(row["expected"]), row["thing"]


def test_every_finding_has_a_minimal_case_that_shows_it(found, packages):
    assert {note["code"] for note in found["notes"]} == set(packages.NOTES)
    assert not any(note["no_longer"] for note in found["notes"])
    for thing in packages.THINGS:
        assert bool(thing.finding) == bool(thing.notes), thing.name
        assert thing.spec or thing.notes, thing.name
    for code in packages.NOTES:
        text = (HERE / f"cases/{code}.py").read_text()
        assert "assert" in text
        assert "rnnspec" not in text


def test_the_page_has_every_row(found):
    page = (ROOT / "docs/scoreboard.md").read_text()
    for row in found["rows"]:
        assert any(f"| {row['package']} |" in line and f"`{row['thing']}`" in line and row["verdict"] in line
                   for line in page.splitlines()), row  # fmt: skip
    for note in found["notes"]:
        assert f"### {note['title']}\n" in page


@pytest.mark.parametrize(("spec", "why"), [
    ("no_such_adapter:thing", "No module named 'no_such_adapter'"), ("broken:layer", "no graphics card")])  # fmt: skip
def test_a_package_that_does_not_import_is_a_row(runner, packages, monkeypatch, tmp_path, spec, why):
    (tmp_path / "broken.py").write_text("raise OSError('no graphics card')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    thing = packages.Thing("nobody", "layer", spec, "lstm")
    row = runner.row(thing, runner.attempted(thing))
    assert row["verdict"].startswith("could not be judged")
    assert why in row["verdict"]
    assert row["version"] == ""
    assert row["fails"] == []


def test_a_process_that_dies_is_a_row_for_each_of_its_things(runner, packages, monkeypatch):
    class Dead:
        returncode, stdout, stderr = -9, "", "Killed\n"

    monkeypatch.setattr(runner, "started", lambda *_: Dead)
    things = (packages.Thing("a", "b", "c:d", "lstm"), packages.Thing("a", "e", "c:e", "gru"))
    assert [row["verdict"] for row in runner.measured(things)] == ["could not be judged: Killed"] * 2
    assert runner.shown(["torchrecurrent_lem"]) == {"torchrecurrent_lem": "Killed"}


def test_what_is_found_and_not_declared_is_said(runner, packages):
    right = {"fails": [], "why": ""}
    wrong = {"fails": ["P01 in f32"], "why": "outputs differ"}
    plain = packages.Thing("a", "b", "c:d", "lstm")
    known = packages.Thing("a", "b", "c:d", "lstm", "wrong gate", ("P01 in f32",))
    assert runner.verdict(plain, right) == "right"
    assert runner.verdict(plain, wrong) == "fails, not yet explained: outputs differ"
    assert runner.verdict(known, wrong) == "wrong gate"


def test_an_adapter_judges_a_layer_by_its_maps(monkeypatch):
    """`adapted`, with a function of torch alone."""
    monkeypatch.syspath_prepend(HERE / "adapters")
    torch, maps, cells = import_module("torch"), import_module("maps"), import_module("rnnspec").cells

    @maps.adapted(cells.mingru)
    def layer(held, x, state):
        z, n = maps.mapped(held, x, "z").sigmoid(), maps.mapped(held, x, "h")
        h, outputs = state[0] if state else torch.zeros_like(n[0]), []
        for t in range(len(x)):
            h = (1 - z[t]) * h + z[t] * n[t]
            outputs.append(h)
        return torch.stack(outputs), (h,)

    made = layer(3, 4)
    outputs, final = made(torch.ones(5, 2, 3))
    again, _ = made(torch.ones(5, 2, 3), torch.zeros(1, 2, 4))
    assert outputs.shape == (5, 2, 4)
    assert torch.equal(final[0][0], outputs[-1])
    assert torch.equal(outputs, again)
    assert made.layout == {"W_h": "W.h", "W_z": "W.z", "b_h": "b.h", "b_z": "b.z"}
