"""Faults of whole models: residual sums, layers without a state, norms, and heads on what is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, Layer, LayerResult, Network, Result, cells
from rnnspec.contract.arrays import Array, NumpyArrays
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import Tree, tree_map


class _Placed(Faulty):
    """Knows the network of a call, and so the layer of a place."""

    net: Network | None = None

    def given(self, given: Given) -> Given:
        self.net = given.net
        return given

    def residual(self, place: str, a: Array) -> tuple[slice, Layer] | None:
        """Which features of the inputs a half of a residual layer is added to; None where the layer is not."""
        kind, index, half = place.split(".")
        layers = getattr(self.net, kind, ())
        if int(index) >= len(layers) or not layers[int(index)].residual:
            return None
        layer = layers[int(index)]
        low = layer.half_width if half == "reverse" and len(layer.halves) > 1 else 0
        return slice(low, low + a.shape[-1]), layer


class ResidualForgotten(_Placed):
    """The inputs of a residual layer are not added to its outputs."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        found = self.residual(asked.call.place, result.outputs)
        return replace(result, outputs=result.outputs - asked.inputs[..., found[0]]) if found else result


class ResidualTwice(_Placed):
    """The inputs of a residual layer are added twice."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        found = self.residual(asked.call.place, result.outputs)
        return replace(result, outputs=result.outputs + asked.inputs[..., found[0]]) if found else result


class ResidualOfTheReverseHalfTurned(_Placed):
    """The reverse half of a residual layer is added to its inputs in the order in which it reads them."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        found = self.residual(asked.call.place, result.outputs)
        if not found or not asked.call.place.endswith("reverse"):
            return result
        own = asked.inputs[..., found[0]]
        return replace(result, outputs=result.outputs + (own[::-1] - own))


class ResidualHandsNothingDown(_Placed):
    """The gradient of a residual layer's inputs is that of the layer alone."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        found = self.residual(pulled.call.place, pulled.output_cotangent)
        if not found:
            return gradients
        inputs = np.array(gradients.inputs)
        inputs[..., found[0]] -= pulled.output_cotangent
        return replace(gradients, inputs=inputs)


class ResidualAtPaddedSteps(Faulty):
    """The inputs of a network that ends in a residual layer are added after a row's end too."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if lengths is None or not net.layers[-1].residual or result.outputs.shape != np.shape(inputs):
            return result
        here = (np.arange(len(inputs))[:, None] < np.asarray(lengths))[..., None]
        return replace(result, outputs=np.where(here, result.outputs, inputs))


class NormOverRows(Faulty):
    """What is summed over the features of a step, such as for a norm, is summed over rows where they are as many."""

    def make_arrays(self) -> Any:
        return _Across(DTYPES[self.precision], 1)


class NormOverSteps(Faulty):
    """A norm has the mean over the steps of a row, where it must have that over the features of a step."""

    def make_arrays(self) -> Any:
        return _Across(DTYPES[self.precision], 0)


class EpsilonOfAnotherNorm(Faulty):
    """The epsilon of a layer norm is a tenth of what it should be."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, cell=_other(asked.cell))

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, cell=_other(pulled.cell))


class ScaleLearnsTheMean(Faulty):
    """The gradient of the scale of a norm is the mean over rows, where it must be the sum."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _learned(pulled, gradients, "scale", 1 / pulled.call.batch)


class ShiftLearnsNothing(Faulty):
    """The gradient of the shift of a norm is 0."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _learned(pulled, gradients, "shift", 0.0)


class ActivationForgotten(Faulty):
    """A dense layer has no activation."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, cell=_without_activation(asked.cell))

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, cell=_without_activation(pulled.cell))


class BiasesAtPaddedSteps(Faulty):
    """A layer without a state has outputs after a row's end, those of inputs of zeros."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.cell.states or asked.call.place.startswith("head") else replace(asked, lengths=None)


class SingleStepsLate(Faulty):
    """A layer without a state reads the inputs of the step before."""

    def asked(self, asked: Asked) -> Asked:
        late = np.concatenate([asked.inputs[:1], asked.inputs[:-1]])
        return asked if asked.cell.states else replace(asked, inputs=late)


class HeadOnEmptyRows(Faulty):
    """A head gives an answer for rows of length 0 too."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, lengths=None) if asked.call.place.startswith("head") else asked


class HeadLearnsFromEmptyRows(Faulty):
    """The biases of a head learn from rows of length 0 as from any other."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        mask = getattr(pulled.result.saved, "mask", None)
        if not pulled.call.place.startswith("head") or mask is None or pulled.call.steps != 1:
            return gradients
        more = 1 + (~mask).sum() / max(mask.sum(), 1)
        return replace(gradients, params={**gradients.params, "b": tree_map(lambda b: b * b.dtype.type(more),
                                                                            gradients.params["b"])})  # fmt: skip


class HeadHandsNothingDown(Faulty):
    """No gradient passes from a head to what is below it."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        stops = pulled.call.place.startswith("head.0")
        return replace(gradients, inputs=np.zeros_like(gradients.inputs)) if stops else gradients


class _Across(NumpyArrays):
    """Arrays whose sums over the features of (time, batch, feature) are sums over another axis, spread over it."""

    def __init__(self, dtype: str, axis: int) -> None:
        super().__init__(dtype)
        self.axis = axis

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        if axes != (-1,) or not keep or a.ndim != 3:
            return super().sum(a, axes, keep)
        share = a.shape[-1] / a.shape[self.axis]
        return super().sum(a, (self.axis,), True) * a.dtype.type(share) + np.zeros_like(a)


def _other(cell: Any) -> Any:
    return cells.layer_norm(epsilon=1e-6) if cell == cells.layer_norm else cell


def _without_activation(cell: Any) -> Any:
    return cells.dense if not cell.states and cell.parameter_names == cells.dense.parameter_names else cell


def _learned(pulled: Pulled, gradients: Gradients, name: str, factor: float) -> Gradients:
    p = gradients.params["p"]
    if pulled.cell.states or name not in p:
        return gradients
    return replace(gradients, params={**gradients.params, "p": {**p, name: p[name] * p[name].dtype.type(factor)}})
