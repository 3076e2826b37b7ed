"""Faults with matrix states and learned matrices, of any cell that has some."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Backend, Cell, Gradients, LayerResult
from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tree import Tree


class InitialTransposed(Faulty):
    """The entries of an initial matrix are read column by column."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=_transposed(asked.cell, asked.state))


class FinalTransposed(Faulty):
    """The entries of a final matrix are written column by column."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, state=_transposed(asked.cell, result.state))


class CotangentTransposed(Faulty):
    """The cotangent of a final matrix is read column by column."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, state_cotangent=_transposed(pulled.cell, pulled.state_cotangent))


class GradientTransposed(Faulty):
    """The gradient of an initial matrix is written column by column."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, state=_transposed(pulled.cell, gradients.state))


class LengthsForgotten(Faulty):
    """A matrix goes on after a row's end."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None or not _matrices(asked.cell):
            return result
        unending = Backend.layer(self, asked.cell, asked.params, asked.inputs, asked.state, None, asked.call).state
        return replace(result, state={**result.state, **{s: unending[s] for s in _matrices(asked.cell)}})


class LearnedOfTheLastStep(Faulty):
    """The gradient of a learned matrix is that of the last step alone."""

    def make_arrays(self) -> Any:
        return _OfTheLastStep(DTYPES[self.precision])


class _OfTheLastStep(NumpyArrays):
    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return super().sum(a[-1:] if axes == (0, 1) and a.ndim == 4 else a, axes, keep)


def _matrices(cell: Cell) -> list[str]:
    return [state for state in cell.states if cell.ranks[state] == MATRIX]


def _transposed(cell: Cell, state: Tree) -> Tree:
    turned = {name: np.swapaxes(state[name], -1, -2).reshape(state[name].shape) for name in _matrices(cell)}
    return {**state, **turned}
