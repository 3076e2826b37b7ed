"""Reports of parts that are joined: what is refused, what is missing, other machines, and the scripts of users."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import typer
import yaml
from run_in_parts import parts, run, together
from typer.testing import CliRunner

import conformance
from conformance.command import app
from conformance.findings.report import conforms
from conformance.mutants.self_test import Reference
from conformance.part import Part
from conformance.reports import FORMS
from conformance.selection import Selection

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs/examples/parts"
SCHEMA = json.loads((Path(conformance.__file__).parent / "reports/report.schema.json").read_text())
SELECTION = Selection("smoke", only=("P11", "P39", "P42"), cells=("elman", "gru"), precisions=("f64",))
ROW = {
    "cell": "lstm", "mode": "train", "precision": "f64", "shape": {"batch": 16, "time": 64, "inputs": 32, "hidden": 64},
    "ratio_floor": 2.3, "ci_floor": [2.2, 2.4], "peer": "torch.nn.LSTM", "ratio_peer": 1.4, "ci": [1.3, 1.5],
    "verdict": "slower", "budget": 1.2, "budget_verdict": "slower", "compile_s": 0.0, "path": "generic",
}  # fmt: skip
COMMAND = typer.main.get_command(app)


@pytest.fixture(scope="module")
def made():
    return [document for document, _ in parts(lambda: [Reference(precision="f64")], SELECTION, 3)]


@pytest.fixture
def documents(made):
    return copy.deepcopy(made)


def invoked(tmp_path, documents, *arguments):
    files = [tmp_path / f"{number}.json" for number in range(len(documents))]
    for file, document in zip(files, documents, strict=True):
        file.write_text(document if isinstance(document, str) else json.dumps(document))
    return CliRunner().invoke(app, ["join", *map(str, files), *map(str, arguments)], env={"COLUMNS": "2000"})


def test_every_form_of_a_part_and_of_a_joined_report_says_what_it_is(documents):
    for document, said in ((documents[1], "part 2 of 3"), (together(documents), "3 of 3 parts")):
        jsonschema.validate(document, SCHEMA)
        for form in ("html", "markdown", "junit"):
            assert said in FORMS[form](document)


def test_the_command_writes_every_form_and_the_order_of_files_does_not_matter(tmp_path, documents):
    outputs = {form: tmp_path / f"report.{form}" for form in FORMS}
    done = invoked(tmp_path, documents[::-1], *(word for form, file in outputs.items() for word in (f"--{form}", file)))
    assert done.exit_code == 0, done.output
    assert json.loads(outputs["json"].read_text()) == json.loads(json.dumps(together(documents)))
    assert all(file.read_text() for file in outputs.values())
    assert not list(tmp_path.glob("*.partial"))


def test_with_a_missing_part_a_report_says_so_and_does_not_conform(tmp_path, documents):
    done = invoked(tmp_path, [documents[0], documents[2]], "--json", tmp_path / "report.json")
    assert done.exit_code == 1
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["parts"]["missing"] == [2]
    assert {entry["status"] for entry in document["backends"]} == {"unfinished"}
    assert "parts 2 of 3 are missing" in document["backends"][0]["why"]
    assert not conforms(document)
    for form in ("html", "markdown"):
        assert "2 of 3 parts, without 2" in FORMS[form](document)
    assert "the part is missing" in FORMS["junit"](document)
    assert "without 2" in done.stdout


def test_a_run_of_nothing_lacks_its_missing_part_too(documents):
    for document in documents:
        document["backends"] = []
    assert conforms(together(documents))
    assert not conforms(together(documents[:2]))


def changed(documents, *path, to):
    place = documents[1]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return documents


@pytest.mark.parametrize(("change", "says"), (
    (lambda made: [made[0], made[1], made[1]], "every part must be given once, got part 2 in"),
    (lambda made: changed(made, "part", "asked", "seed", to=7), "got seed 0 in"),
    (lambda made: changed(made, "part", "asked", "tier", to="deep"), "and tier deep in"),
    (lambda made: changed(made, "part", "asked", "cells", to=["gru", "elman"]), "got cells ['elman', 'gru'] in"),
    (lambda made: changed(made, "part", "asked", "speed", to=True), "got speed False in"),
    (lambda made: changed(made, "part", "project", "version", to="9.9"), "and project version 9.9 in"),
    (lambda made: changed(made, "part", "project", "source", to="0" * 16), "got project source"),
    (lambda made: changed(made, "part", "of", to=4), "got parts 3 in"),
    (lambda made: changed(made, "backends", 0, "whole", to="0" * 16), "other networks of numpy f64 in"),
    (lambda made: [*made[:2], {**made[2], "schema": "another"}], "must be the report of a part"),
    (lambda made: [*made[:2], {name: made[2][name] for name in made[2] if name != "part"}], "(KeyError)"),
    (lambda made: [*made[:2], "{"], "(JSONDecodeError)"),
))  # fmt: skip
def test_what_is_not_of_one_run_is_refused(change, says, tmp_path, documents):
    done = invoked(tmp_path, change(documents), "--json", tmp_path / "report.json")
    assert done.exit_code == 2, done.output
    assert says in " ".join(re.sub("[│╭╮╰╯─]", " ", done.stderr).split())
    assert not (tmp_path / "report.json").exists()


def test_laws_named_in_another_order_are_of_one_run(documents):
    documents[1]["part"]["asked"]["only"].reverse()
    assert conforms(together(documents))


@pytest.mark.parametrize("arguments", (
    ("join",), ("join", "nonesuch.json"), ("--seed", "3", "join", "a.json"), ("join", "a.json", "--seed", "3"),
    ("join", "a.json", "--html", "nonesuch/a.html"), ("nonesuch",), ("--part", "1/2", "--self-test"),
    *(("--part", text) for text in ("3", "0/4", "5/4", "a/b")),
))  # fmt: skip
def test_a_wrong_command_is_2(arguments):
    assert CliRunner().invoke(app, arguments).exit_code == 2


def test_a_wrong_part_is_told_in_the_words_of_the_options():
    for text in ("3", "0/4", "5/4", "a/b"):
        done = CliRunner().invoke(app, ("--part", text), env={"COLUMNS": "2000"})
        assert f"--part must be one of some parts, counted from 1, got '{text}'; write it as 3/16" in done.stderr


def test_machines_are_told_apart_and_their_speed_is_not_mixed(documents):
    documents[2]["part"]["machine"] |= {"processor": "Another 9000", "accelerators": ["Fast 1"]}
    documents[2]["backends"][0] |= {"version": "9.9", "device": "cuda:0"}
    for document, ratio in ((documents[0], 0.9), (documents[2], 1.4)):
        budget = {} if ratio > 1 else {"verdict": "faster", "budget_verdict": "faster", "ci": [0.8, 1.0]}
        cell = "lstm" if ratio > 1 else "gru"
        document["part"]["asked"]["tier"] = "default"
        document["backends"][0]["speed"] = [{**ROW, "cell": cell, "ratio_peer": ratio, **budget}]
    documents[1]["part"]["asked"]["tier"] = "default"
    for document in documents:
        document["part"]["asked"]["cells"] = []
    joined = together(documents)
    jsonschema.validate(joined, SCHEMA)
    (entry,) = joined["backends"]
    assert [(row["cell"], row["part"], row["ratio_peer"]) for row in entry["speed"]] == [
        ("lstm", 3, 1.4), ("gru", 1, 0.9)]  # the order of the grid
    assert (entry["status"], entry["device"]) == ("fails", "cpu, cuda:0")
    assert "lstm train took 1.40 of the time of torch.nn.LSTM" in entry["why"]
    assert "9.9" in entry["version"]
    page = FORMS["html"](joined)
    assert "Another 9000" in page
    assert "Fast 1" in page
    assert "<td>1, 2<td>" in page


def test_a_part_that_crashed_crashes_the_whole_and_the_others_keep_what_they_found(documents):
    entry = documents[1]["backends"][0]
    lost = entry["properties"].pop()
    entry["batches"].pop(lost["id"])
    failed = {**lost, "status": "error", "why": "its process ended", "labels": {}, "evidence": None}
    entry["properties"].append(failed)
    entry |= {"status": "crashed", "why": "its process ended by signal SIGSEGV"}
    (found,) = together(documents)["backends"]
    assert (found["status"], found["why"]) == ("crashed", "part 2: its process ended by signal SIGSEGV")
    assert next(law["status"] for law in found["properties"] if law["id"] == lost["id"]) == "error"
    assert {law["status"] for law in found["properties"] if law["id"] != lost["id"]} == {"pass"}


def test_a_backend_that_one_machine_lacks_is_unfinished(documents):
    gone = {**documents[1]["backends"][0], "precision": "", "status": "unavailable", "why": "pip install it",
            "properties": [], "batches": {}, "whole": "", "version": "", "device": ""}  # fmt: skip
    documents[1]["backends"] = [gone]
    (found,) = together(documents)["backends"]
    assert (found["status"], found["why"]) == ("unfinished", "part 2: pip install it")
    for document in documents:
        document["backends"] = [gone]
    (found,) = together(documents)["backends"]
    assert (found["status"], found["why"]) == ("unavailable", "pip install it")


def test_one_part_of_one_is_the_whole():
    document, _ = run([Reference(precision="f64")], replace(SELECTION, part=Part(1, 1)))
    assert conforms(together([document]))


def parsed(line):
    """The parts and files of a command line of a script, as the command's own parser reads them."""
    words = shlex.split(line)
    assert words[1:3] == ["-m", "conformance"]
    context = COMMAND.make_context("conformance", words[3:])
    if "join" in words:
        join = COMMAND.commands["join"]
        return join.make_context("join", words[words.index("join") + 1 :]).params
    return Part.read(context.params["part"])


