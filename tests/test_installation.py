"""`python -m rnnspec`: what is installed, what is wrong with it, and the command that mends it."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
from dataclasses import asdict

import fake_plugins
import pytest

import rnnspec
import rnnspec.installation as package
from rnnspec import __main__ as command
from rnnspec.installation import diagnosis, printed
from rnnspec.installation.fault import Fault
from rnnspec.installation.opening import Opening, opened, opening
from rnnspec.installation.requirements import Requirement, requirements

AWAY = "pip uninstall fake-odd"
RAISES = "def native(self, cell, call): raise ValueError('inside')"
DEAD = {
    "an import that raises": ({"top": "raise ValueError('inside')"}, "ValueError: inside", AWAY),
    "an import that exits": ({"top": "sys.exit(3)"}, "SystemExit: 3", AWAY),
    "an import that ends the process": ({"top": "os._exit(7)"}, "ended with status 7", AWAY),
    "an import that is killed": ({"top": "os.kill(os.getpid(), signal.SIGKILL)"}, "ended with status -9", AWAY),
    "a hook that raises": ({"make": "raise ValueError('inside')"}, "ValueError: inside", AWAY),
    "an interrupt": ({"top": "raise KeyboardInterrupt"}, "ended with status", AWAY),
    "too new": ({"body": "spec_version = '9.0'"}, "one for 9.0", "pip install -U rnnspec"),
    "too old": ({"body": "spec_version = '0.9'"}, "one for 0.9", "pip install -U fake-odd"),
    "kernels that raise": ({"body": RAISES}, "ValueError: inside", AWAY),
}


def run(*arguments, site=None):
    path = os.pathsep.join(filter(None, (str(site or ""), os.environ.get("PYTHONPATH", ""))))
    return subprocess.run(
        [sys.executable, "-m", "rnnspec", *arguments], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of distributions, on the path of this process and of its children."""
    monkeypatch.syspath_prepend(tmp_path)
    with fake_plugins.site(tmp_path) as folder:
        yield folder


def offer(site, project, name, *needs):
    """A distribution that offers a backend, whose plugin nobody imports, with what it needs."""
    info = site / f"{project}-1.0.dist-info"
    info.mkdir()
    lines = "".join(f"Requires-Dist: {line}\n" for line in needs)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n{lines}")
    (info / "entry_points.txt").write_text(f"[rnnspec.backends]\n{name} = {project}\n")


def test_info_says_what_numpy_is_in_text_and_for_programs():
    done = run("info", "numpy")
    first, second, *rest = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert first.startswith(f"rnnspec {rnnspec.__version__}, contract 1.0, Python 3.")
    assert second == f"numpy {rnnspec.get_backend('numpy').version}, from rnnspec {rnnspec.__version__}"
    assert rest == ["  cpu: f32, f64", "  cells on a native kernel: none"]
    document = json.loads(run("info", "--json", "numpy").stdout)
    assert document["rnnspec"] == rnnspec.__version__
    assert document["backends"] == [asdict(opening("numpy"))]


def test_info_says_which_cells_run_on_a_kernel_and_which_devices_are_not_there(open_backend):
    open_backend("torch", "f32")
    found = opening("torch")
    assert (found.native, found.fault) == (["lstm"], None)
    assert set(found.on_request) == {"elman", "elman_relu", "gru", "lstm_projected"}
    assert {"f32", "f64", "bf16", "f16"} == set(found.precisions["cpu"])
    assert set(found.precisions) ^ set(found.missing) == {"cpu", "cuda"}
    lines = list(printed.backend(found))
    assert "  cells on a native kernel: lstm" in lines
    assert any(line.startswith("  through(Path.NATIVE) also: elman, ") for line in lines)


def test_a_backend_that_is_slow_to_say_so_has_every_cell_on_a_kernel(open_backend):
    open_backend("tensorflow", "f32")
    assert {"lstm", "mingru"} < set(opening("tensorflow").native)


