"""Faults with segments that are run again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Gradients
from rnnspec.contract.kernel import Kernel
from rnnspec.running import recomputation
from rnnspec.tree import tree_map


class _Segmented(Faulty):
    """Its segments are run by another kernel."""

    faulty: type[recomputation.Recomputing]

    def runner(self, *asked: Any) -> Kernel:
        right = super().runner(*asked)
        if not isinstance(right, recomputation.Recomputing):
            return right
        return self.faulty(right.kernel, right.arrays, right.every)


class _WithoutEdges(recomputation.Recomputing):
    def _passed(self, edge: Any, cotangents: Any, first: Any, lengths: Any, resets: Any) -> Any:
        return cotangents


class _AllRows(recomputation.Recomputing):
    def _passed(self, edge: Any, cotangents: Any, first: Any, lengths: Any, resets: Any) -> Any:
        return super()._passed(edge, cotangents, first, None, resets)


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


class SegmentsWithoutLengths(Faulty):
    """Where segments are run again and there are no lengths, the initial state has no gradient."""

    def pullback(self, net: Any, params: Any, inputs: Any, output_cotangent: Any, state_cotangent: Any = None,
                 state: Any = None, lengths: Any = None, resets: Any = None) -> Gradients:  # fmt: skip
        found = super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)
        lost = self.recomputes and lengths is None
        return replace(found, state=tree_map(np.zeros_like, found.state)) if lost else found


class SegmentsOfItsOwnChoice(Faulty):
    """Segments whose length nobody gave give inputs no gradient."""

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        chosen = self.recomputes and self.every is None
        return replace(found, inputs=np.zeros_like(found.inputs)) if chosen else found
