"""The forms of the report: each keeps to its own format, shows what fails, and no text of a backend breaks it."""

import copy
import html
import json
import re
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from rich.console import Console

import conformance
from conformance.findings.entry import Entry
from conformance.findings.report import report
from conformance.registry import Scope, Shape, properties
from conformance.reports import FORMS
from conformance.reports.asked import left_out, of_each
from conformance.reports.terminal import show
from conformance.running.examination import Examination
from rnnspec import Backend, Capabilities, cells

HERE = Path(conformance.__file__).parent
SCHEMA = json.loads((HERE / "reports/report.schema.json").read_text(encoding="utf-8"))
SELF_TEST = json.loads((HERE.parent / "docs/figures/self-test.json").read_text(encoding="utf-8"))["self_test"]
ROW = {
    "cell": "lstm", "mode": "train", "precision": "f32",
    "shape": {"batch": 1, "time": 128, "inputs": 64, "hidden": 128}, "ratio_floor": 2.3, "ci_floor": [2.2, 2.4],
    "peer": "torch.nn.LSTM", "ratio_peer": 0.8, "ci": [0.7, 0.9], "verdict": "faster", "compile_s": 0.0,
    "path": "generic",
}  # fmt: skip
EVIDENCE = {
    "what": "run", "where": "outputs[0, 1]", "got": "<b>1.0</b>", "expected": "2.0 | 3.0", "tau": 1e-7, "kappa": 44.0,
    "allowed": 8.0,
}  # fmt: skip
FAILED = {
    "id": "P01", "status": "fail", "name": "values & more", "says": "Values are <right>.", "failure": "It | means.",
    "first": "Look <here>.", "examples": 3, "ill_posed": 0, "kappa_max": 44.0,
    "why": "run at outputs[0, 1]: got \x00, expected 2", "evidence": EVIDENCE, "labels": {"lstm": "fail"},
    "reproducer": 'import conformance\nprint("<script>")\n',
}  # fmt: skip
PASSED = FAILED | {"id": "P02", "status": "pass", "why": "", "evidence": None, "reproducer": "", "kappa_max": 0.5,
                   "failure": "", "first": ""}  # fmt: skip
LAWS = ("P01", "P11", "P113-refused", "P120")
"""Laws that pass and that do not apply; test_command.py asks all of them."""


@pytest.fixture(scope="module")
def judged():
    one = Shape(3, 5, 2, 3)
    return conformance.check_backend("numpy", examples=1, cells=("elman",), shapes=(one,), precisions=("f64",),
                                     only=LAWS)  # fmt: skip


@pytest.fixture(scope="module")
def failing():
    entry = Entry("theirs", "1.0", device="cpu", precision="f32")
    entry.counts["expected"] = 3
    entry.add(copy.deepcopy(FAILED), counted=True)
    entry.add(copy.deepcopy(PASSED), counted=True)
    entry.speed.append(copy.deepcopy(ROW))
    gone = Entry("absent", status="unavailable", why="pip install 'rnnspec[absent]'")
    return report([entry, gone], 0, "smoke", 1.5, SELF_TEST)


@pytest.fixture(scope="module")
def written(failing):
    """The report of failures in each form."""
    return {form: write(failing) for form, write in FORMS.items()}


def test_a_report_keeps_to_the_schema(judged):
    jsonschema.validate(json.loads(FORMS["json"](judged)), SCHEMA)


def test_a_report_of_failures_keeps_to_the_schema(failing):
    jsonschema.validate(failing, SCHEMA)


def test_the_schema_refuses_what_it_does_not_know(judged):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(judged | {"passed": True}, SCHEMA)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_every_property_that_fails(form, written):
    text = written[form]
    assert "P01" in text
    assert "outputs[0, 1]" in text


@pytest.mark.parametrize("form", FORMS)
def test_every_form_names_and_explains_what_fails(form, written):
    text = html.unescape(written[form])
    for words in ("values & more", "Values are <right>.", "It | means.", "Look <here>."):
        assert words in text


