"""The networks of the examples, saved, exported and read back: each time the values of the oracle, to its tolerance."""

import numpy as np
import pytest

import rnnspec
from conformance import exported, tolerance
from conformance.cases import Case
from conformance.judge import Judge
from conformance.tolerance import PROFILES
from rnnspec import convert

NAMES = ("numpy", "torch", "jax", "tensorflow", "exported:numpy", "exported:c", "exported:onnx")
STEPS, LENGTHS = 12, (12, 7, 1)


@pytest.fixture(scope="module")
def networks(examples):
    courses, letters = examples("text_course"), examples("language_training")
    words = examples("word_lines").TASK
    return {
        "words": courses.Course((), hidden=24, dropout=0.2).network(words),
        "language": letters.network(letters.Course(hidden=32), 60),
    }


@pytest.fixture(scope="module", params=["words", "language"])
def case(request, networks):
    return Case(networks[request.param], STEPS, len(LENGTHS), LENGTHS)


@pytest.fixture(scope="module")
def loaded(case, tmp_path_factory):
    """The network and its parameters, from a file."""
    path = tmp_path_factory.mktemp("models") / "net.safetensors"
    rnnspec.save(path, case.net, case.arrays("f32").params)
    return rnnspec.load(path)


def judge_run(backend, case, net, params):
    given = case.arrays("f32")
    found = backend.run(net, backend.asarray(params), given.inputs, given.state, given.lengths)
    got = {"outputs": found.outputs, "state": found.state}
    Judge(backend).close("run", got, tolerance.run(case, PROFILES["f32"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_model_runs_everywhere(name, case, loaded, open_backend):
    backend = exported.load(name, "f32") if exported.is_exported(name) else open_backend(name, "f32")
    judge_run(backend, case, *loaded)


def test_a_model_comes_back_from_onnx(case, loaded, open_backend):
    back = convert.from_onnx(convert.to_onnx(*loaded, lengths=True).model)
    assert all(np.array_equal(a, b) for a, b in zip(*map(flat, (back.params, loaded[1])), strict=True))
    judge_run(open_backend("numpy", "f32"), case, back.net, back.params)


def flat(params):
    return [a for _, a in rnnspec.tree.leaves(params)]
