"""Faults with heads: whose parameters, states and outputs are whose, and what they share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients, LayerResult
from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import Tree, tree_map


class EveryHeadUsesTheFirstMap(Faulty):
    """Every head uses the first head's recurrent maps."""

    def asked(self, asked: Asked) -> Asked:
        return _with_maps(asked, lambda w: np.repeat(w[:1], len(w), 0))


class MapsExchanged(Faulty):
    """The heads' recurrent maps are exchanged."""

    def asked(self, asked: Asked) -> Asked:
        return _with_maps(asked, lambda w: np.roll(w, 1, 0))


class InputMapsExchanged(Faulty):
    """The heads' parts of the input maps are exchanged."""

    def asked(self, asked: Asked) -> Asked:
        cell = asked.cell
        W = {name: np.roll(w, len(w) // cell.beside(f"x.{name}"), 0) for name, w in asked.params["W"].items()}
        return replace(asked, params={**asked.params, "W": W})


class SharedMapsOfTheFirstHead(Faulty):
    """A recurrent map that heads share is applied by the first head only; for others it is zeros."""

    def asked(self, asked: Asked) -> Asked:
        cell = asked.cell
        if cell.heads is None:
            return asked
        shared = [name for name in asked.params["U"] if f"R.{name}" in cell.shared]
        U = {name: np.stack([w, *[np.zeros_like(w)] * (cell.heads - 1)]) if name in shared else w
             for name, w in asked.params["U"].items()}  # fmt: skip
        left = tuple(name for name in cell.shared if not name.startswith("R."))
        return replace(asked, cell=replace(cell, shared=left), params={**asked.params, "U": U})


class SharedVectorsLearnOfOneHead(Faulty):
    """The gradient of a vector or matrix that heads share is that of the first head."""

    def make_arrays(self) -> Any:
        return _OfTheFirstHead(DTYPES[self.precision])


class SharedInputMapsLearnOfOneHead(Faulty):
    """The gradient of an input map that heads share is that of the first head."""

    def make_arrays(self) -> Any:
        return _BesideTheFirstHead(DTYPES[self.precision])


class SharedMapsLearnTheMean(Faulty):
    """The gradient of a recurrent map that heads share is the mean over heads, where it must be the sum."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        cell = pulled.cell
        U = {name: g / (cell.heads or 1) if f"R.{name}" in cell.shared else g
             for name, g in gradients.params["U"].items()}  # fmt: skip
        return replace(gradients, params={**gradients.params, "U": U})


class OutputsInterleaved(Faulty):
    """The outputs of heads alternate, where they must stand side by side."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        outputs = result.outputs
        apart = outputs.reshape(*outputs.shape[:-1], asked.cell.heads or 1, -1)
        return replace(result, outputs=np.swapaxes(apart, -1, -2).reshape(outputs.shape))


class InitialStatesExchanged(Faulty):
    """The heads' initial states are exchanged."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=_rolled(asked.state)) if asked.cell.heads else asked


class FinalStatesExchanged(Faulty):
    """The heads' final states are exchanged."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, state=_rolled(result.state)) if asked.cell.heads else result


class StateGradientsExchanged(Faulty):
    """The gradients of the heads' initial states are exchanged."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, state=_rolled(gradients.state)) if pulled.cell.heads else gradients


class XOfAnotherHead(Faulty):
    """Where heads split `x` itself, each reads another's part of it."""

    def asked(self, asked: Asked) -> Asked:
        cell = asked.cell
        if not cell.reads_input or cell.beside("x") == 1:
            return asked
        width = asked.inputs.shape[-1] // cell.beside("x")
        W = {name: np.roll(w, width, 1) for name, w in asked.params["W"].items()}
        return replace(asked, inputs=np.roll(asked.inputs, width, -1), params={**asked.params, "W": W})


class OneHeadTooFew(Faulty):
    """The last of several heads does not run: its outputs are zeros, and its states stay."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        heads = asked.cell.heads or 1
        if heads == 1:
            return result
        own = np.arange(result.outputs.shape[-1]) < result.outputs.shape[-1] * (heads - 1) // heads
        state = {name: np.concatenate([s[:, :-1], asked.state[name][:, -1:]], 1) for name, s in result.state.items()}
        return replace(result, outputs=np.where(own, result.outputs, result.outputs.dtype.type(0)), state=state)


class _OfTheFirstHead(NumpyArrays):
    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return super().sum(a[:, :, :1] if axes == (0, 1, 2) else a, axes, keep)


class _BesideTheFirstHead(NumpyArrays):
    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return super().sum(a[..., :1, :] if axes == (-2,) else a, axes, keep)


def _with_maps(asked: Asked, change: Any) -> Asked:
    """Other recurrent maps, of those that each head has for itself."""
    U = {name: change(w) if w.ndim == 3 else w for name, w in asked.params["U"].items()}
    return replace(asked, params={**asked.params, "U": U})


def _rolled(state: Tree) -> Tree:
    return tree_map(lambda s: np.roll(s, 1, 1), state)