@pytest.mark.parametrize(("fault", "says", "mends"), DEAD.values(), ids=DEAD)
def test_a_backend_that_does_not_open_is_said_with_what_mends_it(fault, says, mends, site):
    fake_plugins.install(site, "odd", **fault)
    found = opened("odd").fault
    assert says in found.says
    assert found.do
    assert found.command == mends


@pytest.mark.parametrize(("name", "again"), [("torch", "'rnnspec[torch]'"), ("numpy", "'rnnspec'")])
def test_a_built_in_backend_whose_code_fails_is_to_be_installed_again(name, again, monkeypatch):
    monkeypatch.setitem(sys.modules, f"backends.{name}_backend.plugin", object())
    assert opening(name).fault.command == f"pip install --force-reinstall {again}"


def test_what_a_plugin_prints_is_no_part_of_the_answer(site):
    fake_plugins.install(site, "odd", top="print('loud'); os.write(1, b'louder')")
    assert opened("odd") == Opening("odd", "fake-odd 1.0", "1.0", {"cpu": ["f32", "f64"]})


def test_one_that_does_not_answer_is_given_up(site, monkeypatch):
    monkeypatch.setattr("rnnspec.installation.opening.PATIENCE", 3.0)
    fake_plugins.install(site, "odd", top="time.sleep(600)")
    assert opened("odd").fault.says.endswith("got none within 3 s")


def test_info_survives_a_broken_plugin(site):
    fake_plugins.install(site, "odd", top="os._exit(7)")
    done = run("info", "odd", "numpy")
    assert done.returncode == 0
    assert "odd: does not open: " in done.stdout
    assert "got a process that ended with status 7\n" in done.stdout
    assert "  cpu: f32, f64" in done.stdout


def test_the_doctor_finds_nothing_where_nothing_is_wrong():
    done = run("doctor", "numpy")
    assert done.stdout.splitlines()[-2:] == ["backends that open: numpy", "faults: none"]
    assert (done.returncode, done.stderr) == (0, "")


def test_the_doctor_names_a_broken_plugin_and_the_command(site):
    fake_plugins.install(site, "odd", top="raise ValueError('inside')")
    done = run("doctor", "odd", "numpy", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["healthy"]) == (1, ["numpy"])
    (fault,) = document["faults"]
    assert (fault["kind"], fault["command"]) == ("BrokenBackend", "pip uninstall fake-odd")
    text = run("doctor", "odd").stdout.splitlines()
    assert text[0] == "fault 1: get_backend('odd'): the plugin of fake-odd 1.0 must load, got ValueError: inside"
    assert text[1].endswith(": pip uninstall fake-odd")
    assert text[-1] == "faults: 1"


def test_conflicts_and_unreadable_distributions_are_faults_each_once(site):
    offer(site, "one-twin", "twin")
    offer(site, "two-twin", "twin")
    offer(site, "stranger", "numpy")
    offer(site, "torn", "torn")
    (site / "torn-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff")
    found = diagnosis.diagnosis([opening("twin"), opening("numpy")])
    assert found.healthy == ["numpy"]
    assert sorted((fault.kind, fault.command) for fault in found.faults) == [
        ("BackendConflict", "pip uninstall stranger"),
        ("BackendConflict", "pip uninstall two-twin"),
        ("BrokenBackend", "pip uninstall torn"),
    ]


def test_what_a_plugin_needs_and_lacks_is_a_fault(site):
    offer(site, "wanting", "wanting", "numpy>=99", "never-heard-of>=2", "pluggy>=1; extra == 'x'",
          "numpy<1; extra == 'y'", "absent-extra; extra == 'z'", "nothing; python_version < '3'")  # fmt: skip
    found = diagnosis.diagnosis([])
    assert [(fault.about, fault.command) for fault in found.faults] == [
        ("wanting 1.0", "pip install -U 'numpy>=99'"),
        ("wanting 1.0", "pip install -U 'never-heard-of>=2'"),
        ("wanting 1.0", "pip install -U 'numpy<1'"),
    ]


