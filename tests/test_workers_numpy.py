"""NumPy on workers of MPI, launched as users do: the numbers are those of one process, and no fault hangs anybody."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from conformance.tolerance import PROFILES, value_and_grad
from rnnspec.tree import leaves
from rnnspec.workers.pretended import pretended, together
from tests.workers.asked import assert_another_gradient, assert_skipped, assert_told
from tests.workers.mpi import INSTALLED, given, launched
from tests.workers.problems import ANEW, PROBLEMS, assert_passed, trained, verdicts
from tests.workers.trees import part

SIZE = 2

needs_mpi = pytest.mark.skipif(not INSTALLED, reason="mpi4py or mpiexec is not installed: pip install mpi4py mpich")


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """What each worker of `mpi_steps.py` computed and met; one launch for all tests of it."""
    folder = tmp_path_factory.mktemp("steps")
    launched("mpi_steps", SIZE, folder)
    return given(folder, SIZE)


@needs_mpi
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_ten_steps_are_those_of_one_process(workers, name, precision):
    """Gradients, losses, parameters and what rules keep, within the tolerance of the suite; a worker has no rows."""
    assert_passed(verdicts(part(workers[0], f"{precision}.{name}"), PROBLEMS[name], PROFILES[precision]))


@needs_mpi
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_every_worker_gets_the_bits_of_pretended_workers(workers, name, precision, open_backend):
    """Sums are in the order of ranks whatever MPI does, so nothing depends on when a message comes."""
    be = open_backend("numpy", precision)
    expected = together(pretended(be, SIZE), lambda group: trained(be.across(group), PROBLEMS[name], ANEW))
    for found, wanted in zip(workers, expected, strict=True):
        own, other = part(found, f"{precision}.{name}"), dict(leaves(wanted))
        assert own.keys() == other.keys()
        assert not [leaf for leaf in own if own[leaf].tobytes() != np.asarray(other[leaf]).tobytes()]


@needs_mpi
def test_the_mean_of_means_is_another_gradient(workers):
    found, reference = part(workers[0], "mean of means"), value_and_grad(PROBLEMS["lstm"].case, PROFILES["f64"])
    count = reference.expected()["count"]
    true = np.concatenate([a.ravel() for a in reference.at("grads.params").expected().values()]) / count
    right = np.concatenate([a.ravel() for a in part(found, "right").values()])
    np.testing.assert_allclose(np.sort(right), np.sort(true), rtol=1e-10, atol=1e-14)
    assert_another_gradient(found)


@needs_mpi
def test_faults_of_one_worker_are_told_to_all(workers):
    assert_told(*workers, "numpy")


@needs_mpi
def test_all_workers_skip_a_step_in_which_one_has_nan(workers):
    for found in workers:
        assert_skipped(found)


@needs_mpi
def test_a_worker_that_takes_no_part_is_named(workers):
    first, second = workers[0]["silent"]
    assert first.startswith("group.sum(arrays, counts): every worker must answer, got none of rank 1 after 0.3 s; ")
    assert "got none in an earlier call" in second


@needs_mpi
def test_a_worker_that_hangs_is_named_and_all_end():
    with pytest.raises(AssertionError, match=r"ended with 1:(?s:.)*got none of rank 1 after 1 s"):
        launched("mpi_hangs", SIZE)


@needs_mpi
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, examples):
    """Killed between the halves of a sum, in step 48: the checkpoint is whole, and nobody goes on alone."""
    checkpoint = tmp_path / "training.safetensors"
    with pytest.raises(AssertionError, match=r"ended with (9|137):\n(?s:.)*40 steps: (?s:.)*(Killed|signal 9)"):
        launched("mpi_killed", SIZE, tmp_path, checkpoint, 95)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", checkpoint.name]
    assert launched("mpi_killed", SIZE, tmp_path, checkpoint).startswith("60 steps: ")

    example, be = examples("mpi_training"), rnnspec.get_backend("numpy")
    never_killed = together(pretended(be, SIZE), lambda group: example.train(group, tmp_path / "never.safetensors"))
    for found, params in zip(given(tmp_path, SIZE), never_killed, strict=True):
        assert {name: array.tobytes() for name, array in leaves(params)} == {n: a.tobytes() for n, a in found.items()}
