"""Faults with segments that are run again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from conformance.mutants.faulty import Faulty
from rnnspec import recomputation
from rnnspec.kernel import Kernel


class _Segmented(Faulty):
    """Its segments are run by another kernel."""

    faulty: type[recomputation.Recomputing]

    def runner(self, *asked: Any) -> Kernel:
        right = super().runner(*asked)
        if not isinstance(right, recomputation.Recomputing):
            return right
        return self.faulty(right.kernel, right.arrays, right.every)


class _WithoutEdges(recomputation.Recomputing):
    def _passed(self, edge: Any, cotangents: Any, first: Any, lengths: Any) -> Any:
        return cotangents


class _AllRows(recomputation.Recomputing):
    def _passed(self, edge: Any, cotangents: Any, first: Any, lengths: Any) -> Any:
        return super()._passed(edge, cotangents, first, None)


class _LastSum(recomputation.Recomputing):
    def layer_pullback(self, *asked: Any) -> Any:
        found = super().layer_pullback(*asked)
        twice = {name: 2 * g for name, g in found.params["b"].items()}
        return replace(found, params={**found.params, "b": twice})


class EdgesBetweenSegments(_Segmented):
    """No policy acts on the edges between segments."""

    faulty = _WithoutEdges


class EdgesOfEndedRows(_Segmented):
    """Policies act on the edges between segments in rows that have ended, too."""

    faulty = _AllRows


class BiasesTwice(_Segmented):
    """The gradients of biases are added up twice."""

    faulty = _LastSum
