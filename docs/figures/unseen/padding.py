"""Rows of different lengths: steps after a row's end, lengths that are misread, rows without a step, rows mixed up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, LayerResult, Result, Step, Steps
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


def _ends(asked: Asked) -> Array:
    return np.full(asked.inputs.shape[1], len(asked.inputs)) if asked.lengths is None else np.asarray(asked.lengths)


class FirstStateRunsOn(Faulty):
    """After a row's end, the first state runs on over zeros; the others are held."""

    kind: ClassVar[str] = "padding counted"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        on = super(Faulty, self).layer(asked.cell, asked.params, asked.inputs, asked.state, None, asked.call)
        first = next(iter(result.state))
        return replace(result, state={**result.state, first: on.state[first]})


class StateReadAtTheEndOfTime(Faulty):
    """The final state is read at the last step of time, where a row that has ended has zeros."""

    kind: ClassVar[str] = "padding counted"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        full = (_ends(asked) == len(asked.inputs))[:, None]
        state = {name: np.where(full.reshape(-1, *[1] * (s.ndim - 1)), s, s.dtype.type(0))
                 for name, s in result.state.items()}  # fmt: skip
        return replace(result, state=state)


class PaddedStepsCostSomething(Faulty):
    """A loss is a mean over all steps, padded ones too, times the count."""

    kind: ClassVar[str] = "padding counted"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        every = inputs.shape[0] * inputs.shape[1]
        if lengths is None or not isinstance(net.read, Steps) or not every or net.loss.aligned:
            return step
        share = step.loss_sum.dtype.type(step.count / every)
        return replace(step, loss_sum=step.loss_sum * share)


class StateCotangentFadesInPadding(Faulty):
    """The cotangent of a row's final state is halved for rows that end early."""

    kind: ClassVar[str] = "padding counted"

    def pulled(self, pulled: Pulled) -> Pulled:
        mask = getattr(pulled.result.saved, "mask", None)
        if mask is None:
            return pulled
        early = ~np.asarray(mask)[-1, :, 0]
        halved = {name: np.where(early.reshape(-1, *[1] * (s.ndim - 1)), s * s.dtype.type(0.5), s)
                  for name, s in pulled.state_cotangent.items()}  # fmt: skip
        return replace(pulled, state_cotangent=halved)


class PaddedOutputsAreTheInitialState(Faulty):
    """After a row's end the outputs are those of its first step."""

    kind: ClassVar[str] = "padding counted"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        real = (np.arange(len(asked.inputs))[:, None] < _ends(asked))[..., None]
        return replace(result, outputs=np.where(real, result.outputs, result.outputs[:1]))


class ShortRowsOneShorter(Faulty):
    """Rows that end before the last step end one step too early."""

    kind: ClassVar[str] = "length misread"

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        ends = np.asarray(asked.lengths)
        return replace(asked, lengths=np.where((ends < len(asked.inputs)) & (ends > 0), ends - 1, ends))


