"""Backends for the tests, one of each kind for the whole session, so that a compiled program is compiled once."""

from __future__ import annotations

import gc
import itertools
import os
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

import rnnspec
from conformance.processes.heap import Heap
from rnnspec.errors import BackendUnavailable

NAMES = ("numpy", "torch", "jax", "tensorflow")
PRECISIONS = ("f32", "f64")


def pytest_configure(config):
    """JAX keeps what it compiles for this run, so that a program that is traced again is not compiled again.

    Each worker has a folder of its own: JAX reads files there that another process may not have finished.
    """
    folder = tempfile.TemporaryDirectory(prefix="rnnspec-jax-", ignore_cleanup_errors=True)
    config.add_cleanup(folder.cleanup)
    os.environ["RNNSPEC_CALIBRATION"] = "off"  # no test depends on how quick the machine is
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


HEAP = Heap()


@pytest.fixture(scope="module", autouse=True)
def _garbage():
    """What frameworks and earlier files keep is looked through for garbage once, and not at each collection.

    The C library gives back what is free: compilers leave several gigabytes of it in a process of many files.
    """
    gc.collect()
    gc.freeze()
    HEAP.give_back()


@cache
def _opened(name, precision):
    try:
        return rnnspec.get_backend(name, precision=precision)
    except BackendUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def open_backend():
    """`open_backend(name, precision)`: the session's one backend of this name and precision."""
    return _opened


@pytest.fixture(scope="session", params=NAMES)
def backend(request):
    """Each backend, in float32."""
    return _opened(request.param, "f32")


@pytest.fixture(scope="session", params=NAMES)
def backend64(request):
    """Each backend, in float64."""
    return _opened(request.param, "f64")


@pytest.fixture(scope="session", params=itertools.product(NAMES, PRECISIONS), ids="-".join)
def either(request):
    """Each backend in each precision."""
    return _opened(*request.param)


@pytest.fixture(scope="session")
def reference():
    """The base class in float64: the generic lowering on NumPy arrays."""
    return rnnspec.Backend(None, "f64")


DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def examples():
    """`examples(name)`: a module of docs/examples, which import each other by name."""
    folder = str(DOCS / "examples")
    sys.path.insert(0, folder)
    yield import_module
    sys.path.remove(folder)


@pytest.fixture
def run_example(examples, tmp_path, monkeypatch):
    """`run_example(name, *options)`: an example's command in `tmp_path`, in this process, which has its frameworks."""

    def run(name, *options):
        app = Typer()
        app.command()(examples(name).main)
        monkeypatch.chdir(tmp_path)
        return CliRunner().invoke(app, options)

    return run


@pytest.fixture
def figures(monkeypatch):
    """`figures(name)`: a script of docs/figures, which measures no longer than a test of it needs."""
    monkeypatch.syspath_prepend(DOCS / "figures")
    monkeypatch.setattr("conformance.speed.sampling.WARM_SECONDS", 0)
    monkeypatch.setattr("conformance.speed.sampling.SAMPLE", 0)
    return import_module
