"""PyTorch across workers: a process group is a group, and what is none is refused in words."""

import pytest
import torch
from torch import distributed

import rnnspec
from rnnspec.errors import ArgumentError


@pytest.fixture
def alone():
    """A process group of this process."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield distributed.group.WORLD
    distributed.destroy_process_group()


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
    found, counts = group.sum(given, [2**47 + 1, 0])
    assert counts == [2**47 + 1, 0]
    assert [a.dtype for a in found] == [dtype] * 3
    for a, b in zip(found, given, strict=True):
        assert torch.equal(a, b)
    assert group.sum([], [3, 4]) == ([], [3, 4])
    assert (group.rank, group.size) == (0, 1)
