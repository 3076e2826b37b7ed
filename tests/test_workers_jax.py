"""JAX on several devices and in several processes: the numbers are those of one, and no fault hangs anybody."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import rnnspec
from conformance.tolerance import PROFILES, train, value_and_grad, verdict
from rnnspec import errors
from rnnspec.tree import leaves
from tests.workers.jax_problems import DEALT, KEY, NOISY, PRECISIONS, SMALL, SPREAD, part, stepped
from tests.workers.launching import free_port, launched, ran
from tests.workers.mpi_problems import STEPS

jax = pytest.importorskip("jax")
steps = pytest.importorskip("tests.workers.jax_steps")
Mesh = jax.sharding.Mesh


def devices(count):
    return {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}


def environment(count=1):
    """The variables of each process, of so many devices; a cache of programs is no place for several processes."""
    own = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_ENABLE_COMPILATION_CACHE": "false"}
    return lambda rank: own | {"JAX_PROCESS_ID": str(rank)} | devices(count)


@pytest.fixture(scope="module")
def spread(tmp_path_factory):
    """What one process with four devices computed, and the folder of its files."""
    folder = tmp_path_factory.mktemp("shards")
    (found,) = launched("tests/workers/jax_devices.py", 1, lambda _: devices(4), 240.0, [str(folder)])
    return found, folder


@pytest.fixture(scope="module")
def workers():
    """What each of two processes with two devices computed and met; one launch for all tests of it."""
    return launched("tests/workers/jax_steps.py", 2, environment(2), 240.0)


@pytest.mark.parametrize("name", SPREAD)
def test_rows_over_devices_have_the_numbers_of_one_process(spread, name):
    """Sums of loss and gradients; gradients of inputs and states, and states, in the order of the rows."""
    one = SPREAD[name]
    assert (told := verdict(part(spread[0], name), value_and_grad(one.case, PROFILES[one.precision]))).passed, told


def near_noisy(found, rows=slice(None)):
    """The step with noise is that of NumPy, which draws the same masks: of all rows, or of some of them."""
    expected = dict(leaves(stepped(rnnspec.get_backend("numpy", precision="f64"), NOISY, key=KEY)))
    whole = ("loss_sum", "count", "grads.params")
    for name, array in found.items():
        right = expected[name] if name.startswith(whole) else \
            expected[name][:, rows][: len(array)] if name == "grads.inputs" else expected[name][rows]
        np.testing.assert_allclose(array, right, rtol=1e-11, atol=1e-13, err_msg=name)
    assert found.keys() == expected.keys()


def test_rows_over_devices_have_the_noise_of_their_numbers(spread):
    near_noisy(part(spread[0], "noisy"))


def judged(found, problem, precision):
    """Hold the first gradients, and the first and the last of ten steps, to the tolerance of the suite."""
    profile = PROFILES[precision]
    first = value_and_grad(problem.case, profile).at("grads.params")
    assert (told := verdict(part(found, "grads"), first)).passed, told
    reference = train(problem.case, problem.rule, STEPS, profile)
    for step in ("0", "9"):
        for what in ("params", "rule_state"):
            assert (told := verdict(part(found, f"{step}.{what}"), reference.at(f"{step}.{what}"))).passed, told
        for what in ("loss_sum", "count"):
            assert (told := verdict(found[f"{step}.{what}"], reference.at(f"{step}.{what}"))).passed, told


def test_ten_steps_over_devices_are_those_of_one_process(spread):
    judged(part(spread[0], "trained"), DEALT["own"], "f64")


@pytest.mark.parametrize("name", ["own", "gla"])
def test_a_program_of_layers_over_devices_has_the_sums_of_one(spread, name):
    found, right = (part(spread[0], f"layers.{name}.{which}") for which in ("found", "right"))
    assert found["1"] == right["1"] == 23
    for leaf, array in right.items():
        np.testing.assert_allclose(found[leaf], array, rtol=0, atol=2e-6 * max(1, np.abs(array).max()), err_msg=leaf)


def test_the_mistakes_of_programs_of_layers_are_other_numbers(spread):
    """Means of means weigh steps unequally; inside a checked shard_map, JAX has summed the gradients already."""
    right = part(spread[0], "layers.own.right")
    assert abs(spread[0]["wrong.mean of means"] - right["0"] / right["1"]) > 0.01
    np.testing.assert_allclose(spread[0]["wrong.summed twice"], 4 * right["2.output.b"], rtol=1e-5)


def test_parameters_in_shards_give_the_same_numbers(spread):
    found, right = part(spread[0], "shards.in shards"), part(spread[0], "shards.at one place")
    for leaf, array in right.items():
        np.testing.assert_allclose(found[leaf], array, rtol=0, atol=2e-6 * max(1, np.abs(array).max()), err_msg=leaf)


def test_shards_are_read_on_other_devices_and_from_one_file(spread, examples):
    """Written by four devices; read on two there, which write the file; both are read in this process on one."""
    written, folder = part(spread[0], "written"), spread[1]
    net, params = rnnspec.load(folder / "network.safetensors")
    assert net == examples("jax_shards").NET
    again = examples("jax_shards").read(folder / "four", net, Mesh(jax.devices()[:1], ("rows",)))
    for found in (params, again):
        assert {name: np.asarray(a).tobytes() for name, a in leaves(found)} == {
            name: a.tobytes() for name, a in written.items()
        }


@pytest.mark.parametrize("name", DEALT)
def test_ten_steps_of_two_processes_are_those_of_one(workers, name):
    """Gradients, losses, parameters and what rules keep; of the LSTM, rank 0 has no row in one step."""
    judged(part(workers[0], f"{name}.trained"), DEALT[name], PRECISIONS[name])


def test_both_processes_get_the_same_bits(workers):
    first, second = ({name: a.tobytes() for name, a in found.items() if ".trained." in name} for found in workers)
    assert len(first) > 400
    assert first == second


def test_processes_with_two_devices_each_have_the_noise_of_one(workers):
    for found, rows in zip(workers, (slice(0, 3), slice(3, 7)), strict=True):
        near_noisy(part(found, "noisy"), rows)


def test_the_mean_of_means_is_another_gradient(workers):
    reference = value_and_grad(SMALL.case, PROFILES["f64"])
    count = reference.expected()["count"]
    true = np.concatenate([a.ravel() for a in reference.at("grads.params").expected().values()]) / count
    wrong, right = (np.concatenate([a.ravel() for a in part(workers[0], f"mean of means.{which}").values()])
                    for which in ("wrong", "right"))  # fmt: skip
    np.testing.assert_allclose(np.sort(right), np.sort(true), rtol=1e-10, atol=1e-14)
    assert np.linalg.norm(wrong - right) > 0.1 * np.linalg.norm(right)


def test_a_bad_target_of_one_process_is_told_to_all(workers):
    here, there = (str(found["faults.told"]) for found in workers)
    assert here == ("WorkerError: jax.train_step(...): every worker's own call must succeed, got an error of rank 1; "
                    "look at the error there")  # fmt: skip
    assert there.startswith("TargetError: jax.train_step(...): targets at real steps must be class numbers of 0..3")


def test_both_processes_skip_a_step_in_which_one_has_nan(workers):
    for found in workers:
        assert found["faults.skipped"] == 1
        before, after = part(found, "faults.before"), part(found, "faults.params")
        assert all(np.array_equal(before[leaf], after[leaf]) for leaf in before)


def test_other_numbers_of_one_process_are_told_to_all(workers):
    for found in workers:
        assert "got others on rank 1" in str(found["faults.agree"])


def test_a_sum_has_the_dtypes_of_what_was_given_and_exact_counts(workers):
    for found in workers:
        for i, dtype in enumerate(steps.DTYPES):
            exact = sum(a.astype(float) for a in steps.summands(dtype))
            np.testing.assert_array_equal(found[f"sums.arrays.{i}"], exact.astype(jax.numpy.dtype(dtype)))
        assert found["sums.arrays.4"].shape == (0, 2)
        assert [found[f"sums.counts.{i}"] for i in range(2)] == [2**48 - 2, 1]
        assert [found[f"sums.gathered.{i}"] for i in range(2)] == [7, 7]
