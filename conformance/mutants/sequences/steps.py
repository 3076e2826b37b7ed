"""Faults with time and direction: steps lost or late, the reverse half, the stack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.derived.gradients import shifted
from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import LayerResult, Result, Steps
from rnnspec.contract.arrays import Array, NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.running.padding import in_time
from rnnspec.tree import Tree, leaves, named_map


class FirstStepSkipped(Faulty):
    """The first step leaves the states as they are."""

    def make_arrays(self) -> Any:
        return _Skipping(DTYPES[self.precision], False, lambda t, count: t == 0)


class LastStepSkipped(Faulty):
    """The last step of time leaves the states as they are."""

    def make_arrays(self) -> Any:
        return _Skipping(DTYPES[self.precision], False, lambda t, count: t == count - 1)


class GradientSkipsFirstStep(Faulty):
    """The backward loop ends before the first step."""

    def make_arrays(self) -> Any:
        return _Skipping(DTYPES[self.precision], True, lambda t, count: t == 0)


class GradientSkipsLastStep(Faulty):
    """The backward loop begins at the last step but one."""

    def make_arrays(self) -> Any:
        return _Skipping(DTYPES[self.precision], True, lambda t, count: t == count - 1)


class OutputsLate(Faulty):
    """Each step's output is that of the step before, the first one's zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        late = np.concatenate([np.zeros_like(result.outputs[:1]), result.outputs[:-1]])
        if asked.lengths is not None:
            real = np.arange(len(late))[:, None, None] < asked.lengths[None, :, None]
            late = np.where(real, late, late.dtype.type(0))
        return replace(result, outputs=late)


class InputsLate(Faulty):
    """Each step reads the input of the step before."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=shifted(asked.inputs, 1))


class LoopsInPairs(Faulty):
    """Two steps at a time: the last of an odd number is lost."""

    def make_arrays(self) -> Any:
        return _Skipping(
            DTYPES[self.precision], False, lambda t, count: count % 2 == 1 and count > 1 and t == count - 1
        )


class ReverseIsForward(Faulty):
    """The reverse half runs forward in time."""

    def asked(self, asked: Asked) -> Asked:
        half = asked.call.place.split(".")[-1]
        return replace(asked, inputs=in_time(self.arrays, half, asked.inputs, asked.lengths))

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        half = asked.call.place.split(".")[-1]
        return replace(result, outputs=in_time(self.arrays, half, result.outputs, asked.lengths))


class ReverseNotTurnedBack(Faulty):
    """The outputs of the reverse half stay in processing order."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        half = asked.call.place.split(".")[-1]
        return replace(result, outputs=in_time(self.arrays, half, result.outputs, asked.lengths))


class ReverseTurnsPadding(Faulty):
    """The reverse half reverses all steps together, so that it reads the padding first."""

    def asked(self, asked: Asked) -> Asked:
        half = asked.call.place.split(".")[-1]
        straight = in_time(self.arrays, half, asked.inputs, asked.lengths)
        return replace(asked, inputs=in_time(self.arrays, half, straight, None))


class ReverseCotangentNotTurned(Faulty):
    """The reverse half takes its output cotangent in the order of time."""

    def pulled(self, pulled: Pulled) -> Pulled:
        half, mask = pulled.call.place.split(".")[-1], pulled.result.saved.mask
        lengths = None if mask is None else mask.sum((0, 2))
        return replace(pulled, output_cotangent=in_time(self.arrays, half, pulled.output_cotangent, lengths))


class HalvesExchanged(Faulty):
    """The halves' features stand in the other order in the outputs."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        layer = net.layers[-1]
        if net.output is not None or len(layer.halves) == 1:
            return result
        return replace(result, outputs=np.roll(result.outputs, layer.half_width, -1))


class HalvesShareParameters(Faulty):
    """The reverse half runs with the forward half's parameters."""

    def given(self, given: Given) -> Given:
        layers = [{half: layer.get("forward", layer[half]) for half in layer} for layer in given.params["layers"]]
        return replace(given, params={**given.params, "layers": layers})


class LayersShareParameters(Faulty):
    """The forward half of every layer runs with the first one's parameters, where they have the same shapes."""

    def given(self, given: Given) -> Given:
        layers = given.params["layers"]
        first = dict(leaves(layers[0].get("forward", {})))

        def shared(name: str, a: Array) -> Array:
            return first[name] if name in first and np.shape(first[name]) == np.shape(a) else a

        found = [
            {half: named_map(shared, p) if half == "forward" else p for half, p in layer.items()} for layer in layers
        ]
        return replace(given, params={**given.params, "layers": found})


class UpperLayersRunForward(Faulty):
    """A reverse half above the first layer runs forward in time."""

    def asked(self, asked: Asked) -> Asked:
        _, index, half = asked.call.place.split(".")
        return (
            asked if index == "0" else replace(asked, inputs=in_time(self.arrays, half, asked.inputs, asked.lengths))
        )


class DenseBiasTwice(Faulty):
    """The output layer adds its bias twice."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        if net.output is not None:
            params = {**params, "output": {**params["output"], "b": 2 * np.asarray(params["output"]["b"])}}
        return super().run(net, params, inputs, state, lengths, resets)


class DenseBiasAtPadding(Faulty):
    """After a row's end the output layer gives its bias, not zeros."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if net.output is None or lengths is None or not isinstance(net.read, Steps):
            return result
        padded = np.arange(len(result.outputs))[:, None] >= np.asarray(lengths)[None, :]
        outputs = np.where(padded[..., None], np.asarray(params["output"]["b"], result.outputs.dtype), result.outputs)
        return replace(result, outputs=outputs)


class _Skipping(NumpyArrays):
    """Passes over a step of one of the loops."""

    def __init__(self, dtype: Any, backwards: bool, skips: Callable[[int, int], bool]) -> None:
        super().__init__(dtype)
        self.backwards, self.skips = backwards, skips

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        def skipping(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            new, record = body(now, step_values, t)
            if backwards != self.backwards or not self.skips(t, count):
                return new, record
            return now, {key: now.get(key, value) for key, value in record.items()}

        return super().scan(skipping, carried, values, count, backwards)
