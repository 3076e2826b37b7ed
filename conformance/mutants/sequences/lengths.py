"""Faults with lengths: what happens at and after a row's end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, Last, LayerResult, Result, Step, Steps
from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import Tree, tree_map


class Ignored(Faulty):
    """Every row runs to the end of time."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, lengths=None)


class OneShort(Faulty):
    """Every row ends a step early."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, lengths=np.maximum(asked.lengths - 1, 0))


class OneLong(Faulty):
    """Every row ends a step late."""

    def asked(self, asked: Asked) -> Asked:
        return (
            asked if asked.lengths is None else replace(asked, lengths=np.minimum(asked.lengths + 1, len(asked.inputs)))
        )


class Inverted(Faulty):
    """The real steps are taken for padding, as many from the start as there is padding."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, lengths=len(asked.inputs) - asked.lengths)


class OutputsMaskedOnly(Faulty):
    """Outputs end with their row, states run on."""

    def asked(self, asked: Asked) -> Asked:
        self.rows = asked.lengths
        return replace(asked, lengths=None)

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return result if self.rows is None else replace(result, outputs=_masked(result.outputs, self.rows))


class OutputsHeld(Faulty):
    """After a row's end its last output is repeated."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        step = np.minimum(np.arange(len(asked.inputs))[:, None], np.maximum(asked.lengths - 1, 0)[None, :])
        return replace(result, outputs=np.take_along_axis(result.outputs, step[:, :, None], 0))


class MultipliedAway(Faulty):
    """A selection multiplies by 0 and 1: NaN and infinity stay, although they are not selected."""

    def make_arrays(self) -> Any:
        arrays, dtype = super().make_arrays(), np.dtype(DTYPES[self.precision])

        def blend(condition: Array, a: Array, b: Array) -> Array:
            chosen = np.asarray(condition).astype(dtype)
            return np.asarray(chosen * a + (1 - chosen) * b, dtype)

        with_blend = {**arrays.functions, "where": lambda c, a, b: blend(c, a, b) if _real(a) else np.where(c, a, b)}
        arrays.functions = with_blend
        return arrays


class ZeroIsOne(Faulty):
    """A row of length 0 runs one step."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, lengths=np.maximum(asked.lengths, 1))


class OnlyTheLongest(Faulty):
    """All rows are as long as the longest."""

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        return replace(asked, lengths=np.full_like(asked.lengths, max(asked.lengths)))


class NeverSortedBack(Faulty):
    """Rows are sorted by length, and stay so in the outputs."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        return replace(result, outputs=result.outputs[:, np.argsort(-asked.lengths, kind="stable")])


class IgnoredInGradients(Faulty):
    """The pullback runs over the padding."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, result=replace(pulled.result, saved=replace(pulled.result.saved, mask=None)))


class PaddedInputsHaveGradients(Faulty):
    """The input gradient of each row's last step is repeated over its padding."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        mask = pulled.result.saved.mask
        if mask is None:
            return gradients
        last = np.maximum(mask.sum(0, keepdims=True) - 1, 0)
        held = np.take_along_axis(gradients.inputs, np.broadcast_to(last, (1, *gradients.inputs.shape[1:])), 0)
        return replace(gradients, inputs=np.where(mask, gradients.inputs, held))


class PaddedCotangentsCount(Faulty):
    """Output cotangents at padded steps are added to the row's last real step."""

    def pullback(
        self,
        net: Any,
        params: Tree,
        inputs: Array,
        output_cotangent: Array,
        state_cotangent: Tree = None,
        state: Tree = None,
        lengths: Array = None, resets: Array = None,
    ) -> Gradients:
        if lengths is not None and isinstance(net.read, Steps) and len(inputs):
            w = np.array(self.to_numpy(output_cotangent))
            for row, length in enumerate(np.asarray(lengths)):
                if length:
                    w[length - 1, row] += w[length:, row].sum(0)
            output_cotangent = w
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)


class LastReadsThePadding(Faulty):
    """`Last()` reads the last step of time, whatever a row's length."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if lengths is None or not isinstance(net.read, Last):
            return result
        full = np.where(np.asarray(lengths) < len(inputs), 0, lengths)
        return replace(result, outputs=super().run(net, params, inputs, state, full, resets).outputs)


class PaddingIsCounted(Faulty):
    """The count of a loss is of all steps, padded ones too."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        return replace(
            step, count=int(np.prod(np.shape(inputs)[:2] if isinstance(net.read, Steps) else np.shape(inputs)[1:2]))
        )


class LostWithoutPadding(Faulty):
    """If no row is padded, the last step is lost."""

    def given(self, given: Given) -> Given:
        steps = len(given.inputs)
        if given.lengths is None or min(np.asarray(given.lengths), default=0) < steps or steps == 0:
            return given
        return replace(given, lengths=np.asarray(given.lengths) - 1)


class StatesMixedAtTheEnd(Faulty):
    """A state is held half-way: the mean of its last two values."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        longer = self.asked(replace(asked, lengths=np.minimum(asked.lengths + 1, len(asked.inputs))))
        later = super(Faulty, self).layer(
            longer.cell, longer.params, longer.inputs, longer.state, longer.lengths, longer.call
        )
        return replace(result, state=tree_map(lambda a, b: a + (b - a) / 2, result.state, later.state))


def _masked(values: Array, lengths: Array) -> Array:
    return np.where(np.arange(len(values))[:, None, None] < lengths[None, :, None], values, values.dtype.type(0))


def _real(a: Any) -> bool:
    return np.asarray(a).dtype.kind == "f"
