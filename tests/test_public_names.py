"""The names that others build on: present, documented, with doctests that hold, and cheap to import."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import rnnspec

MODULES = [module.name for module in pkgutil.walk_packages(rnnspec.__path__, "rnnspec.")]
PUBLIC = {
    "Backend",
    "Bound",
    "Call",
    "Capabilities",
    "Cell",
    "Dense",
    "Dropout",
    "Embedding",
    "GradientFlow",
    "Gradients",
    "Group",
    "Kernel",
    "Key",
    "Last",
    "Layer",
    "LayerNorm",
    "LayerResult",
    "Linearity",
    "Mutant",
    "Network",
    "Path",
    "RMSNorm",
    "Result",
    "Step",
    "Steps",
    "Tied",
    "Trained",
    "Windows",
    "backend_names",
    "cell",
    "cells",
    "chain",
    "decoding",
    "errors",
    "get_backend",
    "gradient_flow",
    "hookimpl",
    "initialisers",
    "linearity",
    "load",
    "losses",
    "noise",
    "out",
    "policies",
    "primitives",
    "save",
    "updates",
}
SIGNATURES = {
    "get_backend": "(name, *, device=None, precision='f32')",
    "save": "(path, net, params)",
    "load": "(path)",
    "Layer": "(cell, hidden, direction='forward', gradient=None, initial=<factory>, heads=None, shared=(), "
             "inputs=None, mapped=True, residual=False, learned_state=False, noise=())",
    "Network": "(inputs, layers, read=Steps(), output=None, loss=None, head=())",
    "Backend.run": "(self, net, params, inputs, state=None, lengths=None, resets=None, key=None)",
    "Backend.recur": "(self, cell, given, params=None, state=None, lengths=None, resets=None)",
    "Backend.recur_pullback": "(self, cell, given, output_cotangent, state_cotangent=None, params=None, state=None, "
                              "lengths=None, resets=None)",
    "Backend.pullback": "(self, net, params, inputs, output_cotangent, state_cotangent=None, state=None, lengths=None, "
                        "resets=None, key=None)",
    "Backend.value_and_grad": "(self, net, params, inputs, targets, state=None, lengths=None, resets=None, key=None)",
    "Backend.train_step": "(self, net, rule, params, rule_state, inputs, targets, state=None, lengths=None, "
                          "resets=None, key=None)",
    "Backend.layer": "(self, cell, params, inputs, state, lengths, call, resets=None)",
    "Backend.through": "(self, path)",
    "Backend.native": "(self, cell, call)",
    "Backend.bound": "(self, net, params)",
    "Bound.run": "(self, inputs, state=None, lengths=None, resets=None, key=None)",
    "Bound.pullback": "(self, inputs, output_cotangent, state_cotangent=None, state=None, lengths=None, resets=None, "
                      "key=None)",
    "Bound.step": "(self, x_t)",
    "Bound.reset": "(self, rows=None)",
}
FIELDS = {
    "Result": ["outputs", "state", "path"], "Gradients": ["params", "inputs", "state"],
    "Step": ["loss_sum", "count", "grads", "state"],
    "Trained": ["params", "rule_state", "loss_sum", "count", "state"],
}  # fmt: skip


def test_the_names_of_the_package():
    assert set(rnnspec.__all__) == PUBLIC
    assert all(hasattr(rnnspec, name) for name in PUBLIC)


@pytest.mark.parametrize(("name", "expected"), SIGNATURES.items(), ids=SIGNATURES)
def test_signatures(name, expected):
    found = rnnspec
    for part in name.split("."):
        found = getattr(found, part)
    signature = inspect.signature(found)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    assert str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)) == expected


@pytest.mark.parametrize(("name", "expected"), FIELDS.items(), ids=FIELDS)
def test_fields(name, expected):
    assert list(getattr(rnnspec, name).__dataclass_fields__) == expected


@pytest.mark.parametrize("name", MODULES)
def test_every_name_that_a_module_offers_is_there_and_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert inspect.getdoc(value), public


@pytest.mark.parametrize("name", ["rnnspec", *MODULES])
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_doctests_are_there():
    assert sum(doctest.testmod(importlib.import_module(name)).attempted for name in MODULES) >= 20


def test_the_specification_imports_no_framework_and_no_backend():
    there = "import sys, rnnspec; print(sorted({m.split('.')[0] for m in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", there], check=True, capture_output=True, text=True).stdout
    assert not {"torch", "tensorflow", "keras", "jax", "flax", "backends", "conformance", "scipy", "hypothesis"} & set(
        eval(found)
    )


def test_the_package_is_typed():
    assert (Path(rnnspec.__file__).parent / "py.typed").exists()


def test_cells_are_equations_and_nothing_else():
    """Only cells, each with its source, and in each file the two lines that import what they are written with."""
    families = [value for value in vars(rnnspec.cells).values() if inspect.ismodule(value)]
    sources = [inspect.getsource(module) for module in families]
    public = [value for name, value in vars(rnnspec.cells).items() if isinstance(value, rnnspec.Cell)]
    assert len(public) == "".join(sources).count("@cell\n") == "".join(sources).count("def ")
    for source in sources:
        assert [line.split()[1] for line in source.splitlines() if line.startswith("from")] == [
            "rnnspec.primitives",
            "rnnspec.tracing.cell",
        ]


def test_the_list_of_cells_holds_every_cell_of_every_file_in_its_order():
    folder, values = Path(rnnspec.cells.__path__[0]), vars(rnnspec.cells).values()
    files = {value.__name__.rpartition(".")[2]: value for value in values if inspect.ismodule(value)}
    assert set(files) == {file.stem for file in folder.glob("*.py")} - {"__init__"}
    listed = [value.name for value in vars(rnnspec.cells).values() if isinstance(value, rnnspec.Cell)]
    declared = [v.name for module in files.values() for v in vars(module).values() if isinstance(v, rnnspec.Cell)]
    assert listed == declared
    assert all(getattr(rnnspec.cells, name).name == name for name in listed)


def test_no_file_of_cells_has_the_name_of_a_cell():
    """`rnnspec.cells.gru` is one thing."""
    values = vars(rnnspec.cells).items()
    assert all(inspect.ismodule(value) for name, value in values if f"rnnspec.cells.{name}" in sys.modules)
