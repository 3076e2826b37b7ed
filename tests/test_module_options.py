"""`--layout` and `--form` from the command line: a module without either is judged by them; a bad text is refused."""

from __future__ import annotations

import json

import pytest
from test_modules import smoke
from typer.testing import CliRunner

from conformance.command import app
from conformance.judge import Failure

pytest.importorskip("torch")
LAW = ("--only", "P02-plain", "--no-speed")
LAYOUT, FORM = "strange_torch_modules:BARE", "x_t, (h, c) -> (h, c)"
GIVEN = ("--module", "torch.nn:LSTM", "--as", "lstm")


def test_a_right_module_conforms_by_its_layout_and_form():
    done = smoke("strange_torch_modules:BareCell", "--layout", LAYOUT, "--form", FORM, *LAW)
    assert done.exit_code == 0, done.stdout + done.stderr
    assert "P02-plain pass" in done.stdout


def test_a_wrong_module_beside_a_right_one_fails_and_its_code_to_paste_has_both(tmp_path):
    file = tmp_path / "report.json"
    done = smoke("strange_torch_modules:BareCell", "--module", "strange_torch_modules:BareCellOfSwappedGates",
                 "--layout", LAYOUT, "--form", FORM, *LAW, "--json", file)  # fmt: skip
    right, wrong = json.loads(file.read_text())["backends"]
    assert (right["status"], wrong["status"], done.exit_code) == ("conforms", "fails", 1), done.stdout + done.stderr
    with pytest.raises(Failure):
        exec(wrong["properties"][0]["reproducer"], {})  # code that the report gives


def test_a_layout_with_a_bad_text_is_a_row_that_fails_with_its_message():
    """The process of the module imports it, not the command."""
    done = smoke("strange_torch_modules:BareCell", "--layout", "strange_torch_modules:UNCLOSED", "--form", FORM, *LAW)
    assert done.exit_code == 1
    assert "parentheses must enclose the maps" in done.stdout


@pytest.mark.parametrize(("arguments", "says"), [
    ((*GIVEN, "--form", "x, (h, c) = y"), "the form must be written as"),
    ((*GIVEN, "--form", "x_t, h -> h"), "the form of one step must be written as"),
    ((*GIVEN, "--form", "x, k -> y"), "with the states h, c"),
    ((*GIVEN, "--layout", "strange_torch_modules"), "--layout: it must be package:Thing"),
    (("--backend", "numpy", "--form", FORM), "--form describes a module"),
    (("--backend", "numpy", "--layout", LAYOUT), "--layout describes a module"),
])  # fmt: skip
def test_a_bad_text_is_2_with_its_message(arguments, says):
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "1000"})
    assert done.exit_code == 2
    assert says in done.stderr
