"""JAX on several devices and in several processes: the numbers are those of one, and no fault hangs anybody."""

from __future__ import annotations

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import load_file

import rnnspec
from conformance.tolerance import PROFILES, value_and_grad, verdict
from rnnspec import errors
from rnnspec.tree import leaves
from tests.workers.asked import assert_another_gradient, assert_skipped, assert_told
from tests.workers.jax_launches import ALONE, TRAINED, devices_of, environment, judgement
from tests.workers.jax_spread import KEY, NOISY, SPREAD, stepped
from tests.workers.launching import ROOT, ended, free_port, launched, ran
from tests.workers.problems import PROBLEMS, assert_passed, classes
from tests.workers.trees import part

jax = pytest.importorskip("jax")
WORKER = pytest.importorskip("tests.workers.jax_steps")
DEVICES = pytest.importorskip("tests.workers.jax_devices")
JaxGroup = pytest.importorskip("backends.jax_backend.group").JaxGroup
Mesh = jax.sharding.Mesh
PAGE = (ROOT / "docs/workers-jax.md").read_text()
TIMEOUT = 240.0


def run_of_page(script, folder):
    """Run a script by the commands of the page, in a folder: what is printed, and what the page says that it prints."""
    shown = re.search(rf"```bash\n([^`]*{script}.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    command = shown[1].replace("9911", str(free_port())).replace("python ", f"{sys.executable} ")
    for path in (ROOT / "docs/examples").glob("*.py"):
        (folder / path.name).symlink_to(path)
    return ran(["bash", "-c", command], ALONE, TIMEOUT, folder), shown[2]


@pytest.fixture(scope="module")
def spread():
    """What one process with four devices computed; one launch for all tests of it."""
    (found,) = launched("tests/workers/jax_devices.py", 1, lambda _: devices_of(4), TIMEOUT)
    return found


@pytest.fixture(scope="module")
def workers():
    """What each of two processes with two devices computed and met; one launch for all tests of it."""
    return launched("tests/workers/jax_steps.py", 2, environment(2, devices=2), TIMEOUT)


@pytest.mark.parametrize("name", SPREAD)
def test_rows_over_devices_have_the_numbers_of_one_process(spread, name):
    """Sums of loss and gradients; gradients of inputs and states, and states, in the order of the rows."""
    one = SPREAD[name]
    assert (told := verdict(part(spread, name), value_and_grad(one.case, PROFILES[one.precision]))).passed, told


def near_noisy(found, rows=slice(None)):
    """The step with noise is that of NumPy, which draws the same masks: of all rows, or of some of them."""
    expected = dict(leaves(stepped(rnnspec.get_backend("numpy", precision="f64"), NOISY, key=KEY)))
    whole = ("loss_sum", "count", "grads.params")
    for name, array in found.items():
        right = expected[name] if name.startswith(whole) else \
            expected[name][:, rows][: len(array)] if name == "grads.inputs" else expected[name][rows]
        np.testing.assert_allclose(array, right, rtol=1e-11, atol=1e-13, err_msg=name)
    assert found.keys() == expected.keys()


def right(name):
    """The step of a layer that `jax_devices.py` runs in a program of its own, on NumPy."""
    net = classes(DEVICES.LAYERS[name])
    params, x, labels = DEVICES.drawn(net)
    return rnnspec.get_backend("numpy").value_and_grad(net, params, x, labels, lengths=DEVICES.LENGTHS)


@pytest.mark.parametrize("name", DEVICES.LAYERS)
def test_a_program_of_layers_over_devices_has_the_sums_of_all_rows(spread, name):
    found, step = part(spread, f"layers.{name}"), right(name)
    assert found["count"] == step.count == 23
    np.testing.assert_allclose(found["loss_sum"], step.loss_sum, rtol=2e-6)
    near(part(found, "grads"), step.grads.params)


def near(found, expected):
    for leaf, array in leaves(expected):
        np.testing.assert_allclose(found[leaf], array, rtol=0, atol=4e-6 * max(1, np.abs(array).max()), err_msg=leaf)


def test_the_mistakes_of_programs_of_layers_are_other_numbers(spread):
    """Means of means weigh steps unequally; inside a checked shard_map, JAX has summed the gradients already."""
    step = right("own")
    assert abs(spread["wrong.mean of means"] - step.loss_sum / step.count) > 0.01
    np.testing.assert_allclose(spread["wrong.summed twice"], 4 * step.grads.params["output"]["b"], rtol=1e-4)


def test_parameters_in_shards_give_the_same_numbers(spread):
    """Every device holds two of eight rows of each map."""
    near(part(spread, "shards.found"), part(spread, "shards.right"))
    assert {int(rows) for rows in part(spread, "shards.rows").values()} == {2}


def test_shards_are_read_on_other_devices_and_from_one_file(examples, tmp_path):
    """By the command of the page, and in this process on one device."""
    shards = examples("jax_shards")
    said, shown = run_of_page("jax_shards.py", tmp_path)
    assert said == shown
    net, params = rnnspec.load(tmp_path / "shards" / "network.safetensors")
    again = shards.read(tmp_path / "shards" / "checkpoint", net, Mesh(jax.devices()[:1], ("rows",)))
    expected = [(name, np.float32(a).tobytes()) for name, a in leaves(net.init(seed=0))]
    for found in (params, again):
        assert sorted((name, np.asarray(a).tobytes()) for name, a in leaves(found)) == sorted(expected)


@pytest.mark.parametrize("name", TRAINED)
def test_ten_steps_of_two_processes_are_those_of_one(workers, name):
    """Gradients, losses, parameters and what rules keep; of the LSTM, rank 0 has no row in one step."""
    assert_passed(judgement(workers[0], name))


def test_both_processes_get_the_same_bits(workers):
    first, second = ({name: a.tobytes() for name, a in found.items() if ".trained." in name} for found in workers)
    assert len(first) > 400
    assert first == second


def test_processes_with_two_devices_each_have_the_noise_of_one(workers):
    for found, rows in zip(workers, (slice(0, 4), slice(4, 7)), strict=True):
        near_noisy(part(found, "noisy"), rows)


def test_the_mean_of_means_is_another_gradient(workers):
    found, reference = part(workers[0], "mean of means"), value_and_grad(PROBLEMS["lstm"].case, PROFILES["f64"])
    count = reference.expected()["count"]
    true = np.concatenate([a.ravel() for a in reference.at("grads.params").expected().values()]) / count
    right = np.concatenate([a.ravel() for a in part(found, "right").values()])
    np.testing.assert_allclose(np.sort(right), np.sort(true), rtol=1e-10, atol=1e-14)
    assert_another_gradient(found)


def test_faults_of_one_process_are_told_to_all(workers):
    assert_told(*workers, "jax")


def test_both_processes_skip_a_step_in_which_one_has_nan(workers):
    for found in workers:
        assert_skipped(found)


def test_a_sum_has_the_dtypes_of_what_was_given_and_exact_counts(workers):
    for found in workers:
        for i, dtype in enumerate(WORKER.DTYPES):
            exact = sum(a.astype(float) for a in WORKER.summands(dtype)[:2])
            np.testing.assert_array_equal(found[f"sums.arrays.{i}"], exact.astype(jax.numpy.dtype(dtype)))
        assert found["sums.arrays.4"].shape == (0, 2)
        assert [found[f"sums.counts.{i}"] for i in range(2)] == [2**46 - 2, 1]
        assert [found[f"sums.gathered.{i}"] for i in range(2)] == [7, 7]


def test_a_killed_process_ends_the_other_which_names_it_and_a_checkpoint_goes_on(tmp_path, examples):
    """Process 1 is killed before step 30: the checkpoint of step 20 is whole, and the page's commands go on from it."""
    example, file = examples("jax_training"), tmp_path / "training.safetensors"
    first, second = ended("tests/workers/jax_killed.py", 2, environment(2), TIMEOUT, [str(file), "1", "30"])
    assert second.status == -9
    assert "JAX distributed service detected fatal errors" in first.said
    assert "Task 1 heartbeat timeout" in first.said
    assert "WorkerError: group.sum(arrays, counts): every worker must answer, got none of rank 1 after" in first.said
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    assert steps_of(file) == 20

    said, shown = run_of_page("jax_training.py", tmp_path)
    losses = [line for line in said.splitlines() if " steps: " in line]
    assert losses == shown.splitlines()[1:]
    assert steps_of(file) == 60
    (tmp_path / "alone").mkdir()
    params = example.train(Mesh(jax.devices()[:1], ("rows",)), tmp_path / "alone" / file.name)
    for name, array in load_file(file).items():
        if name.startswith("params."):
            expected = dict(leaves(params))[name.removeprefix("params.")]
            np.testing.assert_allclose(array, expected, rtol=1e-3, atol=1e-4, err_msg=name)


def steps_of(file):
    return json.loads(load_file(file)["numbers"].tobytes())["steps"]


@pytest.mark.parametrize(("wrong", "told"), [
    ({"axis_names": ("a", "b")}, r"mesh must have one axis, got axes \('a', 'b'\)"),
    ({"platform": "gpu"}, "mesh must have CPU devices, got devices of gpu"),
    ({"process_index": 3}, "mesh must have a device of this process, 0, got devices of the processes 3"),
])  # fmt: skip
def test_a_mesh_that_is_no_group_is_refused_in_words(wrong, told):
    device = SimpleNamespace(**{"platform": "cpu", "process_index": 0} | wrong)
    mesh = SimpleNamespace(**{"axis_names": ("rows",)} | wrong, devices=[device])
    with pytest.raises(errors.ArgumentError, match=rf"jax.across\(mesh\): {told}"):
        JaxGroup(mesh)


def test_what_is_no_mesh_is_refused():
    with pytest.raises(errors.ArgumentError, match="workers must be a group that the backend knows, got object"):
        rnnspec.get_backend("jax").across(object())
