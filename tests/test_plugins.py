"""Backends by name: distributions written to disk, each broken in its own way, none harming another."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rnnspec
from rnnspec.contract import version as contract
from rnnspec.errors import (
    ArgumentError,
    BackendConflict,
    BackendUnavailable,
    BrokenBackend,
    IncompatibleBackend,
    RnnSpecError,
    UnknownBackend,
    UnsupportedError,
)
from rnnspec.interface import plugins

GOOD = """
import rnnspec
class Mine(rnnspec.Backend):
    name = "{name}"
@rnnspec.hookimpl
def rnnspec_backend(name, device, precision):
    return Mine(device, precision)
"""
HOOK = "import rnnspec\n@rnnspec.hookimpl\ndef rnnspec_backend(name, device, precision):\n    "
BROKEN = {
    "a module that is not there": None,
    "a module that is no Python": "def (",
    "a module that raises": "raise ValueError('broken inside')",
    "a module that exits": "import sys; sys.exit(3)",
    "a module that imports what is not there": "import framework_that_is_not_there",
    "no hook": "import rnnspec",
    "a hook of other arguments": "import rnnspec\n@rnnspec.hookimpl\ndef rnnspec_backend(name, colour): pass",
    "a hook that raises": HOOK + "raise ValueError('broken inside')",
    "a hook that exits": HOOK + "raise SystemExit(3)",
    "a hook that gives nothing": HOOK + "return None",
    "a hook that gives a string": HOOK + "return 'backend'",
    "a hook that gives the class": HOOK + "return rnnspec.Backend",
    "a hook that gives a backend of another name": HOOK + "return rnnspec.get_backend('numpy')",
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of distributions on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("plugged_"):
            del sys.modules[name]


def install(site, name, code, project="dist", version="1.0"):
    """A distribution that offers a backend."""
    module = f"plugged_{project}_{name}".replace("-", "_")
    if code is not None:
        (site / f"{module}.py").write_text(code)
    info = site / f"{project}_{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}-{name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[rnnspec.backends]\n{name} = {module}\n")
    return module


def test_a_plugin_is_listed_and_loaded(site):
    install(site, "mine", GOOD.format(name="mine"))
    assert "mine" in rnnspec.backend_names()
    backend = rnnspec.get_backend("mine", device="cpu", precision="f64")
    assert (backend.name, backend.device, backend.precision) == ("mine", "cpu", "f64")


def test_names_are_sorted_and_each_once(site):
    install(site, "mine", GOOD.format(name="mine"))
    install(site, "mine", GOOD.format(name="mine"), "other")
    names = rnnspec.backend_names()
    assert list(names) == sorted(set(names))
    assert {"jax", "mine", "numpy", "tensorflow", "torch"} <= set(names)


def test_listing_imports_nothing(site):
    module = install(site, "loud", "raise AssertionError('imported')")
    assert "loud" in rnnspec.backend_names()
    assert module not in sys.modules


@pytest.mark.parametrize("code", BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_named_and_harms_no_other(code, site):
    install(site, "broken", code, "culprit", "2.7")
    install(site, "mine", GOOD.format(name="mine"))
    with pytest.raises(BrokenBackend, match=r"culprit-broken 2\.7") as caught:
        rnnspec.get_backend("broken")
    assert caught.value.do
    assert "broken" in rnnspec.backend_names()
    assert rnnspec.get_backend("mine").name == "mine"
    assert rnnspec.get_backend("numpy").name == "numpy"


@pytest.mark.parametrize("where", ["", HOOK.rsplit("    ", 1)[0] + "    "])
def test_an_interrupt_is_the_user_s(where, site):
    install(site, "slow", where + "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        rnnspec.get_backend("slow")


def test_two_distributions_of_one_name_are_both_named(site):
    install(site, "twin", GOOD.format(name="twin"), "one", "1.0")
    install(site, "twin", GOOD.format(name="twin"), "two", "2.0")
    with pytest.raises(BackendConflict) as caught:
        rnnspec.get_backend("twin")
    assert "one-twin 1.0" in str(caught.value)
    assert "two-twin 2.0" in str(caught.value)
    assert rnnspec.get_backend("numpy").name == "numpy"


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_a_built_in_name_gives_the_built_in_backend_whoever_else_offers_it(name, site):
    module = install(site, name, GOOD.format(name=name), "stranger", "3.1")
    backend = rnnspec.get_backend(name)
    assert type(backend).__module__ == f"backends.{name}_backend.backend"
    assert plugins.distribution(name).startswith("rnnspec ")
    assert rnnspec.backend_names().count(name) == 1
    assert module not in sys.modules


def test_a_stranger_under_a_built_in_name_is_named_among_the_problems(site):
    assert plugins.problems() == ()
    install(site, "numpy", "raise AssertionError('imported')", "stranger", "3.1")
    install(site, "mine", GOOD.format(name="mine"))
    (problem,) = plugins.problems()
    assert isinstance(problem, BackendConflict)
    assert problem.call == "get_backend('numpy')"
    assert problem.got == "stranger-numpy 3.1"
    assert "reserved" in problem.must


def test_a_stranger_alone_does_not_get_a_built_in_name(site, monkeypatch):
    install(site, "numpy", GOOD.format(name="numpy"), "stranger")
    monkeypatch.setattr(plugins, "RESERVED", {"numpy": "another"})
    with pytest.raises(BackendConflict, match="reserved"):
        rnnspec.get_backend("numpy")


def test_two_strangers_of_one_name_are_a_problem_of_that_name_alone(site):
    install(site, "twin", GOOD.format(name="twin"), "one", "1.0")
    install(site, "twin", GOOD.format(name="twin"), "two", "2.0")
    install(site, "mine", GOOD.format(name="mine"))
    (problem,) = plugins.problems()
    assert {"one-twin 1.0", "two-twin 2.0"} == set(problem.got.split(" and "))
    assert rnnspec.get_backend("mine").name == "mine"


@pytest.mark.parametrize("metadata", [None, "", "Metadata-Version: 2.1\n"])
def test_a_distribution_without_a_name_is_shown_by_what_it_offers(metadata, site):
    module = install(site, "mine", "raise ValueError('broken inside')")
    file = next(site.glob("*.dist-info")) / "METADATA"
    file.unlink() if metadata is None else file.write_text(metadata)
    with pytest.raises(BrokenBackend, match=rf"unnamed distribution \({module}\)"):
        rnnspec.get_backend("mine")


UNREADABLE = {
    "no UTF-8": b"\xff\xfe[rnnspec.backends]\n",
    "a line that is no entry point": b"[rnnspec.backends]\nmine\n",
    "half a file": b"[rnnspec.backends]\nmine = plugged\n[console_scripts]\nsome\x00thing",
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_entry_points_that_cannot_be_read_are_named_and_harm_no_other(content, site):
    install(site, "mine", GOOD.format(name="mine"))
    install(site, "torn", GOOD.format(name="torn"), "culprit", "2.7")
    (site / "culprit_torn-2.7.dist-info" / "entry_points.txt").write_bytes(content)
    assert {"jax", "mine", "numpy", "tensorflow", "torch"} == set(rnnspec.backend_names())
    assert rnnspec.get_backend("mine").name == "mine"
    assert rnnspec.get_backend("numpy").name == "numpy"
    (problem,) = plugins.problems()
    assert isinstance(problem, BrokenBackend)
    assert "culprit-torn 2.7" in problem.must
    with pytest.raises(UnknownBackend, match=r"culprit-torn 2\.7"):
        rnnspec.get_backend("torn")


@pytest.mark.parametrize("metadata", [None, "", b"\xff\xfe"])
def test_entry_points_that_cannot_be_read_are_named_by_their_place_where_nothing_else_is_known(metadata, site):
    install(site, "torn", GOOD.format(name="torn"))
    info = next(site.glob("*.dist-info"))
    (info / "entry_points.txt").write_bytes(b"\xff")
    (info / "METADATA").unlink() if metadata is None else (info / "METADATA").write_bytes(metadata or b"")
    (problem,) = plugins.problems()
    assert str(site) in problem.must
    assert rnnspec.get_backend("numpy").name == "numpy"


def test_metadata_that_cannot_be_read_harm_no_other(site):
    install(site, "mine", GOOD.format(name="mine"))
    (next(site.glob("*.dist-info")) / "METADATA").write_bytes(b"\xff")
    assert plugins.problems() == ()
    assert rnnspec.get_backend("mine").name == "mine"
    assert "unnamed" in plugins.distribution("mine")


def test_where_one_cannot_be_read_the_first_of_a_name_still_hides_the_others(site, tmp_path_factory, monkeypatch):
    install(site, "twin", GOOD.format(name="twin"), "one", "1.0")
    behind = tmp_path_factory.mktemp("behind")
    install(behind, "twin", GOOD.format(name="twin"), "one", "0.9")
    install(behind, "torn", GOOD.format(name="torn"))
    monkeypatch.setattr(sys, "path", [*sys.path, str(behind)])
    assert plugins.distribution("twin") == "one-twin 1.0"
    (behind / "dist_torn-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff")
    assert plugins.distribution("twin") == "one-twin 1.0"


def test_a_missing_framework_is_told_with_the_command_that_installs_it(site):
    install(site, "wanting", HOOK + "\n    ".join([
        "from rnnspec import plugins", "try:", "    import framework_that_is_not_there", "except ImportError as error:",
        "    raise plugins.unavailable(name, error) from error",
    ]))  # fmt: skip
    with pytest.raises(BackendUnavailable, match=r"pip install 'rnnspec\[wanting\]'"):
        rnnspec.get_backend("wanting")


def test_a_plugin_s_own_refusal_comes_through(site):
    install(site, "mine", GOOD.format(name="mine"))
    with pytest.raises(UnsupportedError, match="f16"):
        rnnspec.get_backend("mine", precision="f16")


def versioned(version):
    return GOOD.format(name="mine") + f"Mine.spec_version = {version!r}\n"


@pytest.mark.parametrize("version", ["2.3", "2.0"])
def test_a_backend_runs_on_the_contract_that_it_was_written_for_and_on_later_ones_that_add_to_it(
    version, site, monkeypatch
):
    monkeypatch.setattr(contract, "SPEC_VERSION", "2.3")
    install(site, "mine", versioned(version))
    assert rnnspec.get_backend("mine").spec_version == version


@pytest.mark.parametrize(
    ("version", "upgrade"), [("2.4", "rnnspec"), ("3.0", "rnnspec"), ("10.0", "rnnspec"), ("1.9", "dist-mine")]
)
def test_a_backend_for_another_contract_is_told_which_side_to_upgrade(version, upgrade, site, monkeypatch):
    monkeypatch.setattr(contract, "SPEC_VERSION", "2.3")
    install(site, "mine", versioned(version))
    with pytest.raises(IncompatibleBackend, match=r"dist-mine 1\.0") as caught:
        rnnspec.get_backend("mine")
    assert caught.value.do == f"upgrade {upgrade}: pip install -U {upgrade}"


@pytest.mark.parametrize("version", [None, 1.0, "", "1", "one.two", "1.-2", "1.0.0", "9" * 9999 + ".0", "١.٠"])
def test_what_is_no_version_is_refused(version, site):
    install(site, "mine", versioned(version))
    with pytest.raises(BrokenBackend, match="spec_version"):
        rnnspec.get_backend("mine")


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_built_in_backends_are_written_for_this_contract(name):
    assert rnnspec.get_backend(name).spec_version == contract.SPEC_VERSION


def test_an_unknown_name_is_told_what_there_is(site):
    with pytest.raises(UnknownBackend, match=r"jax, numpy, tensorflow, torch") as caught:
        rnnspec.get_backend("mxnet")
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    "wrong", [{"name": 3}, {"name": None}, {"device": 0}, {"precision": 32}, {"precision": None}], ids=repr
)
def test_what_is_no_name_is_no_argument(wrong):
    with pytest.raises(ArgumentError):
        rnnspec.get_backend(**{"name": "numpy", **wrong})


def test_names_with_odd_signs_are_unknown():
    for name in ("", " ", "numpy ", "NumPy", "../numpy", "numpy\0", "x" * 10_000):
        with pytest.raises(UnknownBackend):
            rnnspec.get_backend(name)


def test_listing_and_numpy_import_no_framework():
    there = (
        "import sys, rnnspec; rnnspec.backend_names(); rnnspec.get_backend('numpy')\n"
        "print([m for m in ('torch', 'tensorflow', 'keras', 'jax', 'jaxlib', 'flax', 'scipy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", there], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_the_family():
    for kind in (UnknownBackend, BackendUnavailable, BackendConflict, IncompatibleBackend, BrokenBackend):
        assert issubclass(kind, RnnSpecError)
        assert issubclass(kind, RuntimeError)
