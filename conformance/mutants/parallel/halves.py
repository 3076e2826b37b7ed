"""Faults in the halves of chunks: products of decays, the triangular system of a feedback, and their gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.parallel.kernels import InParallel, WithHalves, of_matrices
from rnnspec.running.halves import Halves, turned

LEAST = 1e-12


def _with(halves: type[Halves]) -> Any:
    return of_matrices(type(f"Of{halves.__name__}", (WithHalves,), {"halves": halves}))


class _Quotients(Halves):
    def join(self, queries: Any, keys: Any, decay: Any, feedback: Any) -> Any:
        products = np.maximum(np.cumprod(decay, -3), LEAST)
        before = np.concatenate([np.ones_like(products[..., :1, :, :]), products[..., :-1, :, :]], -3)
        return super().join(queries, keys, products / before, feedback)


class DecaysByDivision(InParallel):
    """The decay between two steps is a quotient of products from the beginning of a chunk, held above 1e-12."""

    kernel = _with(_Quotients)


class _Transposed(Halves):
    def _solved(self, solved: Any, across: Any) -> Any:
        return super()._solved(solved, turned(self.arrays, across))


class FeedbackTransposed(InParallel):
    """The triangular system of a feedback is transposed in the block between two halves."""

    kernel = _with(_Transposed)


class _WithoutTheLast(Halves):
    def _solved(self, solved: Any, across: Any) -> Any:
        return super()._solved(solved, across if across.shape[-3] > 1 else np.zeros_like(across))


class FeedbackWithinHalves(InParallel):
    """What a chunk's first half writes has no effect on what the second half writes."""

    kernel = _with(_WithoutTheLast)


class _OneHalf(Halves):
    def pull(self, *given: Any) -> Any:
        queries, keys, decay = super().pull(*given)
        late = np.arange(decay.shape[-3]) >= decay.shape[-3] // 2
        return queries, keys, np.where(late[:, None, None], decay.dtype.type(0), decay)


class DecaysOfOneHalfLearn(InParallel):
    """The decays of a chunk's second half have no gradient."""

    kernel = _with(_OneHalf)


class _WithoutAcross(Halves):
    def pull(self, met: Any, given: Any, products: Any, queries: Any, keys: Any, decay: Any) -> Any:
        products = np.array(products)
        rows, columns = (n // 2 for n in products.shape[-2:])
        if met.boundaries:
            products[..., rows:, :columns] = 0
        return super().pull(met, given, products, queries, keys, decay)


class ReadsAcrossHalvesDoNotLearn(InParallel):
    """What a chunk's second half reads of the first one gives its keys, queries and decays no gradient."""

    kernel = _with(_WithoutAcross)


class _NotDecayed(Halves):
    def join(self, queries: Any, keys: Any, decay: Any, feedback: Any) -> Any:
        met = super().join(queries, keys, decay, feedback)
        own = np.reshape(keys, met.keys.shape)
        return replace(met, keys=own)


class WritesDoNotDecayToTheEnd(InParallel):
    """What a chunk writes has at its end the size that it had when it was written."""

    kernel = _with(_NotDecayed)