def without(monkeypatch, *names):
    real = diagnosis.installed
    monkeypatch.setattr(diagnosis, "installed", lambda name: None if name in names else real(name))


def test_a_framework_that_is_not_installed_is_no_fault_and_has_its_command(monkeypatch):
    without(monkeypatch, "jax", "rich", "typer")
    gone = Opening("jax", fault=Fault("BackendUnavailable", "get_backend('jax')", "none", "pip install 'rnnspec[jax]'"))
    found = diagnosis.diagnosis([gone, opening("numpy")])
    assert (found.faults, found.healthy) == ([], ["numpy"])
    assert [(extra.name, extra.command) for extra in found.absent] == [
        ("jax", "pip install 'rnnspec[jax]'"),
        ("conformance", "pip install 'rnnspec[conformance]'"),
    ]
    assert list(printed.diagnosed(found))[:2] == ["not installed: jax", "  pip install 'rnnspec[jax]'"]


def test_a_framework_that_is_installed_and_cannot_be_imported_is_a_fault():
    command = "pip install 'rnnspec[jax]'"
    torn = Opening("jax", fault=Fault("BackendUnavailable", "get_backend('jax')", "no libjax", command, command))
    (fault,) = diagnosis.diagnosis([torn]).faults
    assert fault.command == fault.do == "pip install --force-reinstall 'rnnspec[jax]'"


def test_a_framework_that_is_too_old_is_a_fault(monkeypatch):
    real = diagnosis.installed
    monkeypatch.setattr(diagnosis, "installed", lambda name: "2.5.1" if name == "torch" else real(name))
    (fault,) = diagnosis.diagnosis([]).faults
    assert (fault.says, fault.command) == ("torch>=2.6 must be installed, got 2.5.1", "pip install -U 'torch>=2.6'")


def test_sources_that_are_not_installed_are_a_fault(monkeypatch):
    monkeypatch.setattr(diagnosis, "points", tuple)
    (fault,) = diagnosis.diagnosis([]).faults
    assert fault.command == "pip install rnnspec"


FITS = [
    ("2.6", ">=2.6", True), ("2.6.0+cpu", ">=2.6", True), ("2.5.9", ">=2.6", False), ("2.13", ">=2.6", True),
    ("2", ">=2.0", True), ("2.0.0", "<=2", True), ("1.9", ">=1.5,<2", True), ("2.0", ">=1.5,<2", False),
    ("3.0rc1", ">2", True), ("1.0", "==7", True), ("1.0", "", True), ("", ">=1", False),
]  # fmt: skip


@pytest.mark.parametrize(("version", "bounds", "fits"), FITS)
def test_versions_within_bounds(version, bounds, fits):
    assert Requirement("any", bounds).fits(version) is fits


def test_the_requirements_of_rnnspec_itself_are_read():
    found = list(requirements(importlib.metadata.distribution("rnnspec")))
    assert {need.name for need in found if not need.extra} == {"numpy", "pluggy", "safetensors"}
    assert Requirement("torch", ">=2.6", "torch") in found


WRONG = {
    ("doktor",): "did you mean 'doctor'? Choose one of info, doctor",
    ("info", "nmpy"): "did you mean 'numpy'? Choose one of ",
    ("info", "--jsn"): "did you mean '--json'? See --help",
    ("info", "--colour"): "see --help",
    (): "the following arguments are required: command",
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.items(), ids=str)
def test_a_wrong_command_says_what_is_right(arguments, says, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["doktor"], ["info", "numpy"]], ids=" ".join)
def test_no_framework_is_imported_by_the_command_itself(arguments):
    code = (
        "import sys, rnnspec.__main__ as command\n"
        f"try: command.main({arguments})\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'tensorflow', 'keras', 'jax', 'flax', 'typer', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(package.__path__)])
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(f"{package.__name__}.{name}")).failed == 0
