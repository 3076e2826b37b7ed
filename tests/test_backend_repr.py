"""What a backend says of itself where it is printed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import rnnspec
from rnnspec.contract.capabilities import DTYPES


def test_it_says_its_name_version_precision_and_device(either):
    dtype = DTYPES[either.precision]
    assert repr(either) == f"<rnnspec backend {either.name} {either.version}, {dtype}, {either.device}>"


def test_the_readers_of_documentation_see_this():
    backend = rnnspec.get_backend("numpy", precision="f64")
    assert repr(backend) == f"<rnnspec backend numpy {np.__version__}, float64, cpu>"


def test_what_a_backend_is_held_to_is_said():
    backend = rnnspec.get_backend("numpy").through(rnnspec.Path.GENERIC).recomputing()
    assert repr(backend).endswith(", float32, cpu, held to generic, recomputing>")


def test_tf32_is_not_taken_for_float32():
    class Rough(rnnspec.Backend):
        name, version = "rough", "2.0"
        capabilities = rnnspec.Capabilities(precisions=("f32", "tf32"), devices=("gpu",))

    assert repr(Rough(None, "tf32")) == "<rnnspec backend rough 2.0, tf32, gpu>"
    assert repr(Rough()) == "<rnnspec backend rough 2.0, float32, gpu>"


def test_one_without_a_name_is_called_by_its_class():
    assert repr(rnnspec.Backend()) == "<rnnspec backend Backend, float32, cpu>"


@pytest.mark.parametrize("precision", ["f32", "f64"])
def test_a_pickled_one_says_the_same(precision):
    backend = rnnspec.get_backend("numpy", precision=precision)
    assert repr(pickle.loads(pickle.dumps(backend))) == repr(backend)
