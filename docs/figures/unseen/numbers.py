"""Digits that are lost, ranges that are cut, NaN that is hidden, and sizes from which on something is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, LayerResult, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


def _single(a: Array) -> Array:
    """Rounded to the precision below: float32 for float64, 16 bits for float32."""
    a = np.asarray(a)
    return a.astype(np.float32 if a.dtype == np.float64 else np.float16).astype(a.dtype)


class ComputedInSinglePrecision(Faulty):
    """Everything is computed in the precision below, and converted at the end."""

    kind: ClassVar[str] = "digits"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=_single(asked.inputs), params=tree_map(_single, asked.params))


class RecurrentMapsInSinglePrecision(Faulty):
    """Recurrent maps are kept in the precision below."""

    kind: ClassVar[str] = "digits"

    def asked(self, asked: Asked) -> Asked:
        U = tree_map(_single, asked.params["U"])
        return replace(asked, params={**asked.params, "U": U})


class GradientsAddedInSinglePrecision(Faulty):
    """Parameter gradients are added up in the precision below."""

    kind: ClassVar[str] = "digits"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=tree_map(_single, gradients.params))


class SigmoidByTable(Faulty):
    """The sigmoid is read from a table of a thousand values."""

    kind: ClassVar[str] = "digits"

    def make_arrays(self) -> Any:
        arrays = super().make_arrays()
        right = arrays.functions["sigmoid"]

        def read(a: Array) -> Array:
            return np.asarray(right(np.where(np.abs(a) < 8, np.rint(a * 64) / 64, a).astype(np.asarray(a).dtype)))

        arrays.functions = {**arrays.functions, "sigmoid": read}
        return arrays


class InputsCutAtThree(Faulty):
    """Inputs are cut to +-3 standard deviations."""

    kind: ClassVar[str] = "range"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=np.clip(asked.inputs, -3, 3).astype(asked.inputs.dtype))


class StatesCutAtTen(Faulty):
    """Initial states beyond +-10 are cut."""

    kind: ClassVar[str] = "range"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(lambda s: np.clip(s, -10, 10).astype(s.dtype), asked.state))


class SmallGradientsAreZero(Faulty):
    """Input gradients below 1e-20 are zeros."""

    kind: ClassVar[str] = "range"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        x = gradients.inputs
        return replace(gradients, inputs=np.where(np.abs(x) < 1e-20, x.dtype.type(0), x))


class CotangentsCutAtTen(Faulty):
    """Output cotangents beyond +-10 are cut."""

    kind: ClassVar[str] = "range"

    def pulled(self, pulled: Pulled) -> Pulled:
        w = pulled.output_cotangent
        return replace(pulled, output_cotangent=np.clip(w, -10, 10).astype(w.dtype))


class NanToZeroInStates(Faulty):
    """NaN in final states becomes 0."""

    kind: ClassVar[str] = "NaN hidden"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        state = tree_map(lambda s: np.where(np.isnan(s), s.dtype.type(0), s), result.state)
        return replace(result, state=state)


class NanToZeroInGradients(Faulty):
    """NaN and infinity in gradients become 0."""

    kind: ClassVar[str] = "NaN hidden"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)

        def clean(g: Array) -> Array:
            return np.where(np.isfinite(g), g, g.dtype.type(0))

        return Gradients(tree_map(clean, found.params), clean(found.inputs), tree_map(clean, found.state))


class NanRefused(Faulty):
    """A run with NaN among its real inputs is refused."""

    kind: ClassVar[str] = "NaN hidden"

    def asked(self, asked: Asked) -> Asked:
        if np.isnan(asked.inputs).any():
            raise FloatingPointError("NaN in the inputs")
        return asked


class RowsBeyondThirtyTwoRepeat(Faulty):
    """Rows from the 33rd on are computed again from the first."""

    kind: ClassVar[str] = "size"

    def asked(self, asked: Asked) -> Asked:
        batch = asked.inputs.shape[1]
        return asked if batch <= 32 else replace(asked, inputs=asked.inputs[:, np.arange(batch) % 32])


class OddWidthsLoseAUnit(Faulty):
    """Outputs of an odd width of more than eight lose their last unit to the vector unit's width."""

    kind: ClassVar[str] = "size"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        width = result.outputs.shape[-1]
        if width < 9 or width % 2 == 0:
            return result
        kept = (np.arange(width) < width - 1).astype(result.outputs.dtype)
        return replace(result, outputs=result.outputs * kept)


class StepsBeyondHundredIgnored(Faulty):
    """Inputs from the hundredth step on are zeros."""

    kind: ClassVar[str] = "size"

    def asked(self, asked: Asked) -> Asked:
        if len(asked.inputs) <= 100:
            return asked
        x = np.array(asked.inputs)
        x[100:] = 0
        return replace(asked, inputs=x)


class WideInputsInTwoParts(Faulty):
    """Inputs of more than 16 features are multiplied in two parts, of which the second is lost in gradients."""

    kind: ClassVar[str] = "size"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        x = np.array(gradients.inputs)
        x[..., 16:] = 0
        return replace(gradients, inputs=x)


class ZeroStateHasNoMap(Faulty):
    """Recurrent maps and vectors that are zeros have no gradient, as if they were absent."""

    kind: ClassVar[str] = "zeros missing"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        def learnt(group: str) -> Tree:
            own, given = gradients.params[group], pulled.params[group]
            return {name: g if np.asarray(given[name]).any() else np.zeros_like(g) for name, g in own.items()}

        return replace(gradients, params={**gradients.params, "p": learnt("p"), "U": learnt("U")})


class ZeroCotangentIsNone(Faulty):
    """Where all cotangents of the outputs are zeros, nothing has a gradient."""

    kind: ClassVar[str] = "zeros missing"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        if pulled.output_cotangent.any():
            return gradients
        return Gradients(tree_map(np.zeros_like, gradients.params), np.zeros_like(gradients.inputs),
                         tree_map(np.zeros_like, gradients.state))  # fmt: skip


class LargeBatchesDropRemainder(Faulty):
    """In batches of more than eight rows, those beyond a multiple of eight have no input gradient."""

    kind: ClassVar[str] = "size"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        batch = found.inputs.shape[1]
        if batch <= 8:
            return found
        x = np.array(found.inputs)
        x[:, batch // 8 * 8 :] = 0
        return replace(found, inputs=x)


class PaddedInputsAreRead(Faulty):
    """NaN among the inputs of a row stops the call's other rows: they become NaN as well."""

    kind: ClassVar[str] = "NaN hidden"

    def given(self, given: Given) -> Given:
        return given

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        lost = result.outputs.dtype.type(np.nan) if np.isnan(asked.inputs).any() else result.outputs.dtype.type(0)
        return replace(result, outputs=result.outputs + lost)
