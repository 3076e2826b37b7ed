"""PyTorch across workers: what a group is, what two processes find, and what happens when one of them is killed."""

import gc
import os
import re
import runpy
import shutil
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

import rnnspec
from conformance.tolerance import PROFILES
from rnnspec import Layer, Network, cells
from rnnspec.errors import ArgumentError, UnsupportedError
from tests.workers.launching import ROOT, ended, launched, ran
from tests.workers.problems import PROBLEMS, assert_passed, verdicts
from tests.workers.rendezvous import rendezvous
from tests.workers.torch_worker import KINDS, PIECES, Stack, descend
from tests.workers.trees import part

EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "workers-torch.md").read_text()
COMMANDS = {match[1]: match[0] for match in re.finditer(r"^torchrun .* (torch_\w+)\.py$", PAGE, re.MULTILINE)}
"""How the page launches each script."""
RESTARTED = re.search(r"^TORCH.* --max-restarts .*$", PAGE, re.MULTILINE)[0]


@pytest.fixture
def alone():
    """A process group of this process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the workers keep a model in shards."""
    return tmp_path_factory.mktemp("shards")


@pytest.fixture(scope="module")
def found(folder):
    """What each of two workers found in all pieces."""
    environment = rendezvous(2)
    return launched("tests/workers/torch_worker.py", 2, lambda rank: environment(rank) | {"FOLDER": str(folder)}, 180,
                    list(PIECES))  # fmt: skip


def same(one, other, rtol=1e-10, atol=1e-14):
    assert one.keys() == other.keys()
    assert one
    for name, array in one.items():
        np.testing.assert_allclose(array, other[name], rtol, atol, err_msg=name)


def test_without_torch_distributed_there_is_no_group():
    be = rnnspec.get_backend("torch")
    for workers in (distributed.group.WORLD, object()):
        with pytest.raises(ArgumentError, match=r"distributed must be initialised, got .*; call torch"):
            be.across(workers)


def test_what_is_no_process_group_is_refused(alone):
    be = rnnspec.get_backend("torch")
    for workers in (None, 2, "gloo", distributed.GroupMember.NON_GROUP_MEMBER):
        with pytest.raises(ArgumentError, match="workers must be a process group that this worker belongs to, got"):
            be.across(workers)


