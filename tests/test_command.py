"""The command: exit statuses, the fields of the report, and what it says of wrong arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from fake_plugins import install, site
from typer.testing import CliRunner

import conformance
from conformance.command import app
from conformance.findings.finding import STATUSES
from conformance.registry import Shape

QUICK = ("--no-speed", "--tier", "smoke", "--examples", "2", "--cell", "elman", "--precision", "f64", "--shape",
         "3,5,2,3")  # fmt: skip

SCHEMA = json.loads((Path(conformance.__file__).parent / "reports/report.schema.json").read_text(encoding="utf-8"))
ENTRY = {
    "name": str, "version": str, "status": str, "device": str, "precision": str, "counts": dict, "examples": int,
    "programs_compiled": int, "kappa_max": float, "effective_u": float, "seconds": float, "properties": list,
    "speed": list,
}  # fmt: skip
PROPERTY = {"id": str, "status": str, "examples": int, "kappa_max": float, "reproducer": str}
SPEED = {
    "cell": str, "shape": dict, "mode": str, "precision": str, "ratio_floor": float, "peer": str, "ratio_peer": float,
    "ci": list, "verdict": str, "compile_s": float, "path": str,
}  # fmt: skip


def process(*arguments):
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "conformance", *map(str, arguments)], capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip


def command(*arguments):
    """The command in this process; its backends have processes of their own."""
    return CliRunner().invoke(app, [*map(str, arguments)])


def fields(found, wanted):
    return {name: type(found[name]) for name in wanted} == wanted


@pytest.fixture(scope="module")
def numpy_report(tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "numpy.json"
    done = process("--backend", "numpy", *QUICK, "--seed", 3, "--json", file)
    return done, json.loads(file.read_text())


def test_a_sound_backend_conforms(numpy_report):
    done, document = numpy_report
    assert done.returncode == 0, done.stdout + done.stderr
    assert [entry["status"] for entry in document["backends"]] == ["conforms"]
    assert "conforms" in done.stdout
    assert "numpy f64: P01 pass" in done.stdout  # no terminal: a plain line for each property


def test_the_report_has_its_fields(numpy_report):
    _, document = numpy_report
    assert fields(document, {"schema": str, "seed": int, "tier": str, "seconds": float, "backends": list})
    assert (document["schema"], document["seed"], document["tier"]) == ("rnnspec-conformance/1", 3, "smoke")
    jsonschema.validate(document, SCHEMA)
    (entry,) = document["backends"]
    assert fields(entry, ENTRY)
    assert sorted(entry["counts"]) == sorted((*STATUSES, "expected"))
    assert all(fields(finding, PROPERTY) for finding in entry["properties"])
    judged = sum(entry["counts"][status] for status in STATUSES)
    assert entry["counts"]["expected"] == judged == len(entry["properties"])
    assert 0 < entry["kappa_max"] < 20
    assert 0 < entry["effective_u"] < 1e-14


def test_the_same_seed_gives_the_same_report(numpy_report):
    _, document = numpy_report
    only = ("P01", "P02", "P08", "P15", "P26", "P32", "P39", "P45")
    again = conformance.check_backend("numpy", tier="smoke", seed=3, examples=2, cells=("elman",), precisions=("f64",),
                                      shapes=(Shape(3, 5, 2, 3),), only=only)  # fmt: skip
    first = [finding for finding in document["backends"][0]["properties"] if finding["id"] in only]
    assert len(first) == len(only)
    assert again["backends"][0]["properties"] == first


def test_a_fault_fails_the_command_and_can_be_pasted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with site(tmp_path):
        install(tmp_path, "wrong", "inputs = inputs * 1.0001")
        done = command("--backend", "wrong", *QUICK, "--only", "P01", "--json", tmp_path / "report.json")
        assert done.exit_code == 1
        (entry,) = json.loads((tmp_path / "report.json").read_text())["backends"]
        (finding,) = entry["properties"]
        paste = [sys.executable, "-c", finding["reproducer"]]
        pasted = subprocess.run(paste, capture_output=True, text=True, check=False)
    assert entry["status"] == "fails"
    assert "P01" in done.stdout
    assert "kappa" in done.stdout
    assert pasted.returncode == 1
    assert "conformance.judge.Failure" in pasted.stderr


def test_an_expected_failure_is_none_and_must_fail(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "xfails").write_text("P01 the inputs are scaled\n")
    with site(tmp_path):
        install(tmp_path, "wrong", "inputs = inputs * 1.0001")
        failing = command("--backend", "wrong", *QUICK, "--only", "P01", "--xfails", tmp_path / "xfails")
    holding = command("--backend", "numpy", *QUICK, "--only", "P01", "--xfails", tmp_path / "xfails")
    assert failing.exit_code == 0, failing.stdout
    assert "xfail" in failing.stdout
    assert holding.exit_code == 1
    assert "expected to fail" in holding.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--backend", "nonesuch"), "nonesuch"),
        (("--only", "P99"), "P99"),
        (("--cell", "nonesuch"), "nonesuch"),
        (("--cell", "nonesuch.module:cell"), "nonesuch"),
        (("--cell", "./nonesuch.py:cell"), "nonesuch"),
        (("--cell", "lstm", "--cell", "rnnspec.cells:lstm"), "both 'lstm'"),
        (("--shape", "1,2,3"), "1,2,3"),
        (("--tier", "deepest"), "deepest"),
        (("--precision", "f8"), "f8"),
        (("--seed", "-1"), "--seed"),
        (("--examples", "0"), "--examples"),
        (("--mode", "backward"), "backward"),
        (("--no-speed", "--speed-only"), "choose one"),
        (("--json", "nonesuch/report.json"), "nonesuch"),
        (("--xfails", "nonesuch.txt"), "nonesuch"),
        (("--html", "nonesuch/report.html"), "nonesuch"),
        (("--junit", "."), "--junit"),
        (("--nonesuch",), "--nonesuch"),
    ],
)
def test_a_wrong_command_is_2(arguments, says):
    done = command(*arguments)
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_wrong_line_of_expected_failures_is_2(tmp_path):
    for line in ("P99 no such property", "P01"):
        (tmp_path / "xfails").write_text(f"{line}\n")
        assert command("--xfails", tmp_path / "xfails").exit_code == 2


def test_the_process_itself_exits_with_2():
    done = process("--nonesuch")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_list_runs_nothing():
    done = command("--list")
    assert done.exit_code == 0
    assert "P01" in done.stdout
    assert "numpy" in done.stdout


def test_a_stranger_under_a_built_in_name_is_told_and_harms_nothing(tmp_path):
    with site(tmp_path):
        install(tmp_path, "numpy", make="raise ValueError")
        listed = process("--list")
        done = process("--backend", "numpy", *QUICK, "--only", "P01")
    for output in (listed.stdout, done.stdout):
        assert "get_backend('numpy'): the name is reserved" in output
        assert "fake-numpy 1.0" in output
    assert done.returncode == 0, done.stdout


def test_a_speed_row_for_each_shape(tmp_path):
    file = tmp_path / "speed.json"
    done = command("--backend", "numpy", "--speed-only", "--cell", "elman", "--shape", "2,3,2,2", "--shape", "3,2,2,2",
                   "--mode", "train", "--json", file)  # fmt: skip
    assert done.exit_code == 0, done.stdout + done.stderr
    (entry,) = json.loads(file.read_text())["backends"]
    assert entry["counts"]["expected"] == 0
    assert [row["shape"]["batch"] for row in entry["speed"]] == [2, 3]
    assert all(fields(row, SPEED) and row["ratio_floor"] > 0 and row["path"] for row in entry["speed"])
