"""Faults with rows and memory: rows mixed up, answers kept, arguments changed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given
from rnnspec import Gradients, LayerResult, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class RowsMixed(Faulty):
    """A thousandth of the batch's mean is added to every row."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        mean = result.outputs.mean(1, keepdims=True)
        return replace(result, outputs=result.outputs + mean * result.outputs.dtype.type(1e-3))


class RowsRolled(Faulty):
    """Each row's outputs are those of the row before."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=np.roll(result.outputs, 1, 1))


class FirstRowForAll(Faulty):
    """Every row has the first row's outputs."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=np.repeat(result.outputs[:, :1], result.outputs.shape[1], 1))


class RowsBeyondFourLost(Faulty):
    """Rows beyond the fourth are zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        few = (np.arange(result.outputs.shape[1]) < 4)[None, :, None]
        return replace(result, outputs=np.where(few, result.outputs, result.outputs.dtype.type(0)))


class AnsweredByIdentity(Faulty):
    """A second call with the same input array gives the first call's answer, whatever else changed."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        if (net, id(inputs)) not in kept:
            kept[net, id(inputs)] = (super().run(net, params, inputs, state, lengths, resets), inputs)
        return kept[net, id(inputs)][0]  # type: ignore[no-any-return]


class Stateful(Faulty):
    """A call without an initial state continues from the final state of the call before."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        key = (net, np.shape(inputs)[1])
        result = super().run(net, params, inputs, kept.get(key) if state is None else state, lengths, resets)
        kept[key] = result.state
        return result


class GradientsAccumulate(Faulty):
    """Parameter gradients are added to those of the call before."""

    def pullback(self, net: Any, *given: Any, **named: Any) -> Gradients:
        kept = self.__dict__.setdefault("kept", {})
        found = super().pullback(net, *given, **named)
        before = kept.get(net)
        kept[net] = found.params if before is None else tree_map(lambda a, b: a + b, before, found.params)
        return replace(found, params=kept[net])


class BufferReused(Faulty):
    """The outputs of all calls share one buffer."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        result = super().run(net, params, inputs, state, lengths, resets)
        buffer = kept.setdefault((net, result.outputs.shape), np.empty_like(result.outputs))
        buffer[...] = result.outputs
        return replace(result, outputs=buffer)


class InputsChanged(Faulty):
    """A call overwrites the caller's inputs."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if isinstance(inputs, np.ndarray) and inputs.flags.writeable:
            inputs *= 0.5
        return result


class CotangentChanged(Faulty):
    """The pullback overwrites the caller's output cotangent."""

    def pullback(
        self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, *rest: Any, **named: Any
    ) -> Gradients:
        found = super().pullback(net, params, inputs, output_cotangent, *rest, **named)
        if isinstance(output_cotangent, np.ndarray) and output_cotangent.flags.writeable:
            output_cotangent *= 0.5
        return found


class OutputsAreInputs(Faulty):
    """Where inputs and outputs have one shape, the answer stands in the inputs' memory."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        alias = [s for s in _leaves(state) if s.shape == result.outputs.shape[-2:] and s.dtype == result.outputs.dtype]
        if not alias or result.outputs.ndim != 3 or len(result.outputs) == 0 or not alias[0].flags.writeable:
            return result
        first = next(iter(result.state[0].values()))
        name = next(iter(first))
        alias[0][...] = first[name]
        return replace(result, state=[{**layer, next(iter(layer)): {**first, name: alias[0]}} if i == 0 else layer
                                      for i, layer in enumerate(result.state)])  # fmt: skip


class FortranOrderRead(Faulty):
    """Inputs that are not contiguous are read in the order of memory."""

    def given(self, given: Given) -> Given:
        x = given.inputs
        if not isinstance(x, np.ndarray) or x.flags.c_contiguous or x.base is None:
            return given
        flat = np.asarray(x.base).ravel("K")[: x.size]
        return replace(given, inputs=flat.reshape(x.shape).astype(x.dtype) if flat.size == x.size else x)


class ShapeForgotten(Faulty):
    """The answer to a batch of one row lacks the batch axis."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        one = result.outputs.ndim == 3 and result.outputs.shape[1] == 1
        return replace(result, outputs=result.outputs[:, 0] if one else result.outputs)


def _leaves(tree: Tree) -> list[np.ndarray[Any, Any]]:
    found: list[np.ndarray[Any, Any]] = []
    if tree is not None:
        tree_map(lambda a: found.append(a) if isinstance(a, np.ndarray) else None, tree)
    return found
