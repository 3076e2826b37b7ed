"""Faults in the halves of chunks: products of decays, the triangular system of a feedback, and their gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar
from unittest.mock import patch

import numpy as np

from conformance.mutants.parallel.kernels import InParallel, WithScan, of_matrices
from rnnspec.running import chunks
from rnnspec.running.chunks import ChunkScan
from rnnspec.running.meeting import Meeting
from rnnspec.running.triangular import system

LEAST = 1e-12


class _Joined(ChunkScan):
    """Reads and writes of a chunk meet in another way."""

    meeting: ClassVar[type[_Meeting]]

    def _meeting(self, given: Any) -> Any:
        return self.meeting(super()._meeting(given))


class _Meeting:
    """A meeting as it should be."""

    def __init__(self, right: Meeting) -> None:
        self.right = right

    def join(self, given: Any) -> Any:
        return self.right.join(given)

    def pull(self, *given: Any) -> Any:
        return self.right.pull(*given)


def _with(scan: type[ChunkScan]) -> Any:
    return of_matrices(type(f"Of{scan.__name__}", (WithScan,), {"scan": scan}))


def _meeting(meeting: type[_Meeting]) -> Any:
    return _with(type(f"By{meeting.__name__}", (_Joined,), {"meeting": meeting}))


class _Quotients(_Meeting):
    def join(self, given: Any) -> Any:
        queries, keys, decay = given
        if decay is None:
            return super().join(given)
        products = np.maximum(np.cumprod(decay, -3), LEAST)
        before = np.concatenate([np.ones_like(products[..., :1, :, :]), products[..., :-1, :, :]], -3)
        return super().join((queries, keys, products / before))


class DecaysByDivision(InParallel):
    """The decay between two steps is a quotient of products from the beginning of a chunk, held above 1e-12."""

    kernel = _meeting(_Quotients)


class _TransposedSystem(ChunkScan):
    def run(self, given: Any, state: Any) -> Any:
        with patch.object(chunks, "system", _transposed):
            return super().run(given, state)


class _HalfASystem(ChunkScan):
    def run(self, given: Any, state: Any) -> Any:
        with patch.object(chunks, "system", _halves):
            return super().run(given, state)


def _transposed(arrays: Any, matrix: Any, block: int) -> Any:
    return system(arrays, np.array(np.swapaxes(matrix[..., ::-1, ::-1], -1, -2)), block)


def _halves(arrays: Any, matrix: Any, block: int) -> Any:
    half, matrix = matrix.shape[-1] // 2, np.array(matrix)
    if half >= block:
        matrix[..., half:, :half] = 0
    return system(arrays, matrix, block)


class FeedbackTurned(InParallel):
    """The triangular system of a feedback is turned about its other diagonal: time runs backward in it."""

    kernel = _with(_TransposedSystem)


class FeedbackWithinHalves(InParallel):
    """What a chunk's first half writes has no effect on what the second half writes."""

    kernel = _with(_HalfASystem)


class _OneHalf(_Meeting):
    def pull(self, *given: Any) -> Any:
        queries, keys, decay = super().pull(*given)
        if decay is None:
            return queries, keys, None
        late = np.arange(decay.shape[-3]) >= decay.shape[-3] // 2
        return queries, keys, np.where(late[:, None, None], decay.dtype.type(0), decay)


class DecaysOfOneHalfLearn(InParallel):
    """The decays of a chunk's second half have no gradient."""

    kernel = _meeting(_OneHalf)


class _WithoutAcross(_Meeting):
    def pull(self, given: Any, met: Any, products: Any, *others: Any) -> Any:
        products = np.array(products)
        rows, columns = (n // 2 for n in products.shape[-2:])
        if given[1].shape[-3] > 1:
            products[..., rows:, :columns] = 0
        return super().pull(given, met, products, *others)


class ReadsAcrossHalvesDoNotLearn(InParallel):
    """What a chunk's second half reads of the first one gives its keys, queries and decays no gradient."""

    kernel = _meeting(_WithoutAcross)


class _NotDecayed(_Meeting):
    def join(self, given: Any) -> Any:
        met = super().join(given)
        return replace(met, keys=np.reshape(given[1], met.keys.shape))


class WritesDoNotDecayToTheEnd(InParallel):
    """What a chunk writes has at its end the size that it had when it was written."""

    kernel = _meeting(_NotDecayed)
