"""Backends that are pickled and copied: opened anew with the same settings, here or in another process."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import cache

import numpy as np
import pytest
from fake_plugins import install

import rnnspec
from backends.numpy_backend.backend import NumpyBackend
from rnnspec import Layer, Network, Path, cells
from rnnspec.errors import UnknownBackend

NET, X = Network(2, [Layer(cells.gru, 3)]), np.sin(np.arange(24.0)).reshape(6, 2, 2)
IN_PARALLEL = Network(2, [Layer(cells.gla, 3)])
WAYS = {"pickle": lambda backend: pickle.loads(pickle.dumps(backend)), "copy": copy.copy, "deepcopy": copy.deepcopy,
        "in a configuration": lambda backend: copy.deepcopy({"backend": [backend]})["backend"][0]}  # fmt: skip


class Patient(NumpyBackend):
    """A backend of somebody's own under a name that `get_backend` gives another for."""


class Unlisted(rnnspec.Backend):
    """A backend of somebody's own that no distribution offers."""

    name = "unlisted"


def settings(backend):
    return (type(backend), backend.device, backend.precision, backend.path, backend.recomputes, backend.every,
            backend.chunk)  # fmt: skip


@cache
def held(backend):
    """The backend, and all that can be made of it, with the programs that they have compiled."""
    made = [backend, backend.recomputing(), backend.recomputing(3), backend.chunking(4)]
    for path in backend.capabilities.paths:
        made.append(backend.through(path))
        made += [] if path is Path.FRAMEWORK else [backend.through(path).recomputing(2)]
    return made


@pytest.mark.parametrize("way", WAYS)
def test_a_backend_comes_back_with_its_settings(either, way):
    either.run(NET, NET.init(0), X)  # programs, pools and locks are there
    for backend in held(either):
        again = WAYS[way](backend)
        assert again is not backend
        assert settings(again) == settings(backend)


def test_a_backend_that_came_back_computes_the_same(either):
    """By pickling alone: each way opens the backend by one `__reduce__`."""
    for backend in held(either):
        net = IN_PARALLEL if backend.path is Path.PARALLEL else NET
        got, expected = (be.to_numpy(be.run(net, net.init(0), X).outputs) for be in (WAYS["pickle"](backend), backend))
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", [Patient, Unlisted, rnnspec.Backend])
@pytest.mark.parametrize("way", WAYS)
def test_a_class_of_ones_own_comes_back(kind, way):
    for backend in held(kind(precision="f64")):
        assert settings(WAYS[way](backend)) == settings(backend)


def test_nothing_but_settings_is_pickled(backend):
    backend.run(NET, NET.init(0), np.ones((200, 4, 2)))
    assert len(pickle.dumps(backend)) < 300


def test_a_backend_that_is_found_by_name_is_pickled_by_name(tmp_path, monkeypatch):
    """Its class is one that no module holds, and where its distribution is not there, the error says so."""
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "nowhere", make="Fake.__qualname__ = 'hidden.Fake'")
    backend = rnnspec.get_backend("nowhere", precision="f64")
    pickled = pickle.dumps(backend)
    assert settings(pickle.loads(pickled)) == settings(backend)
    monkeypatch.undo()
    with pytest.raises(UnknownBackend, match="nowhere"):
        pickle.loads(pickled)


def test_a_backend_goes_to_another_process():
    backend = rnnspec.get_backend("numpy", precision="f64").recomputing(2)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        result = pool.submit(rnnspec.Backend.run, backend, NET, NET.init(0), X).result()
        again = pool.submit(copy.copy, backend).result()
    np.testing.assert_array_equal(result.outputs, backend.run(NET, NET.init(0), X).outputs)
    assert settings(again) == settings(backend)


