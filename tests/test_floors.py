"""The order of the packages: no floor imports a higher one, nothing imports in a circle, each room stands alone."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import backends
import conformance
import rnnspec
from rnnspec.former import FORMER

ROOT = Path(__file__).parents[1]
OURS = (rnnspec, backends, conformance)
ROOMS = [
    module.name
    for package in OURS
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    if module.name != "conformance.__main__"
]


def linted(config):
    """What import-linter says of a configuration, in a process of its own: it writes past pytest's capture."""
    main = "from importlinter.cli import lint_imports_command as main; main()"
    command = [sys.executable, "-c", main, "--no-cache", "--config", config]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_no_floor_imports_a_higher_one_and_nothing_imports_in_a_circle():
    done = linted(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kept" in done.stdout


def test_an_import_of_a_higher_floor_is_seen(tmp_path):
    """The same check, of floors turned around, is broken: it reads the packages and not nothing."""
    turned = tmp_path / "floors.toml"
    turned.write_text(
        '[tool.importlinter]\nroot_packages = ["rnnspec"]\n[[tool.importlinter.contracts]]\nname = "turned"\n'
        'type = "layers"\ncontainers = ["rnnspec"]\nlayers = ["errors", "tracing"]\n'
    )
    done = linted(turned)
    assert done.returncode == 1
    assert "rnnspec.tracing.cell -> rnnspec.errors" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("package", OURS, ids=lambda package: package.__name__)
def test_no_module_takes_a_private_name_of_another(package):
    files = sorted(Path(package.__path__[0]).rglob("*.py"))
    taken = [f"{file}: {name}" for file in files for name in private_names(ast.parse(file.read_text()))]
    assert len(files) > 5
    assert not taken


def private_names(tree):
    """The private names that a module imports from one of our packages, or reads of an imported module."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in {p.__name__ for p in OURS}:
            yield from (f"{node.module}.{name.name}" for name in node.names if is_private(name.name))
            modules |= {name.asname or name.name for name in node.names if is_module(f"{node.module}.{name.name}")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield from [f"{node.value.id}.{node.attr}"] * is_private(node.attr)


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


@cache
def is_module(name):
    """By the files: to ask Python for what a module has imports it, and its framework."""
    place = ROOT.joinpath(*FORMER.get(name, name).split("."))
    return place.with_suffix(".py").exists() or place.is_dir()


@pytest.mark.parametrize(
    "line", ["from rnnspec.tree import _leaf", "from rnnspec import tree\nprint(tree._leaf)"], ids=["name", "attribute"]
)
def test_a_private_name_is_seen(line):
    assert list(private_names(ast.parse(line)))


def test_each_room_is_imported_alone_in_a_fresh_interpreter():
    """Each in a process of its own, forked before anything of ours is imported: no room leans on what came before."""
    script = (
        "import importlib, os, sys, numpy\n"
        "for name in sys.argv[1:]:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        try:\n"
        "            importlib.import_module(name)\n"
        "        except BaseException as error:\n"
        "            print(name, repr(error), flush=True)\n"
        "            os._exit(1)\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *ROOMS], capture_output=True, text=True, check=True)
    assert len(ROOMS) > 30
    assert not done.stdout


@pytest.mark.parametrize(("former", "name"), FORMER.items(), ids=FORMER)
def test_a_former_name_finds_the_very_module(former, name):
    assert importlib.import_module(former) is importlib.import_module(name)
    assert importlib.import_module(name).__spec__.name == name


def test_importing_by_former_names_hides_no_public_name():
    script = (
        "import rnnspec, rnnspec.cell, rnnspec.backend\nfrom rnnspec.cell import Cell\n"
        "assert callable(rnnspec.cell) and Cell is rnnspec.Cell\n"
        "assert rnnspec.backend.Backend is rnnspec.Backend"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_picture_of_the_rooms_shows_them_as_they_are(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs" / "figures")
    rooms = importlib.import_module("rooms")
    assert rooms.FILE.read_text() == rooms.drawn(rooms.imports()), "run `make docs`"
