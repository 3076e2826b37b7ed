"""The frameworks' own loaders, as the page of launchers shows them: every row once, and the sums of one process."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from rnnspec import Layer, Network, cells, losses
from rnnspec.tree import leaves
from rnnspec.workers.pretended import pretended, together

NAMES = ("numpy", "torch", "tensorflow")
SHARES = [(1, 1, 2), (7, 1, 3), (7, 2, 2), (10, 4, 2), (12, 3, 2), (13, 3, 4), (2, 5, 1), (9, 4, 2)]


@pytest.fixture(scope="module")
def loaders(examples):
    return examples("loaders")


@pytest.fixture(scope="module", params=NAMES)
def loader(request, loaders):
    return loaders.LOADERS[request.param]


def epoch(loaders, loader, rows, size, batch, number):
    """The batches of each worker."""
    return [list(loaders.in_step(loader(rows, rank, size, batch, number), rows, size, batch)) for rank in range(size)]


@pytest.mark.parametrize(("count", "size", "batch"), SHARES)
def test_every_row_comes_once_and_all_workers_make_the_same_updates(count, size, batch, loaders, loader):
    rows = np.arange(count)
    found = epoch(loaders, loader, rows, size, batch, 3)
    assert sorted(np.concatenate([np.concatenate(own) for own in found])) == list(range(count))
    assert {len(own) for own in found} == {-(-count // (size * batch))}
    whole, = epoch(loaders, loader, rows, 1, size * batch, 3)
    for update, expected in enumerate(whole):  # the rows of each update are those of one process
        assert sorted(np.concatenate([own[update] for own in found])) == sorted(expected)


def test_epochs_have_other_orders(loaders, loader):
    first, second = (np.concatenate(epoch(loaders, loader, np.arange(50), 1, 8, number)[0]) for number in (1, 2))
    assert list(first) != list(second)


@pytest.mark.parametrize(("count", "size", "batch"), [(10, 4, 2), (7, 2, 2), (2, 5, 1)])
def test_uneven_batches_give_the_sums_of_one_process(count, size, batch, loaders, loader):
    rng = np.random.default_rng(0)
    net = Network(3, [Layer(cells.gru, hidden=4)], loss=losses.SquaredError())
    be, params, rows = rnnspec.get_backend("numpy", precision="f64"), net.init(0), rng.normal(size=(count, 5, 7))

    def steps(worker, rank, among, of):
        given = loaders.in_step(loader(rows, rank, among, of, 1), rows, among, of)
        return [worker.value_and_grad(net, params, own[..., :3].swapaxes(0, 1), own[..., 3:].swapaxes(0, 1))
                for own in given]  # fmt: skip

    whole = steps(be, 0, 1, size * batch)
    found = together(pretended(be, size), lambda group: steps(be.across(group), group.rank, size, batch))
    assert sum(step.count for step in whole) == 5 * count
    for own in found:
        for step, expected in zip(own, whole, strict=True):
            assert step.count == expected.count
            assert step.loss_sum == pytest.approx(expected.loss_sum, rel=1e-13)
            right = dict(leaves(expected.grads.params))
            for name, a in leaves(step.grads.params):
                np.testing.assert_allclose(a, right[name], rtol=0, atol=1e-13 * np.abs(right[name]).max(), err_msg=name)


def test_the_sampler_alone_repeats_rows_or_loses_some():
    sampler = pytest.importorskip("torch").utils.data.DistributedSampler

    def read(**options):
        return sorted(n for rank in range(4) for n in sampler(range(10), 4, rank, shuffle=False, **options))

    assert read() == sorted([*range(10), 0, 1])
    assert read(drop_last=True) == list(range(8))
