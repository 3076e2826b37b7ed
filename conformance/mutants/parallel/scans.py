"""Faults in scans: maxima, blocks, resets and lengths in them, and pairs of states."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.parallel.kernels import InParallel
from rnnspec.derivation.parallel import Scan
from rnnspec.derivation.semirings import TROPICAL, Semiring
from rnnspec.running.parallel import Parallel
from rnnspec.running.scan_stage import ScanStage
from rnnspec.running.scans import SHORT


def _with(stage: type[ScanStage]) -> Any:
    return type(f"With{stage.__name__}", (Parallel,), {"scans": stage})


class _MaximumOfTheBatch(ScanStage):
    def _terms(self, factors: Any, rests: Any, semiring: Any, *given: Any) -> Any:
        a, u = super()._terms(factors, rests, semiring, *given)
        if semiring is not TROPICAL:
            return a, u
        return a, {s: np.broadcast_to(v.max(1, keepdims=True), v.shape) for s, v in u.items()}


class StabiliserOfTheBatch(InParallel):
    """A maximum of sums is that of all rows of the batch."""

    kernel = _with(_MaximumOfTheBatch)


class _FromZero(ScanStage):
    def run(self, stage: Scan, *given: Any) -> Any:
        if stage.semiring is TROPICAL and self.steps > SHORT:
            stage = replace(stage, semiring=Semiring("maximum", "add", 0.5, 0.0))
        return super().run(stage, *given)


class MaximaFromANumber(InParallel):
    """Where a maximum of sums runs by blocks, they begin with 1/2, where they must begin with minus infinity."""

    kernel = _with(_FromZero)


class _LastOfFullBlocks(ScanStage):
    def run(self, stage: Scan, values: Any, initial: Any, valued: Any) -> Any:
        last = super().run(stage, values, initial, valued)
        after = {s: values[self.plan.cell.graph.result(s)] for s in stage.states}
        return {s: a[-2] if self.steps > SHORT else last[s] for s, a in after.items()}


class ScansEndAStepEarly(InParallel):
    """Where a scan runs by blocks, its last state is that of the step before."""

    kernel = _with(_LastOfFullBlocks)


class _WithoutLengths(ScanStage):
    def run(self, *given: Any) -> Any:
        return ScanStage.run(replace(self, marks=replace(self.marks, mask=None)), *given)


class ScansGoOnAfterTheEnd(InParallel):
    """States of scans go on after a row's end."""

    kernel = _with(_WithoutLengths)


class _CotangentsOfPadding(ScanStage):
    def pull(self, *given: Any) -> Any:
        return ScanStage.pull(replace(self, marks=replace(self.marks, mask=None)), *given)


class CotangentsDecayInPadding(InParallel):
    """The cotangent of a row's final state decays at its padded steps."""

    kernel = _with(_CotangentsOfPadding)


class _Reset(ScanStage):
    def run(self, *given: Any) -> Any:
        return ScanStage.run(replace(self, marks=replace(self.marks, resets=None)), *given)


class VectorsAreNotReset(InParallel):
    """States of scans go on over resets."""

    kernel = _with(_Reset)


class _CotangentsOverResets(ScanStage):
    def pull(self, *given: Any) -> Any:
        return ScanStage.pull(replace(self, marks=replace(self.marks, resets=None)), *given)


class CotangentsCrossResets(InParallel):
    """Cotangents of vectors go on over resets, to steps that have no effect there."""

    kernel = _with(_CotangentsOverResets)


class _MaximaOfNothing(ScanStage):
    def _fresh(self, a: Any, u: Any, semiring: Any) -> Any:
        found, rests = super()._fresh(a, dict(u), semiring)
        return found, u if semiring is TROPICAL else rests


class ResetMaximaOfNothing(InParallel):
    """A maximum of sums begins after a reset without the state of zeros."""

    kernel = _with(_MaximaOfNothing)


class _Uncoupled(ScanStage):
    def run(self, stage: Scan, *given: Any) -> Any:
        return super().run(replace(stage, factors=tuple(f for f in stage.factors if f[0][0] == f[0][1])), *given)


class PairsUncoupled(InParallel):
    """States that read each other go on as if they did not."""

    kernel = _with(_Uncoupled)


class _NotTurned(ScanStage):
    def pull(self, stage: Scan, *given: Any) -> Any:
        exchanged = tuple(((t, s), index) for (s, t), index in stage.back)
        return super().pull(replace(stage, back=exchanged), *given)


class CotangentsOfPairsExchanged(InParallel):
    """Of states that read each other, the cotangents go the way of the states."""

    kernel = _with(_NotTurned)


class _WithoutShown(ScanStage):
    def pull(self, stage: Any, values: Any, carried: Any, direct: Any, seeds: Any, valued: Any) -> Any:
        found = super().pull(stage, values, carried, direct, seeds, valued)
        for state, d in direct.items():
            values[seeds[state]] = values[seeds[state]] - d
        return found


class OutputsOfTheirOwnStep(InParallel):
    """The cotangent of an output that is a state reaches the steps before, and not its own."""

    kernel = _with(_WithoutShown)


class _FirstStateForgotten(ScanStage):
    def pull(self, *given: Any) -> Any:
        return {s: np.zeros_like(d) for s, d in super().pull(*given).items()}


class FirstVectorsWithoutGradient(InParallel):
    """The initial state of a scan has no gradient."""

    kernel = _with(_FirstStateForgotten)
