"""Faults in chunks: their edges, their padding, resets and lengths in them, and what is whose."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.parallel.kernels import InParallel, WithScan, of_matrices
from rnnspec.contract.resets import Resets
from rnnspec.running.chunks import ChunkScan, Groups
from rnnspec.running.matrix_stage import MatrixStage


class _DecayOfTheStepBefore(MatrixStage):
    def _given(self, *given: Any) -> Any:
        found = super()._given(*given)
        if found.decay is None:
            return found
        decay = np.array(found.decay)
        decay[1:, ..., 0, :, :] = found.decay[:-1, ..., -1, :, :]
        return replace(found, decay=decay)


class EdgeDecaysAsTheStepBefore(InParallel):
    """The first step of a chunk decays as the last step of the chunk before."""

    kernel = of_matrices(_DecayOfTheStepBefore)


class _ForgettingScan(ChunkScan):
    def run(self, given: Any, state: Any) -> Any:
        ran = super().run(given, state)
        alone = [super(_ForgettingScan, self).run(given.part(i, i + 1), state * 0).reads
                 for i in range(1, given.keys.shape[0])]  # fmt: skip
        return replace(ran, reads=np.concatenate([ran.reads[:1], *alone]))


class _OneChunkPulledBack(ChunkScan):
    def _chain(self, values: Any, state: Any, reverse: bool) -> Any:
        chained, first = super()._chain(values, state, reverse)
        ends = chained["start"]
        if reverse:
            chained = {**chained, "start": np.concatenate([np.zeros_like(ends[:-1]), ends[-1:]])}
        return chained, first


class _Forgetting(WithScan):
    scan = _ForgettingScan


class _PulledBackAlone(WithScan):
    scan = _OneChunkPulledBack


class ChunksReadZeros(InParallel):
    """The reads of a chunk do not see the state that the chunk before leaves."""

    kernel = of_matrices(_Forgetting)


class ChunksWithoutLaterCotangents(InParallel):
    """The cotangent of a chunk's last state does not reach what is written in it."""

    kernel = of_matrices(_PulledBackAlone)


class _AllBefore(MatrixStage):
    def _groups(self, stage: Any, keys: Any) -> Groups:
        groups = super()._groups(stage, keys)
        return Groups(ChunkScan(self.arrays, len(stage.reads), stage.fed), groups.size)


class _AllAfter(MatrixStage):
    def _groups(self, stage: Any, keys: Any) -> Groups:
        groups = super()._groups(stage, keys)
        return Groups(ChunkScan(self.arrays, 0, stage.fed), groups.size)


class ReadsAfterAsBefore(InParallel):
    """What is read after a step's writes misses them: the mask leaves out its diagonal."""

    kernel = of_matrices(_AllBefore)


class ReadsBeforeAsAfter(InParallel):
    """What is read before a step's writes has them: the mask has its diagonal."""

    kernel = of_matrices(_AllAfter)


class _LastStepAgain(MatrixStage):
    def _in_chunks(self, a: Any, pad: float = 0.0) -> Any:
        missing = self.chunks * self.chunk - self.steps
        longer = replace(self, steps=self.chunks * self.chunk)
        return MatrixStage._in_chunks(longer, np.concatenate([a, np.repeat(a[-1:], missing, 0)]), pad)


class PaddingOfChunksCounts(InParallel):
    """A chunk that is not full goes on with its last step."""

    kernel = of_matrices(_LastStepAgain)


class _DecayAfterTheEnd(MatrixStage):
    def _decay(self, *given: Any) -> Any:
        return MatrixStage._decay(replace(self, marks=replace(self.marks, mask=None)), *given)


class PaddedStepsDecay(InParallel):
    """After a row's end its matrices decay on."""

    kernel = of_matrices(_DecayAfterTheEnd)


class _WritesAfterTheEnd(MatrixStage):
    def _stream(self, *given: Any) -> Any:
        return MatrixStage._stream(replace(self, marks=replace(self.marks, mask=None)), *given)


class PaddedStepsWrite(InParallel):
    """After a row's end its matrices are written to."""

    kernel = of_matrices(_WritesAfterTheEnd)


class _WithoutResets(MatrixStage):
    def _given(self, *given: Any) -> Any:
        return MatrixStage._given(replace(self, marks=replace(self.marks, resets=None)), *given)


class MatricesAreNotReset(InParallel):
    """Matrices go on over resets."""

    kernel = of_matrices(_WithoutResets)


class _ResetsOfFirstSteps(MatrixStage):
    def _given(self, *given: Any) -> Any:
        resets = self.marks.resets
        if resets is not None:
            here = resets.here & (np.arange(self.steps) % self.chunk == 0)[:, None, None]
            return MatrixStage._given(replace(self, marks=replace(self.marks, resets=Resets(here, None))), *given)
        return super()._given(*given)


class ChunksAreResetAtTheirFirstStep(InParallel):
    """Of the resets in a chunk, only one at its first step counts."""

    kernel = of_matrices(_ResetsOfFirstSteps)


class _OldQueriesAtResets(MatrixStage):
    def _given(self, stage: Any, values: Any, state: Any, valued: Any) -> Any:
        found = super()._given(stage, values, state, valued)
        blind = MatrixStage._given(replace(self, marks=replace(self.marks, resets=None)), stage, values, state, valued)
        return replace(found, queries=blind.queries)


class ResetStepsReadTheStateBefore(InParallel):
    """A step that is reset decays all, but what it reads before its writes is the state of the step before."""

    kernel = of_matrices(_OldQueriesAtResets)


class _Unturned(MatrixStage):
    def _inner(self, stage: Any, state: Any) -> Any:
        return state if state.shape[-1] == state.shape[-2] else super()._inner(stage, state)


class ColumnsTakenForRows(InParallel):
    """A square matrix with keys along its columns is read along its rows."""

    kernel = of_matrices(_Unturned)


class _DecayOfTheFirstHead(MatrixStage):
    def _decay(self, *given: Any) -> Any:
        found = super()._decay(*given)
        if found is None or not self.plan.cell.heads:
            return found
        return np.repeat(found[:, :, :1] if found.ndim == 6 else found, found.shape[2] if found.ndim == 6 else 1, 2)


class HeadsDecayAsTheFirst(InParallel):
    """The matrices of all heads have the decay of the first one."""

    kernel = of_matrices(_DecayOfTheFirstHead)


class _WithoutFirstState(MatrixStage):
    def pull(self, *given: Any) -> Any:
        found, first = super().pull(*given)
        return found, np.zeros_like(first)


class FirstMatricesWithoutGradient(InParallel):
    """The initial state of a matrix has no gradient."""

    kernel = of_matrices(_WithoutFirstState)


class _WithoutLastState(MatrixStage):
    def pull(self, stage: Any, ran: Any, values: Any, leaves: Any, carried: Any, valued: Any) -> Any:
        return super().pull(stage, ran, values, leaves, np.zeros_like(carried), valued)


class LastMatricesWithoutCotangent(InParallel):
    """The cotangent of the final state of a matrix has no effect."""

    kernel = of_matrices(_WithoutLastState)
