"""A group: the workers that share a call, as one of them sees it."""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.errors import WorkerError
from rnnspec.tree import Tree, leaves

__all__ = ["Group", "no_answer"]


class Group(ABC):
    """The workers that share a call. `rank` is the number of this worker, 0 to `size` - 1.

    A group has one operation, the sum: the author of an engine writes no other. What one worker hands to another is a
    sum to which the others add zeros.
    """

    rank: int
    size: int

    @abstractmethod
    def sum(self, arrays: list[Array], counts: list[int]) -> tuple[list[Array], list[int]]:
        """The sums over all workers, in one exchange; every worker gets the same bits.

        `arrays` are the backend's own, of the same shapes and dtypes on every worker; bf16 and f16 are added up in
        float32, and rounded once. `counts` are whole numbers of at least 0, whose sums are exact below 2^48. Raises
        WorkerError where a worker does not answer.
        """

    def gathered(self, number: int) -> list[int]:
        """The numbers of all workers, in the order of ranks; whole numbers of 0 to 2^48 - 1."""
        return self.sum([], [number if rank == self.rank else 0 for rank in range(self.size)])[1]

    def agree(self, tree: Tree) -> None:
        """Raise WorkerError, on every worker, where a tree of NumPy arrays has other bits than on rank 0."""
        found = self.gathered(_checksum(tree))
        others = [rank for rank, sum_ in enumerate(found) if sum_ != found[0]]
        if others:
            raise WorkerError("group.agree(tree)", "every worker must have the numbers of rank 0",
                              f"others on rank {', '.join(map(str, others))}",
                              "initialise with the same seed, or load the same file, on every worker")  # fmt: skip


def no_answer(ranks: list[int], seconds: float) -> WorkerError:
    """The error of a sum to which these workers did not come; `seconds` is how long this one waited for them."""
    who = f"none of rank {', '.join(map(str, ranks))}" if ranks else "none of some rank"
    return WorkerError("group.sum(arrays, counts)", "every worker must answer", f"{who} after {seconds:.3g} s",
                       "look at its output, and start again from the last checkpoint")  # fmt: skip


def _checksum(tree: Tree) -> int:
    found = 0
    for name, array in sorted(leaves(tree)):
        own = np.ascontiguousarray(array)
        found = zlib.crc32(own.tobytes(), zlib.crc32(f"{name} {own.dtype} {own.shape}".encode(), found))
    return found