def test_the_terminal_names_and_explains_what_fails(failing):
    printed = StringIO()
    show(Console(width=200, file=printed), failing)
    assert "P01 fail, values & more" in printed.getvalue()
    for words in ("Values are <right>.", "what this means: It | means.", "where to start: Look <here>."):
        assert words in printed.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_each_time(form, failing, written):
    assert FORMS[form](failing) == written[form]


@pytest.mark.parametrize("form", FORMS)
def test_a_report_of_nothing_has_every_form(form):
    assert FORMS[form](report([], 0, "smoke", 0.0))


def test_the_page_shows_texts_and_not_their_tags(written):
    page = written["html"]
    assert "&lt;b&gt;1.0&lt;/b&gt;" in page
    assert "<b>1.0</b>" not in page
    assert "<script>" not in page


def test_the_page_loads_nothing_from_elsewhere(written):
    page = written["html"]
    assert "src=" not in page
    assert "@import" not in page
    assert "<link" not in page


def test_the_page_has_a_chart_of_errors_of_speed_and_of_kills(written):
    assert written["html"].count("<svg") == 3


def test_charts_are_drawn_in_the_colour_of_the_page(written):
    page = written["html"]
    assert "currentColor" in page
    assert "#010203" not in page


def test_junit_counts_failures_and_what_was_not_judged(written):
    suite = ET.fromstring(written["junit"]).find("testsuite[@name='theirs f32']")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    assert suite.find("testcase/error").get("message") == "1 properties did not run"


def test_junit_skips_a_backend_that_is_not_installed(written):
    suite = ET.fromstring(written["junit"]).find("testsuite[@name='absent']")
    assert (suite.get("tests"), suite.get("skipped"), suite.get("errors")) == ("1", "1", "0")


def test_junit_holds_the_reproducer(written):
    assert 'print("<script>")' in ET.fromstring(written["junit"]).find(".//failure").text


def test_markdown_keeps_a_table_s_columns(written):
    text = written["markdown"]
    rows = [line for line in text.splitlines() if line.startswith("| theirs 1.0")]
    assert len(rows) == 1
    assert rows[0].count("|") == text.splitlines()[4].count("|")
    assert "```python" in text


class Narrow(Backend):
    """It declares one of the two sizes that it is asked at."""

    capabilities = Capabilities(sizes=((3, 4),))


@pytest.fixture
def narrow():
    shapes = (Shape(5, 7, 3, 4), Shape(5, 7, 3, 5))
    examination = Examination(Narrow(precision="f64"), Scope((cells.elman,), shapes), examples=4)
    entry = Entry("narrow", "1.0", precision="f64")
    for law in properties():
        if law.id in ("P11", "P24-last"):
            finding = examination.judge(law)
            entry.counts["expected"] += 1
            entry.add(finding.as_dict(), counted=True)
    return report([entry], 0, "smoke", 1.5)


def test_a_report_says_how_many_examples_each_property_had_and_what_was_left_out(narrow):
    jsonschema.validate(narrow, SCHEMA)
    asked = {p["id"]: (p["examples"], p["left_out"]) for p in narrow["backends"][0]["properties"]}
    assert asked == {"P11": (4, 1), "P24-last": (0, 1)}
    assert of_each(narrow["backends"][0]) == "4 to 4"
    assert left_out(narrow["backends"][0]) == 2


def test_every_form_for_readers_says_it(narrow):
    page, text, printed = FORMS["html"](narrow), FORMS["markdown"](narrow), StringIO()
    show(Console(width=200, file=printed), narrow)
    assert '<td class="number">4 to 4<td class="number">2<' in page
    assert '<td class="number">4<td class="number">1<' in page
    assert "| 4 | 4 to 4 | 2 |" in text
    assert re.search(r"\| P11 [^|]*\| pass \| 4 \| 1 \|", text)
    assert re.search(r"4 +│ +4 to 4 +│ +2 ", printed.getvalue())
