"""Rows in shards, by each framework's own loader: every row once in an epoch, whatever the number of workers.

Worker `rank` of `size` reads every `size`-th row of an epoch's order, which all workers draw alike. Each update is one
exchange, so all workers make the same number of them; who has no rows left takes part with empty batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat
from typing import Any

import numpy as np


class Once:
    """The rows of a `DistributedSampler` without those that it repeats, so that every worker has equally many."""

    def __init__(self, sampler: Any) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        return len(range(self.sampler.rank, len(self.sampler.dataset), self.sampler.num_replicas))

    def __iter__(self) -> Iterator[int]:
        return islice(self.sampler, len(self))


def torch_batches(rows: np.ndarray, rank: int, size: int, batch: int, epoch: int) -> Iterator[np.ndarray]:
    import torch  # noqa: PLC0415  # one framework is loaded, not four

    dataset = torch.utils.data.TensorDataset(torch.from_numpy(rows))
    sampler = torch.utils.data.DistributedSampler(dataset, size, rank)
    sampler.set_epoch(epoch)
    for (found,) in torch.utils.data.DataLoader(dataset, batch, sampler=Once(sampler)):
        yield found.numpy()


def tensorflow_batches(rows: np.ndarray, rank: int, size: int, batch: int, epoch: int) -> Iterator[np.ndarray]:
    import tensorflow as tf  # noqa: PLC0415

    dataset = tf.data.Dataset.from_tensor_slices(rows).shuffle(len(rows), seed=epoch)
    yield from dataset.shard(size, rank).batch(batch).as_numpy_iterator()


def plain_batches(rows: np.ndarray, rank: int, size: int, batch: int, epoch: int) -> Iterator[np.ndarray]:
    """For JAX, whose rank is `jax.process_index()`, and for NumPy; grain's `MapDataset` is sliced in the same way."""
    own = np.random.default_rng(epoch).permutation(len(rows))[rank::size]
    for low in range(0, len(own), batch):
        yield rows[own[low : low + batch]]


LOADERS = {"numpy": plain_batches, "torch": torch_batches, "jax": plain_batches, "tensorflow": tensorflow_batches}


def in_step(batches: Iterable[np.ndarray], rows: np.ndarray, size: int, batch: int) -> Iterator[np.ndarray]:
    """The batches of a worker's epoch, and empty ones up to the number of updates of all workers."""
    updates = -(-len(rows) // (size * batch))
    return islice(chain(batches, repeat(rows[:0])), updates)