def test_a_group_that_does_not_serve_the_device_is_refused(alone, monkeypatch):
    monkeypatch.setattr(distributed, "get_backend_config", lambda group: "cuda:nccl")
    with pytest.raises(ArgumentError, match="must serve cpu, the device of the backend, got 'cuda:nccl'"):
        rnnspec.get_backend("torch", precision="f64").across(alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_sum_has_the_shapes_and_the_dtypes_of_what_was_given(alone, dtype):
    group = rnnspec.get_backend("torch").across(alone).group
    given = [torch.linspace(-1, 1, 6, dtype=dtype).reshape(2, 3).T, torch.ones((), dtype=dtype),
             torch.ones((0, 2), dtype=dtype)]  # fmt: skip
    sums, counts = group.sum(given, [2**47 + 1, 0])
    assert counts == [2**47 + 1, 0]
    assert [a.dtype for a in sums] == [dtype] * 3
    for a, b in zip(sums, given, strict=True):
        assert torch.equal(a, b)
    assert group.sum([], [3, 4]) == ([], [3, 4])
    assert (group.rank, group.size) == (0, 1)


def test_a_backend_keeps_no_process_group_alive():
    """PyTorch aborts a process that ends with one."""
    be = rnnspec.get_backend("torch")
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    held = be.across(distributed.group.WORLD)
    assert be.across(distributed.group.WORLD) is held
    distributed.destroy_process_group()
    gc.collect()
    with pytest.raises(ArgumentError, match="the process group must exist, got one that was destroyed"):
        held.group.sum([], [1])


def test_a_module_of_which_a_branch_is_in_shards_is_refused(alone):
    module = rnnspec.get_backend("torch").as_layer(Network(3, [Layer(cells.gru, 4)]))
    fully_shard(module.layers, mesh=init_device_mesh("cpu", (1,)))
    with pytest.raises(UnsupportedError, match="parameters must be gathered when the module runs, got a DTensor"):
        module(torch.zeros(2, 1, 3))


@pytest.mark.parametrize("precision", ["f32", "f64", "bf16"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_ten_steps_of_two_workers_are_those_of_one_process(found, name, precision):
    assert_passed(verdicts(part(found[0], f"steps.{name}-{precision}"), PROBLEMS[name], PROFILES[precision]))


def test_the_bits_are_equal_on_both_workers(found):
    steps = part(found[0], "steps")
    assert len(steps) > 1000
    for name, array in steps.items():
        assert array.tobytes() == found[1][f"steps.{name}"].tobytes(), name


def test_rows_have_the_noise_of_the_whole_batch(found):
    for worker in found:
        same(part(worker, "noise.found"), part(worker, "noise.one"))


def test_a_step_that_is_not_finite_on_one_worker_is_skipped_or_raised_on_both(found):
    for worker in found:
        assert (bool(worker["not_a_number.moved"]), int(worker["not_a_number.skipped"])) == (False, 1)
        assert str(worker["not_a_number.raised"]).startswith("NonFiniteError: train_step: gradients must be finite")


@pytest.mark.parametrize("call", ["step", "gradient"])
def test_a_bad_batch_of_one_worker_ends_the_call_on_both_and_not_the_next(found, call):
    own, other = (str(worker[f"bad_batch.{call}"]) for worker in found)
    assert own.startswith("TargetError: torch.")
    assert other.startswith("WorkerError: torch.")
    assert "every worker's own call must succeed, got an error of rank 0" in other
    for worker in found:
        assert int(worker["bad_batch.count"]) == 15
        assert worker["bad_batch.after"] == found[0]["bad_batch.after"]


@pytest.mark.parametrize("kind", [each + rows for each in KINDS for rows in ("", ", no rows")])
def test_modules_learn_as_in_one_process(found, kind):
    """Gradients, their norms, and parameters after clipped steps of Adam."""
    for worker in found:
        same(part(worker, f"modules.{kind}"), part(found[0], "modules.one"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_means_is_another_gradient(found, kind):
    one, other = (part(found[0], f"modules.{name}.gradients") for name in ("one", f"{kind}, mean of means"))
    assert max(np.abs(one[name] - other[name]).max() for name in one) > 0.01


def test_shards_of_two_workers_are_read_by_one(found, folder, alone):
    model = Stack(rnnspec.get_backend("torch", precision="f64"))
    optimiser = torch.optim.Adam(model.parameters(), 0.05)
    params, state = get_state_dict(model, optimiser)
    checkpoint.load({"model": params, "optimiser": state}, checkpoint_id=folder)
    set_state_dict(model, optimiser, model_state_dict=params, optim_state_dict=state)
    descend(model, optimiser, slice(None), lambda total, count: total / count)
    same({str(i): a.detach().numpy() for i, a in enumerate(model.parameters())}, part(found[0], "shards.parameters"))


def launch(command, folder):
    """What a command of the page prints, in a folder that has the examples."""
    for path in EXAMPLES.glob("*.py"):
        shutil.copy(path, folder)
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return ran(["sh", "-c", command], {"PATH": found, "RNNSPEC_CALIBRATION": "off"}, 180, folder)


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """A folder for each script of the page, and what its command prints there."""
    places = {name: tmp_path_factory.mktemp(name) for name in COMMANDS}
    return {name: (place, launch(COMMANDS[name], place)) for name, place in places.items()}


@pytest.fixture
def by_itself(tmp_path, monkeypatch, capfd):
    """Runs a script in this process, the only worker of a group."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name, value in rendezvous(1)(0).items():
        monkeypatch.setenv(name, value)

    def run(name):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capfd.readouterr().out

    yield run
    if distributed.is_initialized():
        distributed.destroy_process_group()


def test_the_page_launches_every_script():
    assert sorted(COMMANDS) == ["torch_ddp", "torch_fsdp", "torch_workers"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_prints_with_two_workers_what_it_prints_with_one(examples, by_itself, name):
    printed = by_itself(name)
    assert examples[name][1] == printed
    assert printed.count("step ") == 10


def test_shards_become_one_file_and_the_file_becomes_shards(examples, alone, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    from_file = import_module("torch_shards").from_file
    place, _ = examples["torch_fsdp"]
    be = rnnspec.get_backend("torch", precision="f64")
    net, params = rnnspec.load(place / "model.safetensors")
    assert [layer.cell.name for layer in net.layers] == ["lstm", "gru"]
    module = from_file(place / "model.safetensors", be, init_device_mesh("cpu", (1,)))
    x = torch.linspace(-1, 1, 12).double().reshape(4, 3, 1)
    assert all(type(a).__name__ == "DTensor" for a in module.parameters())
    assert torch.equal(module(x)[0], be.run(net, params, x).outputs)
    kept = checkpoint.FileSystemReader(place / "shards" / "10").read_metadata().state_dict_metadata
    assert "params.parts.0.layers.0.forward.W.i" in kept


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_worker_is_named_by_the_other_and_tears_no_file(tmp_path, killed):
    environment = rendezvous(2)
    workers = ended("tests/workers/torch_killed.py", 2, lambda rank: environment(rank) | {"FOLDER": str(tmp_path)}, 120,
                    [str(killed), "6"])  # fmt: skip
    left = workers[1 - killed]
    assert workers[killed].status == -9, workers[killed].said
    assert left.status == 1, left.said
    assert f"every worker must answer, got none of rank {killed} after" in str(left.gave["error"])
    assert load_file(tmp_path / "training.safetensors")


def test_torchrun_starts_again_from_the_last_checkpoint_and_ends_with_the_same_bits(examples, tmp_path):
    script = ROOT / "tests" / "workers" / "torch_killed.py"
    printed = launch(RESTARTED.replace("torch_workers.py", f"{script} 1 6"), tmp_path)
    assert (tmp_path / "killed").exists()
    assert "step 10:" in printed
    place, _ = examples["torch_workers"]
    resumed, undisturbed = (load_file(folder / "training.safetensors") for folder in (tmp_path, place))
    assert {name: a.tobytes() for name, a in resumed.items()} == {name: a.tobytes() for name, a in undisturbed.items()}
