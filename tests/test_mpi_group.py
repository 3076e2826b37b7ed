"""The group of a communicator: sums in the order of ranks, rounded once, from any communicator that can send."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from backends.numpy_backend.group import MpiGroup
from rnnspec import errors
from tests.workers.post import posts
from tests.workers.threads import each


def together(function, comms):
    """`function(group)` for each communicator, each on a thread."""
    return each(function, [MpiGroup(comm, seconds=10.0) for comm in comms])


def brought(rank, dtype):
    """Numbers whose sum depends on its order, of several shapes."""
    rng = np.random.default_rng(rank)
    return [(rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)).astype(dtype)
            for shape in ((), (0, 3), (5, 7), (11,))]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_sums_are_in_float64_in_the_order_of_ranks_and_rounded_once(size, dtype):
    found = together(lambda group: group.sum(brought(group.rank, dtype), [group.rank, 2**40]), posts(size))
    expected = [sum(part.astype(np.float64) for part in parts).astype(dtype)
                for parts in zip(*(brought(rank, dtype) for rank in range(size)), strict=True)]  # fmt: skip
    for sums, counts in found:
        assert counts == [sum(range(size)), size * 2**40]
        for own, wanted in zip(sums, expected, strict=True):
            assert (own.dtype, own.shape, own.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


def test_what_is_not_finite_is_added_up_without_a_warning():
    given = {0: [3e38, np.inf, np.nan], 1: [3e38, -np.inf, 0.0]}
    for (found,), _ in together(lambda group: group.sum([np.float32(given[group.rank])], []), posts(2)):
        np.testing.assert_array_equal(found, np.float32([np.inf, np.nan, np.nan]))


def test_a_sum_of_nothing_waits_for_everybody():
    assert together(lambda group: group.sum([], []), posts(3)) == [([], [])] * 3


def test_the_numbers_of_a_worker_stay_its_own():
    """What is given is not written to, and what comes back is no view of it."""
    def kept(group):
        own = np.full(3, group.rank + 1.0)
        (found,), _ = group.sum([own], [])
        found += 1.0
        return own.tolist()

    assert together(kept, posts(2)) == [[1.0] * 3, [2.0] * 3]
    assert together(kept, posts(1)) == [[1.0] * 3]


def test_an_error_of_mpi_is_one_of_the_workers(monkeypatch):
    (comm, _) = posts(2)

    def broken(buffer, dest, tag):
        raise RuntimeError("MPI_ERR_PROC_FAILED: process failure")

    monkeypatch.setattr(comm, "Isend", broken)
    group = MpiGroup(comm)
    with pytest.raises(errors.WorkerError, match=r"got an error of MPI: .*MPI_ERR_PROC_FAILED"):
        group.sum([], [1])
    with pytest.raises(errors.WorkerError, match="none in an earlier call"):
        group.sum([], [1])


def test_a_backend_takes_a_communicator():
    comm = posts(4)[3]
    be = rnnspec.get_backend("numpy").across(comm)
    assert (be.group.rank, be.group.size) == (3, 4)
    assert repr(be).endswith(", worker 3 of 4>")
    assert be.recomputing().group is not None


@pytest.mark.parametrize("wrong", [object(), np.zeros(2), "world"])
def test_what_is_no_communicator_is_refused(wrong):
    with pytest.raises(errors.ArgumentError, match=r"numpy.across\(workers\): workers must be a group"):
        rnnspec.get_backend("numpy").across(wrong)
