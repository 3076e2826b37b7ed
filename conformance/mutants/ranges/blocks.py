"""Faults of code that works in whole blocks: what is left over, counters of few bits, layers from the third on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Call, Cell, Gradients, LayerResult
from rnnspec.contract.arrays import Array
from rnnspec.policies import Truncated
from rnnspec.tree import Tree, tree_map


class _EndsOfBits(Faulty):
    """With more than 64 steps, a row that ends after so many steps runs on: its end is kept in as many bits."""

    bits: int

    def asked(self, asked: Asked) -> Asked:
        steps = len(asked.inputs)
        if asked.lengths is None or steps <= 64:
            return asked
        return replace(asked, lengths=np.where(asked.lengths >= self.bits, steps, asked.lengths))


class EndsOf32Bits(_EndsOfBits):
    """With more than 64 steps, a row that ends after the 32nd step runs on: its end is kept in 32 bits."""

    bits = 32


class EndsOf64Bits(_EndsOfBits):
    """With more than 64 steps, a row that ends after the 64th step runs on: its end is kept in 64 bits."""

    bits = 64


class UnitsBeyond64NotHeld(Faulty):
    """Final states of units beyond the 64th are zeros in rows that end early."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        early = (asked.lengths < len(asked.inputs))[:, None]
        held = {name: np.where(early & (np.arange(s.shape[1]) >= 64), s.dtype.type(0), s)
                for name, s in result.state.items()}  # fmt: skip
        return replace(result, state=held)


class WidthsOf64InHalfPrecision(Faulty):
    """Recurrent maps are rounded to 11 bits where the width is a multiple of 64."""

    def asked(self, asked: Asked) -> Asked:
        if _width(asked.state) % 64 or "U" not in asked.params:
            return asked
        rounded = tree_map(lambda a: a.astype(np.float16).astype(a.dtype), asked.params["U"])
        return replace(asked, params={**asked.params, "U": rounded})


class BatchesOf32StartFromZeros(Faulty):
    """Where the batch is a multiple of 32, the initial state is not read."""

    def asked(self, asked: Asked) -> Asked:
        whole = asked.inputs.shape[1] % 32 == 0
        return replace(asked, state=tree_map(np.zeros_like, asked.state)) if whole else asked


class LastStepOf64Lost(Faulty):
    """Where the steps are a multiple of 64, the inputs of the last have no gradient."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        steps = len(gradients.inputs)
        kept = (np.arange(steps) < steps - (steps % 64 == 0))[:, None, None]
        return replace(gradients, inputs=np.where(kept, gradients.inputs, gradients.inputs.dtype.type(0)))


class OutputsCountedBy15Bits(Faulty):
    """Outputs beyond the 32,768th number are zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        counted = (np.arange(result.outputs.size) < 32_768).reshape(result.outputs.shape)
        return replace(result, outputs=np.where(counted, result.outputs, result.outputs.dtype.type(0)))


class BiasBeyondUnit40Lost(Faulty):
    """The last gate's bias has no gradient beyond the 40th unit."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        biases = gradients.params.get("b", {})
        if not biases:
            return gradients
        *_, (name, b) = biases.items()
        few = np.where(np.arange(len(b)) < 40, b, b.dtype.type(0))
        return replace(gradients, params={**gradients.params, "b": {**biases, name: few}})


class WideLayersUnclipped(Faulty):
    """A policy that clips is left out in layers of more than eight units."""

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        wide = _width(state_cotangent) > 8 and not isinstance(call.policy, Truncated)
        asked = replace(call, policy=None) if wide else call
        return super().layer_pullback(cell, params, result, output_cotangent, state_cotangent, asked)


class OneStepOfOneRow(Faulty):
    """The length of one row of one step is not read."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, lengths=None) if asked.inputs.shape[:2] == (1, 1) else asked


class ThirdLayersHalvesExchanged(Faulty):
    """From the third layer on, the halves start from one another's states."""

    def given(self, given: Given) -> Given:
        if given.state is None:
            return given
        turned = [{"forward": s["reverse"], "reverse": s["forward"]} if i > 1 and len(s) > 1 else s
                  for i, s in enumerate(given.state)]  # fmt: skip
        return replace(given, state=turned)


class ThirdLayerIgnoresLengths(Faulty):
    """From the third layer on, every row has all steps."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, lengths=None) if _storey(asked) > 1 else asked


class ReverseStateOfTheLayerBelow(Faulty):
    """A reverse half starts from the state of the one below, where they have one shape."""

    def asked(self, asked: Asked) -> Asked:
        if not asked.call.place.endswith("reverse"):
            return asked
        kept = self.__dict__.setdefault("kept", {})
        kept[_storey(asked)] = asked.state
        below: Any = kept.get(_storey(asked) - 1)
        alike = below is not None and tree_map(np.shape, below) == tree_map(np.shape, asked.state)
        return replace(asked, state=below) if alike else asked


def _width(state: Tree) -> int:
    return int(next(iter(state.values())).shape[1])


def _storey(asked: Asked) -> int:
    return int(asked.call.place.split(".")[1])
