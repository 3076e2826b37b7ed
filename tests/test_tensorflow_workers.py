"""TensorFlow on several workers, launched as users do: the numbers are those of one process, and nobody hangs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

import rnnspec
from backends.tensorflow_backend.tasks import NO_ANSWER, Tasks, tasks_of
from conformance.tolerance import PROFILES
from rnnspec import Dropout, Key, Layer, Network, cells, updates
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.losses import SquaredError
from rnnspec.tree import leaves
from tests.workers import tensorflow_devices
from tests.workers.asked import assert_another_gradient, assert_skipped, assert_told
from tests.workers.launching import BARE, ended
from tests.workers.problems import PROBLEMS, assert_passed, verdicts
from tests.workers.tensorflow_launches import TIMEOUT, TRAINED, commanded, judgement, launched, losses
from tests.workers.trees import part

SIZE = 2
KILLED = 0
"""The chief, without which there is nobody to coordinate the others."""


@pytest.fixture(scope="module")
def ends():
    """How each worker of `tensorflow_steps.py` ended; one launch for all tests of it."""
    return launched("tensorflow_steps", SIZE, KILLED)


@pytest.fixture(scope="module")
def workers(ends):
    """What each worker computed and met."""
    assert all(end.gave for end in ends), "\n".join(end.said for end in ends)
    return [end.gave for end in ends]


@pytest.mark.parametrize("name", TRAINED)
def test_ten_steps_are_those_of_one_process(workers, name):
    """Gradients, losses, parameters and what rules keep, within the tolerance of the suite; a worker has no rows."""
    assert_passed(judgement(workers[0], name))


@pytest.mark.parametrize("name", TRAINED)
def test_every_worker_has_the_same_bits(workers, name):
    first, second = (part(found, name) for found in workers)
    assert first.keys() == second.keys()
    assert not [leaf for leaf in first if first[leaf].tobytes() != second[leaf].tobytes()]


@pytest.mark.parametrize("precision", ["f64", "f32", "bf16", "f16"])
def test_sums_are_exact_where_numbers_and_counts_are(workers, precision):
    """16 bits are rounded once, and whole numbers not at all."""
    kinds = {"f64": "float64", "f32": "float32", "bf16": "bfloat16", "f16": "float16"}
    exact = {"f64": 1 + 2.0**-9, "f32": 1 + 2.0**-9, "bf16": 1.0, "f16": 1 + 2.0**-9}
    for found in (part(gave, precision) for gave in workers):
        assert found["counts"].tolist() == [2**47 + 1, 2 * 4095]
        np.testing.assert_array_equal(found["arrays.0"], np.full((2, 3), 3.0))
        assert found["arrays.1"] == exact[precision]
        assert found["arrays.2"].shape == (0, 4)
        assert [str(found[f"dtypes.{i}"]) for i in range(3)] == [kinds[precision]] * 3


def test_the_mean_of_means_is_another_gradient(workers):
    assert_another_gradient(part(workers[0], "mean of means"))


def test_faults_of_one_worker_are_told_to_all(workers):
    assert_told(*workers, "tensorflow")


def test_all_workers_skip_a_step_in_which_one_has_nan(workers):
    for found in workers:
        assert_skipped(found)


def test_rows_have_the_masks_of_the_whole_batch(workers):
    net = Network(3, [Layer(cells.elman, 4), Dropout(0.5)], loss=SquaredError())
    inputs = np.linspace(-1.0, 1.0, 2 * 7 * 3).reshape(2, 7, 3)
    whole = rnnspec.get_backend("numpy", precision="f64").value_and_grad(net, net.init(0), inputs,
                                                                         np.zeros((2, 7, 4)), key=Key(3))  # fmt: skip
    for found in workers:
        np.testing.assert_allclose(found["noise.loss_sum"], whole.loss_sum, rtol=1e-5)


def test_a_killed_worker_is_named_to_the_others(ends):
    """TensorFlow itself finds that a process is gone, so nobody waits for the time limit of the exchange."""
    assert ends[KILLED].status == -9
    left = ends[1 - KILLED]
    assert left.status == 0, left.said
    told = str(left.gave["told"])
    assert told.startswith("WorkerError: group.sum(arrays, counts): every worker must answer, got none of rank 0 after")


def one_process(example, rule):
    """The losses of the example with all rows in NumPy, and the parameters at its end."""
    be, params, found = rnnspec.get_backend("numpy", precision="f64"), example.NET.init(seed=0), []
    state = rule.init(params)
    for step in range(example.STEPS):
        x, labels, lengths = example.batch(step)
        done = be.train_step(example.NET, rule, params, state, x, labels, lengths=lengths)
        params, state = done.params, done.rule_state
        found.append(done.loss_sum / done.count)
    return found, params


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path, examples):
    """By the command of the page, to the numbers of one process; a killed one leaves a whole checkpoint."""
    first, second = launched("tensorflow_killed", SIZE, tmp_path, 1, 4)
    assert second.status == -9
    assert re.search(r"WorkerError: .* must answer, got none of rank 1 after", first.said), first.said
    assert [path.name for path in tmp_path.iterdir()] == ["training.safetensors"]
    again = commanded(0, tmp_path)
    told = losses(first.said) + losses(again)
    assert [step for step, _ in told] == list(range(1, 11)), first.said + again
    example = examples("tensorflow_workers")
    expected, params = one_process(example, example.RULE)
    np.testing.assert_allclose([loss for _, loss in told], expected, atol=2e-4)
    kept, _ = example.checkpoints.restored(tmp_path / "training.safetensors", {"params": params})
    np.testing.assert_allclose(kept["params"]["output"]["W"], params["output"]["W"], rtol=1e-4, atol=1e-5)


def test_a_layer_of_keras_trains_on_workers(tmp_path, examples):
    """In a loop of one's own; its numbers are those of one process, and its checkpoints are TensorFlow's."""
    told = losses(said := commanded(1, tmp_path))
    expected, params = one_process(examples("tensorflow_workers"), updates.SGD(0.5, momentum=0.9))
    assert len(told) == len(expected), said
    np.testing.assert_allclose([loss for _, loss in told], expected, atol=2e-4)
    net, found = rnnspec.load(tmp_path / "trained.safetensors")
    np.testing.assert_allclose(found["output"]["W"], params["output"]["W"], rtol=1e-4, atol=1e-5)
    assert net.parameter_shapes() == examples("tensorflow_workers").NET.parameter_shapes()
    assert (tmp_path / "checkpoints/ckpt-10.index").exists()


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """What a process with three devices computed, and the folder of its files; one launch for all tests of it."""
    folder = tmp_path_factory.mktemp("devices")
    (end,) = ended("tests/workers/tensorflow_devices.py", 1, lambda rank: BARE, TIMEOUT, [str(folder)])
    assert end.status == 0, end.said
    return end.gave, folder


@pytest.mark.parametrize("name", tensorflow_devices.NETS)
def test_rows_on_several_devices_give_what_one_gives(devices, name):
    """Also with noise, class numbers, learned states, CTC, and compiled; rows come back in their order."""
    be = rnnspec.get_backend("numpy", precision="f64")
    expected = dict(leaves(tensorflow_devices.step_of(be, name)))
    found = part(devices[0], f"devices.{name}")
    assert found.keys() == expected.keys()
    for leaf, array in expected.items():
        np.testing.assert_allclose(found[leaf], array, rtol=1e-4, atol=1e-5, err_msg=leaf)


def test_ten_steps_on_several_devices_are_those_of_one(devices):
    assert_passed(verdicts(part(devices[0], "own"), PROBLEMS["own"], PROFILES["f32"]))


def test_sixteen_bits_of_several_devices_are_rounded_once(devices):
    spread, alone = (part(devices[0], f"bf16.{which}") for which in ("spread", "alone"))
    assert spread.keys() == alone.keys()
    for leaf, array in alone.items():
        np.testing.assert_allclose(spread[leaf], array, rtol=2.0**-6, atol=2.0**-6, err_msg=leaf)


def test_fit_under_a_strategy_needs_the_mean_over_all(devices):
    """`mean_loss` gives the weights of one device, and the mean of means does not."""
    right, one, plain = (part(devices[0], f"fit.{which}") for which in ("right", "one", "plain"))
    for name, weights in one.items():
        np.testing.assert_allclose(right[name], weights, rtol=1e-4, atol=1e-5, err_msg=name)
    assert max(np.abs(plain[name] - weights).max() for name, weights in one.items()) > 0.1


def test_keras_clips_each_replica_by_itself(devices):
    """Before gradients are added up: so a clipped training is another one on several devices, as the page says."""
    found, one = (part(devices[0], f"fit.{which}") for which in ("clipped", "clipped one"))
    assert max(np.abs(found[name] - weights).max() for name, weights in one.items()) > 1e-3


@pytest.mark.parametrize("name", ["keras", "tensorflow"])
def test_checkpoints_under_a_strategy_become_one_file(devices, name):
    found, folder = devices
    _, params = rnnspec.load(folder / f"{name}.safetensors")
    weights = part(found, "fit.right")
    assert dict(leaves(params)).keys() == weights.keys() - {"loss"}
    assert all(np.array_equal(weights[leaf], array) for leaf, array in leaves(params))


def test_a_chief_is_rank_0_and_workers_follow():
    """The first task of a message that was handed on is the one that is gone; nobody is told of itself."""
    spec = tf.train.ClusterSpec({"chief": ["a:1"], "worker": ["b:1", "c:1"], "evaluator": ["d:1"]})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type="worker", task_id=1)
    tasks = tasks_of(resolver)
    assert tasks == Tasks((("chief", 0), ("worker", 0), ("worker", 1)), 2)
    gone, handed = "target /job:worker/replica:0/task:0 while calling", "target /job:chief/replica:0/task:0 while"
    assert tasks.named(f"{gone}: Socket closed; {handed}") == [1]
    assert tasks.named(f"/job:worker/replica:0/task:1/device:CPU:0: {handed}") == [0]
    assert tasks.named("Collective has timed out; /job:evaluator/task:0") == []


def test_tasks_that_others_report_are_named_and_the_reporter_is_not():
    """By the coordination service, or by a worker that was told before; what is handed on holds such a report."""
    tasks = Tasks(tuple(("worker", number) for number in range(5)), 1)
    reported = "Collective ops is aborted by: Error reported from /job:worker/task:3: "
    listed = "The following tasks are unhealthy (stopped sending heartbeats):\n/job:worker/replica:0/task:"
    handed = "\nAdditional GRPC error information from remote target /job:worker/replica:0/task:0 while calling"
    assert tasks.named(f"{reported}{listed}4\n/job:worker/replica:0/task:1\nThe tasks have crashed.") == [4]
    told = f"{NO_ANSWER} /job:worker/replica:0/task:4 /job:worker/replica:0/task:2"
    assert tasks.named(f"{reported}{told}{handed}") == [4, 2]
    assert tasks.named(f"{reported}Socket closed{handed}") == [0]


def test_who_waits_in_vain_for_heartbeats_names_the_first_task_and_asks_nobody():
    """Those that heard of it before may have ended, and would not answer either."""
    error = tf.errors.DeadlineExceededError(None, None, "Collective ops is aborted by: Deadline Exceeded\n\nRPC: "
                                            "/tensorflow.CoordinationService/Heartbeat")  # fmt: skip
    tasks = Tasks((("worker", 0), ("worker", 1), ("worker", 2)), 1)
    assert tasks.gone(error) == [0]


def test_a_strategy_of_another_kind_is_refused():
    be = rnnspec.get_backend("tensorflow")
    for other in (tf.distribute.OneDeviceStrategy("CPU:0"), "two"):
        with pytest.raises(ArgumentError, match=r"must be a MultiWorkerMirroredStrategy or a MirroredStrategy of the "
                                                rf"backend's device, got {type(other).__name__}; give"):  # fmt: skip
            be.across(other)


def test_a_group_of_one_worker_gives_what_it_gets():
    group = rnnspec.get_backend("tensorflow").across(tf.distribute.MirroredStrategy(["CPU:0"])).group
    assert (group.rank, group.size) == (0, 1)
    assert group.sum([tf.ones(2)], [3])[1] == [3]


def test_a_graph_outside_of_replicas_has_no_mean_over_all(monkeypatch):
    """There nothing can be exchanged, and its own mean would be a wrong number that nobody sees."""
    be = rnnspec.get_backend("tensorflow").across(tf.distribute.MirroredStrategy(["CPU:0"]))
    own = tf.function(lambda: be.mean_loss(tf.constant(6.0), tf.constant(4)), autograph=False)
    assert own() == be.mean_loss(tf.constant(6.0), 4) == 1.5
    monkeypatch.setattr(be.group, "size", 2)
    with pytest.raises(UnsupportedError, match="must exchange within a replica, got a call outside of one; call it in"):
        tf.function(lambda: be.mean_loss(tf.constant(6.0), tf.constant(4)), autograph=False)()


def test_a_layer_is_that_of_the_backend_alone():
    be = rnnspec.get_backend("tensorflow").across(tf.distribute.MirroredStrategy(["CPU:0"]))
    layer = be.as_layer(Network(3, [Layer(cells.elman, 4)]))
    assert layer.backend is be.alone
