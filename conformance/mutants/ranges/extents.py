"""Faults that begin at a size or a value: blocks, ranges, thresholds, zeros, NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients, LayerResult
from rnnspec.contract.arrays import Array, NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import leaves, tree_map


class StepBeyond128Lost(Faulty):
    """The step at which the second block of 128 begins reads zeros."""

    def asked(self, asked: Asked) -> Asked:
        kept = (np.arange(len(asked.inputs)) != 128)[:, None, None]
        return replace(asked, inputs=np.where(kept, asked.inputs, asked.inputs.dtype.type(0)))


class StateForgottenInOneStep(Faulty):
    """A call of one step starts from zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(np.zeros_like, asked.state)) if len(asked.inputs) == 1 else asked


class RowsBeyond128Alike(Faulty):
    """Rows beyond the 128th have the outputs of the first."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        own = (np.arange(result.outputs.shape[1]) < 128)[None, :, None]
        return replace(result, outputs=np.where(own, result.outputs, result.outputs[:, :1]))


class GradientOfRowsBeyond64Lost(Faulty):
    """Rows beyond the 64th hand back no gradient of their inputs."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        own = (np.arange(gradients.inputs.shape[1]) < 64)[None, :, None]
        return replace(gradients, inputs=np.where(own, gradients.inputs, gradients.inputs.dtype.type(0)))


class InputsBeyond128Lost(Faulty):
    """Input features beyond the 128th are not read."""

    def asked(self, asked: Asked) -> Asked:
        read = np.arange(asked.inputs.shape[2]) < 128
        return replace(asked, inputs=np.where(read, asked.inputs, asked.inputs.dtype.type(0)))


class UnitsBeyond128Lost(Faulty):
    """Outputs of units beyond the 128th are zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        own = np.arange(result.outputs.shape[2]) < 128
        return replace(result, outputs=np.where(own, result.outputs, result.outputs.dtype.type(0)))


class SixteensInHalfPrecision(Faulty):
    """Input maps are rounded to 11 bits where the width is a multiple of 16."""

    def asked(self, asked: Asked) -> Asked:
        width = next(iter(asked.state.values())).shape[1]
        if width % 16 or "W" not in asked.params:
            return asked
        rounded = tree_map(lambda a: a.astype(np.float16).astype(a.dtype), asked.params["W"])
        return replace(asked, params={**asked.params, "W": rounded})


class TimeAndBatchExchanged(Faulty):
    """Where there are as many steps as rows, the batch is taken for time."""

    def asked(self, asked: Asked) -> Asked:
        x = asked.inputs
        return replace(asked, inputs=np.swapaxes(x, 0, 1) if len(x) == x.shape[1] else x)


class SquareMapsTransposed(Faulty):
    """Input maps from as many features as there are units are read transposed."""

    def asked(self, asked: Asked) -> Asked:
        maps = tree_map(lambda a: a.T if len(a) == a.shape[1] else a, asked.params.get("W", {}))
        return replace(asked, params={**asked.params, **({"W": maps} if maps else {})})


class LikeTheLayerBelow(Faulty):
    """A layer of the cell and the sizes of the layer below runs with its parameters."""

    def asked(self, asked: Asked) -> Asked:
        _, index, half = asked.call.place.split(".")
        kept = self.__dict__.setdefault("kept", {})
        shape = (asked.cell, half, tuple((name, a.shape) for name, a in leaves(asked.params)))
        kept[int(index), half] = shape, asked.params
        below, params = kept.get((int(index) - 1, half), (None, None))
        return replace(asked, params=params) if below == shape else asked


class CarryClippedAtFifty(Faulty):
    """States are held within +-50 from step to step."""

    def make_arrays(self) -> Any:
        return _Held(DTYPES[self.precision], 50.0)


class InputsHeldWithinHundred(Faulty):
    """Inputs are clipped to +-100."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=np.clip(asked.inputs, -100, 100))


class SmallGradientsLost(Faulty):
    """Gradients below 1e-9 are zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return Gradients(*(tree_map(_without_small, getattr(gradients, n)) for n in ("params", "inputs", "state")))


class SmallNumbersLost(Faulty):
    """Inputs and parameters below 1e-9 are zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=_without_small(asked.inputs), params=tree_map(_without_small, asked.params))


class StepsOfZerosArePadding(Faulty):
    """A row ends at its last step that is not zeros."""

    def asked(self, asked: Asked) -> Asked:
        steps = np.arange(1, len(asked.inputs) + 1)[:, None]
        last = np.where(np.any(asked.inputs != 0, -1), steps, 0).max(0)
        return asked if asked.lengths is None else replace(asked, lengths=np.minimum(asked.lengths, last))


class InnerBiasSkippedAtZeros(Faulty):
    """Where the initial state is zeros, vectors inside the equations are left out."""

    def asked(self, asked: Asked) -> Asked:
        if any(np.any(s) for s in asked.state.values()) or "p" not in asked.params:
            return asked
        return replace(asked, params={**asked.params, "p": tree_map(np.zeros_like, asked.params["p"])})


class NanStateLaundered(Faulty):
    """NaN in an initial state is read as 0."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(np.nan_to_num, asked.state))


class NanParametersLaundered(Faulty):
    """NaN among the parameters is read as 0."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, params=tree_map(np.nan_to_num, asked.params))


class NanCotangentLaundered(Faulty):
    """NaN in the cotangent of a final state is read as 0."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, state_cotangent=tree_map(np.nan_to_num, pulled.state_cotangent))


class _Held(NumpyArrays):
    """Holds what the forward loop carries within a limit."""

    def __init__(self, dtype: Any, limit: float) -> None:
        super().__init__(dtype)
        self.limit = limit

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        def held(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            new, record = body(now, step_values, t)
            return (new if backwards else {k: np.clip(a, -self.limit, self.limit) for k, a in new.items()}), record

        return super().scan(held, carried, values, count, backwards)


def _without_small(a: Array) -> Array:
    return np.where(np.abs(a) < 1e-9, a.dtype.type(0), a)
