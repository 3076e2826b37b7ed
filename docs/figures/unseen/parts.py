"""Resets, heads, matrices, recomputation and parallel forms."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from conformance.mutants.parallel.kernels import InParallel
from rnnspec import Gradients, LayerResult
from rnnspec.contract.arrays import Array
from rnnspec.contract.resets import Resets
from rnnspec.running.parallel import Parallel
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tree import Tree, tree_map


class _Moved(Faulty):
    kind: ClassVar[str] = "reset"

    def here(self, here: Array) -> Array:
        raise NotImplementedError

    def asked(self, asked: Asked) -> Asked:
        if asked.resets is None:
            return asked
        return replace(asked, resets=Resets(self.here(np.array(asked.resets.here)), asked.resets.steps))


class LastResetIgnored(_Moved):
    """A reset at the last step of time is ignored."""

    def here(self, here: Array) -> Array:
        here[-1] = False
        return here


class ResetsOfOtherRows(_Moved):
    """Each row starts afresh where the row before it should."""

    def here(self, here: Array) -> Array:
        return np.roll(here, 1, 1)


class SecondResetIgnored(_Moved):
    """Of several resets in a row, only the first counts."""

    def here(self, here: Array) -> Array:
        return here & (np.cumsum(here, 0) == 1)


class ResetsMaskOutputs(Faulty):
    """The output at a reset is zeros."""

    kind: ClassVar[str] = "reset"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.resets is None:
            return result
        return replace(result, outputs=np.where(asked.resets.here, result.outputs.dtype.type(0), result.outputs))


class HeadsAveraged(Faulty):
    """All heads put out their mean."""

    kind: ClassVar[str] = "heads"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        heads = asked.cell.heads or 1
        apart = result.outputs.reshape(*result.outputs.shape[:-1], heads, -1)
        mean = np.broadcast_to(apart.mean(-2, keepdims=True), apart.shape).reshape(result.outputs.shape)
        return replace(result, outputs=mean.astype(result.outputs.dtype))


class HeadsTurned(Faulty):
    """The heads stand in the reverse order in the outputs."""

    kind: ClassVar[str] = "heads"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        heads = asked.cell.heads or 1
        apart = result.outputs.reshape(*result.outputs.shape[:-1], heads, -1)
        return replace(result, outputs=apart[..., ::-1, :].reshape(result.outputs.shape))


class MatricesForgotten(Faulty):
    """Initial states that are matrices are taken for zeros."""

    kind: ClassVar[str] = "matrices"

    def asked(self, asked: Asked) -> Asked:
        state = {name: np.zeros_like(s) if asked.cell.ranks[name] == MATRIX else s for name, s in asked.state.items()}
        return replace(asked, state=state)


class MatricesOfTheFirstRow(Faulty):
    """The gradient of an initial matrix is that of its first row of entries, and zeros below."""

    kind: ClassVar[str] = "matrices"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        def first(s: Array) -> Array:
            found = np.zeros_like(s)
            found[..., :1, :] = s[..., :1, :]
            return found

        state = {name: first(s) if pulled.cell.ranks[name] == MATRIX else s for name, s in gradients.state.items()}
        return replace(gradients, state=state)


class RecomputedGradientsDoubled(Faulty):
    """Where segments are run again, the gradients of maps are added twice."""

    kind: ClassVar[str] = "another way"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        return replace(found, params=tree_map(lambda g: g + g, found.params)) if self.recomputes else found


class RecomputedFromZeros(Faulty):
    """Where segments are run again, inputs have no gradient in the first step."""

    kind: ClassVar[str] = "another way"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        if not self.recomputes or not len(found.inputs):
            return found
        x = np.array(found.inputs)
        x[0] = 0
        return replace(found, inputs=x)


class _Rows(Parallel):
    def layer(self, cell: Any, params: Tree, inputs: Array, state: Tree, *given: Any) -> LayerResult:
        found = super().layer(cell, params, inputs, state, *given)
        return replace(found, outputs=np.roll(found.outputs, 1, 1))


class ParallelRowsRolled(InParallel):
    """A layer that runs in parallel over time gives each row the outputs of the row before."""

    kind: ClassVar[str] = "another way"
    kernel = _Rows


class _Stateless(Parallel):
    def layer(self, cell: Any, params: Tree, inputs: Array, state: Tree, *given: Any) -> LayerResult:
        return super().layer(cell, params, inputs, tree_map(np.zeros_like, state), *given)


class ParallelStartsFromZeros(InParallel):
    """A layer that runs in parallel over time starts from zeros."""

    kind: ClassVar[str] = "another way"
    kernel = _Stateless
