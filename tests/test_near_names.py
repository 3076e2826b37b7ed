"""Names that are nearly right: what the errors say was meant, wherever a name is given."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import rnnspec
from conformance.command import app
from rnnspec.errors import UnknownBackend, UnsupportedError
from rnnspec.showing import choice, nearest

ATTRIBUTES = {
    "rnnspec.get_bakend": "get_backend",
    "rnnspec.polices": "policies",
    "rnnspec.lstm": "rnnspec.cells.lstm",
    "rnnspec.tahn": "rnnspec.primitives.tanh",
    "rnnspec.Adam": "rnnspec.updates.Adam",
    "rnnspec.ShapeErorr": "rnnspec.errors.ShapeError",
    "rnnspec.cells.lstn": "lstm",
    "rnnspec.cells.GRU": "gru",
    "rnnspec.policies.Truncatd": "Truncated",
    "rnnspec.updates.adam": "Adam",
    "rnnspec.losses.SquareError": "SquaredError",
    "rnnspec.initialisers.Unifrom": "Uniform",
    "rnnspec.errors.LenghtsError": "LengthsError",
    "rnnspec.primitives.sigmoyd": "sigmoid",
    "rnnspec.decoding.gredy": "greedy",
}


@pytest.mark.parametrize(("asked", "meant"), ATTRIBUTES.items())
def test_a_module_says_which_name_was_meant(asked, meant):
    module, _, name = asked.rpartition(".")
    found = sys.modules["rnnspec"] if module == "rnnspec" else getattr(rnnspec, module.partition(".")[2])
    with pytest.raises(AttributeError) as caught:
        getattr(found, name)
    assert str(caught.value) == f"module {module!r} has no attribute {name!r}. Did you mean: {meant!r}?"
    assert caught.value.name == name


@pytest.mark.parametrize("asked", ["zzzzzz", "__wrapped__", "_cells", "x" * 10_000])
def test_a_name_that_is_near_none_gets_python_s_own_words(asked):
    for module in (rnnspec, rnnspec.cells):
        with pytest.raises(AttributeError) as caught:
            getattr(module, asked)
        assert str(caught.value) == f"module {module.__name__!r} has no attribute {asked!r}"


@pytest.mark.parametrize(
    "imports",
    ["import rnnspec.cells", "import rnnspec", "from rnnspec import cells, Network", "import rnnspec.network"],
)
def test_the_order_of_imports_does_not_matter_and_a_traceback_says_it_once(imports):
    code = f"{imports}\nimport rnnspec\nrnnspec.cells.lstn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].count("Did you mean: 'lstm'?") == 1


def test_modules_keep_the_names_that_they_have():
    assert rnnspec.cells.lstm.name == "lstm"
    assert not hasattr(rnnspec.cells, "lstn")
    assert getattr(rnnspec.updates, "adam", None) is None


def test_a_backend_that_nearly_has_the_name_is_named():
    with pytest.raises(UnknownBackend) as caught:
        rnnspec.get_backend("trch")
    assert caught.value.do == "did you mean 'torch'? Choose one of jax, numpy, tensorflow, torch"


@pytest.mark.parametrize(("given", "meant"), [({"precision": "float64"}, "f64"), ({"device": "cpo"}, "cpu")])
def test_settings_of_a_backend_that_are_nearly_right(given, meant):
    with pytest.raises(UnsupportedError) as caught:
        rnnspec.get_backend("numpy", **given)
    assert caught.value.do.startswith(f"did you mean {meant!r}? Choose one of ")


OPTIONS = {
    ("--cell", "lstn"): "did you mean 'lstm'? Choose one of elman, ",
    ("--cell", "conformance.own_cell:leaky_gat"): "Did you mean: 'leaky_gate'?",
    ("--backend", "trch"): "did you mean 'torch'? Choose one of jax, numpy, tensorflow, torch, all",
    ("--only", "P1"): "did you mean 'P01'? See --list",
    ("--only", "p02-plain"): "did you mean 'P02-plain'? See --list",
    ("--bakend", "torch"): "(Possible options: --backend)",
    ("--tier", "smok"): "'smok' is not one of 'smoke', 'default', 'deep'.",
}


@pytest.mark.parametrize(("options", "says"), OPTIONS.items(), ids=" ".join)
def test_the_command_of_the_suite(options, says):
    done = CliRunner(env={"COLUMNS": "300", "TERM": "dumb"}).invoke(app, options)
    assert done.exit_code == 2
    assert says in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("given", "meant"),
    [("P1", "P01"), ("p12", "P12"), ("float32", "f32"), ("", None), ("Q", None), ("x" * 61, None)],
)
def test_the_nearest_name(given, meant):
    assert nearest(given, ("f32", "P01", "P10", "P11", "P12")) == meant


def test_of_equally_near_names_the_first():
    assert nearest("ab", ("abc", "abd")) == "abc"
    assert nearest("ab", ("abd", "abc")) == "abd"
    assert nearest("ab", ()) is None


def test_what_to_do():
    assert choice("trch", ["numpy", "torch"]) == "did you mean 'torch'? Choose one of numpy, torch"
    assert choice("mxnet", ["numpy", "torch"]) == "choose one of numpy, torch"
