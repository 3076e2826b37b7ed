"""Exchanges among workers that lose, repeat or mix what each of them brings."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Group
from rnnspec.contract.arrays import Array

Sums = tuple[list[Array], list[int]]


class _Changed(Group):
    """A group that changes what goes into an exchange and what comes out of it."""

    def __init__(self, backend: Any, right: Group) -> None:
        self.backend, self.right = backend, right
        self.rank, self.size = right.rank, right.size

    def sum(self, arrays: list[Array], counts: list[int]) -> Sums:
        if not arrays:
            return self.right.sum(arrays, counts)
        return self.backend.between(self.right, arrays, counts)  # type: ignore[no-any-return]


class _Exchanging(Faulty):
    """Everything as it should be."""

    def make_group(self, workers: Any) -> Group:
        return _Changed(self, super().make_group(workers))

    def between(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        """The sums of a step."""
        return group.sum(arrays, counts)


class OnlyTheFirstRankIsHeard(_Exchanging):
    """A worker of rank 0 sends its gradients to all others, and asks for none."""

    kind: ClassVar[str] = "workers"

    def between(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        (loss, *_), totals = group.sum(arrays, counts)
        first = [a if group.rank == 0 else np.zeros_like(a) for a in arrays[1:]]
        return [loss, *group.sum(first, [0] * len(counts))[0]], totals


class VectorsAreNotAddedUp(_Exchanging):
    """Biases stay as each worker found them: the exchange takes matrices alone."""

    kind: ClassVar[str] = "workers"

    def between(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return [own if own.ndim == 1 else a for own, a in zip(arrays, found, strict=True)], totals


class OwnGradientsCountTwice(_Exchanging):
    """A worker adds the sums of all to its own gradients, which are in them already."""

    kind: ClassVar[str] = "workers"

    def between(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        (loss, *found), totals = group.sum(arrays, counts)
        return [loss, *(a + own for a, own in zip(found, arrays[1:], strict=True))], totals


class SumsOfTheStepBefore(_Exchanging):
    """A worker of another rank than 0 gets the sums that the exchange before had."""

    kind: ClassVar[str] = "workers"

    def between(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found = group.sum(arrays, counts)
        before = vars(self).setdefault("before", {}).get(group.rank, found)
        vars(self)["before"][group.rank] = found
        fits = [a.shape for a in before[0]] == [a.shape for a in found[0]]
        return before if group.rank and fits else found