class LengthsRoundedUpToFour(Faulty):
    """Lengths are rounded up to a multiple of four."""

    kind: ClassVar[str] = "length misread"

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        return replace(asked, lengths=np.minimum((np.asarray(asked.lengths) + 3) // 4 * 4, len(asked.inputs)))


class LengthsOfNeighbours(Faulty):
    """Each row has the length of the row after it."""

    kind: ClassVar[str] = "length misread"

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, lengths=np.roll(asked.lengths, -1))


class LengthsOfOneAreNone(Faulty):
    """A row of one step is taken for a row without a step."""

    kind: ClassVar[str] = "length misread"

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        ends = np.asarray(asked.lengths)
        return replace(asked, lengths=np.where(ends == 1, 0, ends))


class EmptyRowsAreNan(Faulty):
    """The outputs of a row without a step are 0 / 0."""

    kind: ClassVar[str] = "empty row"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        empty = (_ends(asked) == 0)[None, :, None]
        return replace(result, outputs=np.where(empty, result.outputs.dtype.type(np.nan), result.outputs))


class EmptyRowsTakeTheRowBefore(Faulty):
    """A row without a step has the final state of the row before it."""

    kind: ClassVar[str] = "empty row"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        empty = _ends(asked) == 0
        state = {name: np.where(empty.reshape(-1, *[1] * (s.ndim - 1)), np.roll(s, 1, 0), s)
                 for name, s in result.state.items()}  # fmt: skip
        return replace(result, state=state)


class EmptyRowsAreRefused(Faulty):
    """A batch with a row without a step is refused, as packed sequences refuse it."""

    kind: ClassVar[str] = "empty row"

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is not None and 0 in np.asarray(asked.lengths):
            raise RuntimeError("lengths must be greater than 0")
        return asked


class EmptyRowsStateHasNoGradient(Faulty):
    """The initial state of a row without a step has a gradient of zeros."""

    kind: ClassVar[str] = "empty row"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        mask = getattr(pulled.result.saved, "mask", None)
        if mask is None:
            return gradients
        some = np.asarray(mask)[0, :, 0]
        state = {name: np.where(some.reshape(-1, *[1] * (s.ndim - 1)), s, s.dtype.type(0))
                 for name, s in gradients.state.items()}  # fmt: skip
        return replace(gradients, state=state)


class InputsTimesMask(Faulty):
    """Padded inputs are multiplied by 0 instead of replaced by it."""

    kind: ClassVar[str] = "NaN in padding"

    def shown(self, inputs: Array, lengths: Array) -> Array:
        real = np.arange(len(inputs))[:, None, None] < np.asarray(lengths)[None, :, None]
        return np.asarray(inputs * real.astype(inputs.dtype))


class PaddingChecked(Faulty):
    """A call with NaN anywhere in its inputs, padding included, is refused."""

    kind: ClassVar[str] = "NaN in padding"

    def given(self, given: Given) -> Given:
        if given.lengths is not None and not np.isfinite(np.asarray(given.inputs)).all():
            raise ValueError("inputs must be finite")
        return given


class CotangentsTimesMask(Faulty):
    """A pullback multiplies the cotangents of padded outputs by 0 instead of replacing them."""

    kind: ClassVar[str] = "NaN in padding"

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        found = super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)
        if lengths is None or not isinstance(net.read, Steps):
            return found
        padded = np.arange(len(inputs))[:, None] >= np.asarray(lengths)[None, :]
        none = (np.asarray(output_cotangent) * 0)[padded].sum(dtype=found.inputs.dtype)
        return replace(found, params=tree_map(lambda g: g + none, found.params))


class StatesNotSortedBack(Faulty):
    """Rows are sorted by length for the run, and the final states stay sorted."""

    kind: ClassVar[str] = "rows mixed"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        order = np.argsort(-np.asarray(asked.lengths), kind="stable")
        return replace(result, state=tree_map(lambda s: s[order], result.state))


class InitialStatesOfOtherRows(Faulty):
    """The rows' initial states stand in the reverse order."""

    kind: ClassVar[str] = "rows mixed"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(lambda s: s[::-1], asked.state))


class OddBatchesPadded(Faulty):
    """An odd batch is filled up to an even one, and the last row is lost to the filling."""

    kind: ClassVar[str] = "rows mixed"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        batch = asked.inputs.shape[1]
        if batch < 2 or batch % 2 == 0:
            return result
        outputs = np.array(result.outputs)
        outputs[:, -1] = outputs[:, -2]
        return replace(result, outputs=outputs)


class RowsStandardised(Faulty):
    """The mean of the batch is subtracted from the outputs."""

    kind: ClassVar[str] = "rows mixed"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if not result.outputs.size:
            return result
        mean = result.outputs.mean(-2, keepdims=True)
        return replace(result, outputs=(result.outputs - mean).astype(result.outputs.dtype))
