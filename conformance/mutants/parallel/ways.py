"""Faults in which path runs in parallel over time and what it says, in segments, and with infinite numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.parallel.kernels import InParallel
from rnnspec import Call, Cell, Path
from rnnspec.contract.kernel import Kernel
from rnnspec.derivation.parallel import Chunks
from rnnspec.errors import UnsupportedError
from rnnspec.running import recomputation
from rnnspec.running.parallel import InSegments, Parallel
from rnnspec.tree import tree_map


class _Unnamed(Parallel):
    def path(self, state: Any, steps: int) -> str:
        return Path.GENERIC.value


class PathIsCalledGeneric(InParallel):
    """What runs in parallel over time is called generic."""

    kernel = _Unnamed


class _OneLength(Parallel):
    def path(self, state: Any, steps: int) -> str:
        return super().path(state, 1 << 20)


class ChunksAreCalledLonger(InParallel):
    """The path names the chunks that were asked for, where the sequence is shorter and they are too."""

    kernel = _OneLength


class ParallelUnasked(InParallel):
    """A backend that must go step by step runs in parallel over time."""

    def through(self, path: Path) -> Any:
        return super().through(Path.PARALLEL if path is Path.GENERIC else path)


class StepByStepInSecret(InParallel):
    """A layer without a parallel form runs step by step, where it must be refused."""

    def runner(self, cell: Cell, call: Call) -> Kernel:
        try:
            return super().runner(cell, call)
        except UnsupportedError:
            return self


class _Trusting(Parallel):
    def _finite(self, tree: Any) -> Any:
        return np.bool_(True)


class InfinityReachesAll(InParallel):
    """Where a number is infinite or NaN, its products with zeros count."""

    kernel = _Trusting


class _TrustingBack(Parallel):
    def layer_pullback(self, cell: Any, params: Any, result: Any, *given: Any) -> Any:
        tape = replace(result.saved, finite=np.bool_(True))
        trusting = _Trusting(self.arrays, self.form, self.chunk, self.at_once)
        return Parallel.layer_pullback(trusting, cell, params, replace(result, saved=tape), *given)


class InfinityReachesAllGradients(InParallel):
    """Where a number is infinite or NaN, the outputs are right, and the gradients of all rows are NaN."""

    kernel = _TrustingBack


class _Fresh(InSegments):
    def _scan(self, counting: Any) -> Any:
        right = super()._scan(counting)

        def forgetful(body: Any, carried: Any, values: Any, count: int, backwards: bool) -> Any:
            last, found = right(body, carried, values, count, backwards)
            return (last if backwards else tree_map(np.zeros_like, last)), found

        return forgetful


class SegmentsBeginWithZeros(InParallel):
    """The steps after the last full segment begin with states of zeros."""

    segments = _Fresh


class _LateResets(InSegments):
    def _segments(self, values: Any, n: int, whole: int) -> Any:
        found = super()._segments(values, n, whole)
        marks = (recomputation.HERE, recomputation.STEPS)
        return {name: np.roll(a, 1, 1) if name in marks else a for name, a in found.items()}


class ResetsOfSegmentsAStepLate(InParallel):
    """In a segment, resets come one step late."""

    segments = _LateResets


class _LengthsOfTheWhole(InSegments):
    def left(self, lengths: Any, first: Any, steps: int) -> Any:
        return super().left(lengths, 0, steps)


class SegmentsHaveTheLengthsOfTheWhole(InParallel):
    """Every segment takes rows to be as long as all of the sequence."""

    segments = _LengthsOfTheWhole


class _Changed(InParallel):
    """Its chunks are other ones than those of the form."""

    def faulty(self, kernel: Parallel) -> Parallel:
        stages = tuple(self.changed(s) if isinstance(s, Chunks) else s for s in kernel.form.stages)
        return Parallel(kernel.arrays, replace(kernel.form, stages=stages), kernel.chunk, kernel.at_once)

    def changed(self, stage: Chunks) -> Chunks:
        return stage


class ReadsExchanged(_Changed):
    """What two queries read of a matrix is exchanged."""

    def changed(self, stage: Chunks) -> Chunks:
        if len(stage.reads) < 2:
            return stage
        leaves = [read.leaf for read in stage.reads][::-1]
        return replace(stage, reads=tuple(replace(r, leaf=leaf) for r, leaf in zip(stage.reads, leaves, strict=True)))


class OneWriteOnly(_Changed):
    """Of several writes in a step, the first one counts."""

    def changed(self, stage: Chunks) -> Chunks:
        fed = tuple(pair for pair in stage.feedback if pair[0][0] == 0)
        return replace(stage, keys=stage.keys[:1], values=stage.values[:1], feedback=fed) if fed else stage


class KeysOfOtherWrites(_Changed):
    """The keys of two writes in a step are exchanged."""

    def changed(self, stage: Chunks) -> Chunks:
        return replace(stage, keys=stage.keys[::-1])
