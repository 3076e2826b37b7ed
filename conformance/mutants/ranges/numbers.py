"""Faults with numbers: lost precision, saturation, NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import LayerResult, Result
from rnnspec.contract.arrays import Array, NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import Tree, tree_map


class SinglePrecisionInside(Faulty):
    """Float64 is calculated in float32."""

    only_precision = "f64"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=_through(asked.inputs, np.float32), params=tree_map(_single, asked.params))


class HalfPrecisionState(Faulty):
    """States are carried in float16."""

    def make_arrays(self) -> Any:
        return _HalfCarried(DTYPES[self.precision])


class TensorFloatProducts(Faulty):
    """The factors of matrix products are rounded to 11 bits."""

    def make_arrays(self) -> Any:
        return _ElevenBits(DTYPES[self.precision])


class FastTanh(Faulty):
    """The hyperbolic tangent is good to three digits."""

    def make_arrays(self) -> Any:
        arrays = super().make_arrays()
        arrays.functions = {**arrays.functions, "tanh": lambda a: np.tanh(a * a.dtype.type(1.001))}
        return arrays


class SigmoidOverflows(Faulty):
    """The sigmoid is exp(a) / (1 + exp(a)), which is NaN for large a."""

    def make_arrays(self) -> Any:
        arrays = super().make_arrays()
        arrays.functions = {**arrays.functions, "sigmoid": _overflowing_sigmoid}
        return arrays


class OutputsOffByOneInHundredThousand(Faulty):
    """Outputs are too large by 1e-5 of themselves."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=result.outputs * result.outputs.dtype.type(1 + 1e-5))


class OutputsHaveAFloor(Faulty):
    """1e-6 is added to every output."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=result.outputs + result.outputs.dtype.type(1e-6))


class Saturated(Faulty):
    """Outputs are held within +-1."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=np.clip(result.outputs, -1, 1))


class InputsSaturated(Faulty):
    """Inputs are held within +-2."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=np.clip(asked.inputs, -2, 2))


class NanLaundered(Faulty):
    """NaN and infinity come out as numbers."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=np.nan_to_num(result.outputs), state=tree_map(np.nan_to_num, result.state))


class NanInLaundered(Faulty):
    """NaN among the inputs is read as 0."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=np.where(np.isnan(asked.inputs), asked.inputs.dtype.type(0), asked.inputs))


class NanSpreadsOverRows(Faulty):
    """The mean of the batch is added to every row and subtracted again, so NaN spreads over all rows."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        mean = result.outputs.mean(1, keepdims=True)
        return replace(result, outputs=result.outputs + (mean - mean))


class Nondeterministic(Faulty):
    """The last bit of the outputs is random, although the backend promises equal bits."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        rng = self.__dict__.setdefault("rng", np.random.default_rng(0))
        up = np.nextafter(result.outputs, result.outputs.dtype.type(np.inf))
        return replace(result, outputs=np.where(rng.random(up.shape) < 0.5, result.outputs, up))


class DoubleReturned(Faulty):
    """Float64 comes back for float32."""

    only_precision = "f32"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        return replace(result, outputs=result.outputs.astype(np.float64))


class GradientOverflows(Faulty):
    """Gradients pass through a square root of their square."""

    def pulled(self, pulled: Pulled) -> Pulled:
        w = pulled.output_cotangent
        square = np.sqrt((w * w).astype(w.dtype))
        return replace(pulled, output_cotangent=np.copysign(square, w))


class _ElevenBits(NumpyArrays):
    def matmul(self, a: Array, b: Array) -> Array:
        return _eleven_bits(a) @ _eleven_bits(b)


class _HalfCarried(NumpyArrays):
    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        def rounded(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            return body({key: _through(a, np.float16) for key, a in now.items()}, step_values, t)

        return super().scan(rounded, carried, values, count, backwards)


def _through(a: Array, dtype: Any) -> Array:
    return a.astype(dtype).astype(a.dtype)


def _single(a: Array) -> Array:
    return _through(a, np.float32)


def _eleven_bits(a: Array) -> Array:
    mantissa, exponent = np.frexp(a)
    return np.ldexp(np.round(mantissa * 2048) / 2048, exponent).astype(a.dtype)


def _overflowing_sigmoid(a: Array) -> Array:
    grown = np.exp(a)
    return grown / (1 + grown)
