"""Faults of the exchange among workers: what is added up, in which precision, and what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Group, Network, Step
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, leaves

Sums = tuple[list[Array], list[int]]


class _Wrong(Group):
    """The group that a faulty backend makes of the right one."""

    def __init__(self, backend: Any, right: Group) -> None:
        self.backend, self.right = backend, right
        self.rank, self.size = right.rank, right.size

    def sum(self, arrays: list[Array], counts: list[int]) -> Sums:
        if not arrays:
            return self.right.sum([], self.backend.counted(counts))
        return self.backend.exchanged(self.right, arrays, counts)  # type: ignore[no-any-return]

    def gathered(self, number: int) -> list[int]:
        return self.backend.rows(self.right, number)  # type: ignore[no-any-return]


class _Exchanging(Faulty):
    """Everything as it should be. The backend without workers has the names of the arrays that an exchange adds up."""

    names: tuple[str, ...] = ()

    def make_group(self, workers: Any) -> Group:
        return _Wrong(self, super().make_group(workers))

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        """The sums of a step: the loss, then the gradients; the count, then a mark of each worker that failed."""
        return group.sum(arrays, counts)

    def counted(self, counts: list[int]) -> list[int]:
        """The counts that are given to an exchange without arrays."""
        return counts

    def rows(self, group: Group, number: int) -> list[int]:
        """The numbers of rows of all workers."""
        return group.gathered(number)

    def _stepped(self, net: Network, given: tuple[Tree, ...], more: tuple[Tree, ...]) -> Step:
        self.alone.names = ("loss", *(name for name, _ in leaves(net.parameter_shapes())))
        return super()._stepped(net, given, more)


class MeanOfMeans(_Exchanging):
    """All workers weigh the same, however many steps they have: sums are those of means, times the mean count."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        own = [a / a.dtype.type(max(counts[0], 1)) for a in arrays]
        means, totals = group.sum(own, counts)
        return [a * a.dtype.type(totals[0] / group.size) for a in means], totals


class CountStaysAlone(_Exchanging):
    """The count is that of a worker's own steps."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return found, [counts[0], *totals[1:]]


class LossStaysAlone(_Exchanging):
    """The loss is that of a worker's own rows."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return [arrays[0], *found[1:]], totals


class _Forgetting(_Exchanging):
    """Some gradients stay those of a worker's own rows."""

    word = ""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        known = self.names or ("",) * len(found)
        return [own if self.word in name else a for name, own, a in zip(known, arrays, found, strict=True)], totals


class OutputBiasStaysAlone(_Forgetting):
    """The gradient of the output layer's bias is not added up."""

    word = "output.b"


class SecondLayerStaysAlone(_Forgetting):
    """The gradients of the second layer are not added up."""

    word = "layers.1."


class ReverseHalvesStayAlone(_Forgetting):
    """The gradients of reverse halves are not added up."""

    word = ".reverse."


class LookupStaysAlone(_Forgetting):
    """The gradient of the lookup of classes is not added up."""

    word = "embedding.E"


class LearnedStatesStayAlone(_Forgetting):
    """The gradients of learned initial states are not added up."""

    word = ".initial."


class GradientsAreMeans(_Exchanging):
    """Gradients are averaged over workers, as frameworks do, and the loss and the count are added up."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        (loss, *found), totals = group.sum(arrays, counts)
        return [loss, *(a / a.dtype.type(group.size) for a in found)], totals


class SummedTwice(_Exchanging):
    """The sums are exchanged again, so that they count once for every worker."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return group.sum(found, [0] * len(counts))[0], totals


class OnlyTheLastRank(_Exchanging):
    """What the worker of the highest rank has overwrites what the others have."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        last = group.rank == group.size - 1
        return group.sum([a if last else np.zeros_like(a) for a in arrays], counts)


class NeighboursOnly(_Exchanging):
    """The first two workers are added up, and those of higher ranks are left out."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        return group.sum([a if group.rank < 2 else np.zeros_like(a) for a in arrays], counts)


class SumsInSixteenBits(_Exchanging):
    """Gradients are exchanged as bfloat16 numbers."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        return group.sum([_cut(a) for a in arrays], counts)


class CountsInFloat32(_Exchanging):
    """Counts travel as float32 numbers."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, [int(np.float32(counts[0])), *counts[1:]])
        return found, [int(np.float32(totals[0])), *totals[1:]]


class CountsAreShort(_Exchanging):
    """Counts travel as whole numbers of 32 bits."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return found, [totals[0] % 2**31, *totals[1:]]


class ArraysInAnotherOrder(_Exchanging):
    """Workers other than the first take gradients in another order, where shapes let them."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for place, a in enumerate(arrays[1:], 1):
            by_shape.setdefault(a.shape, []).append(place)
        order = [0] * len(arrays)
        for places in by_shape.values():
            for place, other in zip(places, reversed(places) if group.rank else places, strict=True):
                order[place] = other
        return group.sum([arrays[place] for place in order], counts)


class LastDigitsDiffer(_Exchanging):
    """Each worker adds up in an order of its own, so that last digits differ."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        found, totals = group.sum(arrays, counts)
        return [np.nextafter(a, np.inf).astype(a.dtype) if group.rank else a for a in found], totals


class NonFiniteLeftOut(_Exchanging):
    """Numbers that are not finite are left out of the sums."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        return group.sum([np.where(np.isfinite(a), a, np.zeros_like(a)) for a in arrays], counts)


class FailuresForgotten(_Exchanging):
    """The others go on without the rows of a worker whose call failed."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        return group.sum(arrays, [counts[0], *[0] * group.size])


class EmptyWorkersStayAway(_Exchanging):
    """A worker without a step takes no part in the exchange."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        return group.sum(arrays, counts) if any(counts) else (arrays, counts)


class HandedOnInSixteenBits(_Exchanging):
    """States and cotangents that a worker hands to the next have the digits of bfloat16."""

    def exchanged(self, group: Group, arrays: list[Array], counts: list[int]) -> Sums:
        given = arrays if len(counts) > group.size else [_cut(a) for a in arrays]
        return group.sum(given, counts)


class MasksOfTheFirstWorker(_Exchanging):
    """All workers have the masks of the first one's rows."""

    def rows(self, group: Group, number: int) -> list[int]:
        return [0] * group.size


class WorkersTakenForEqual(_Exchanging):
    """A worker takes all others to have as many rows as itself, where noise counts them."""

    def rows(self, group: Group, number: int) -> list[int]:
        return [number] * group.size


class NoiseCountsFromTheLastRank(_Exchanging):
    """The rows of a worker follow those of higher ranks, where noise counts them."""

    def rows(self, group: Group, number: int) -> list[int]:
        found = group.gathered(number)
        return [sum(found[group.rank + 1 :]), *[0] * (group.size - 1)] if group.rank else [0] * group.size


def _cut(a: Array) -> Array:
    """An array with the digits of bfloat16."""
    bits = a.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)
    return rounded.astype(np.uint32).view(np.float32).astype(a.dtype)