def lines(text):
    return re.findall(r"\S*python -m conformance[^\n]*", text)


def test_the_workflow_runs_all_parts_and_joins_them():
    workflow = yaml.safe_load((EXAMPLES / "conformance.yml").read_text())
    steps = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in workflow["jobs"].items()}
    numbers = workflow["jobs"]["part"]["strategy"]["matrix"]["part"]
    ((line,), (joining,)) = (lines("\n".join(steps[name])) for name in ("part", "join"))
    found = [parsed(line.replace("${{ matrix.part }}", str(number))) for number in numbers]
    assert found == [Part(number, len(numbers)) for number in range(1, 1 + len(numbers))]
    assert workflow["jobs"]["join"]["needs"] == "part"
    assert workflow["jobs"]["join"]["if"] == "always()"
    assert set(FORMS) <= parsed(joining).keys()


def test_the_target_of_make_runs_all_parts_and_joins_them():
    made = subprocess.run(["make", "-n", "-o", ".venv/.ready", "conformance-parts", "PARTS=3"], cwd=ROOT,
                          capture_output=True, text=True, check=True)  # fmt: skip
    first, joining = lines(made.stdout)
    assert "in $(seq 3)" in made.stdout
    assert [parsed(first.partition(" ||")[0].replace("$part", str(n))) for n in (1, 2, 3)] == [
        Part(n, 3) for n in (1, 2, 3)]
    assert parsed(joining)["json"] == Path("build/parts.json")


def test_the_scripts_for_slurm_test_the_parts_and_join_them(tmp_path):
    for script in EXAMPLES.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        assert lines(script.read_text())
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    arguments = ("--backend", "numpy", "--tier", "smoke", "--no-speed", "--only", "P42", "--cell", "elman", "--cell",
                 "gru", "--precision", "f64")  # fmt: skip

    def started(script, *given, **more):
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **more}
        return subprocess.run(["bash", EXAMPLES / script, *given], cwd=tmp_path, env=environment, capture_output=True,
                              text=True, timeout=120, check=False)  # fmt: skip

    for number in ("1", "2"):
        done = started("slurm.sh", *arguments, SLURM_ARRAY_TASK_ID=number, SLURM_ARRAY_TASK_COUNT="2")
        assert done.returncode == 0, done.stdout + done.stderr
    done = started("slurm-join.sh")
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads((tmp_path / "report.json").read_text())
    (law,) = document["backends"][0]["properties"]
    assert (law["status"], law["labels"]) == ("pass", {"elman": "pass", "gru": "pass"})
