"""Faults with resets: at which steps, in which rows, layers and calls a part begins, and what crosses its beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, LayerResult, Result, Step
from rnnspec.contract.arrays import Array, NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.contract.resets import Resets
from rnnspec.tree import Tree, tree_map


class _Elsewhere(Faulty):
    """A layer starts afresh at other steps."""

    def here(self, here: Array) -> Array:
        """The steps (time, batch, 1), in processing order, at which it does."""
        return here

    def asked(self, asked: Asked) -> Asked:
        if asked.resets is None:
            return asked
        return replace(asked, resets=Resets(self.here(np.array(asked.resets.here)), asked.resets.steps))


class Ignored(Faulty):
    """No step is a reset."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, resets=None)


class IgnoredAtTheStart(_Elsewhere):
    """A reset at the first step is ignored."""

    def here(self, here: Array) -> Array:
        here[0] = False
        return here


class AlwaysAtTheStart(_Elsewhere):
    """In a call with resets the first step is always one."""

    def here(self, here: Array) -> Array:
        here[0] = True
        return here


class IgnoredAboveTheFirstLayer(Faulty):
    """Only the first layer starts afresh."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.call.place.startswith("layers.0.") else replace(asked, resets=None)


class IgnoredBeyondSixtyFourSteps(_Elsewhere):
    """Resets after the first 64 steps are ignored."""

    def here(self, here: Array) -> Array:
        here[64:] = False
        return here


class IgnoredWithLengths(Faulty):
    """Resets are ignored in calls with lengths."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, resets=None)


class IgnoredInOneOfTwo(_Elsewhere):
    """Of two resets that follow each other the second is ignored."""

    def here(self, here: Array) -> Array:
        here[1:] &= ~here[:-1]
        return here


class OneLate(_Elsewhere):
    """A part begins one step late."""

    def here(self, here: Array) -> Array:
        return np.concatenate([here[:1] & False, here[:-1]])


class OneEarly(_Elsewhere):
    """A part begins one step early."""

    def here(self, here: Array) -> Array:
        return np.concatenate([here[1:], here[:1] & False])


class ReverseAtTheReset(Faulty):
    """The reverse half starts afresh before it reads the reset itself, not the step before it in time."""

    def asked(self, asked: Asked) -> Asked:
        if asked.resets is None or not asked.call.place.endswith("reverse"):
            return asked
        here = asked.resets.here
        return replace(asked, resets=Resets(np.concatenate([here[1:], here[:1] & False]), asked.resets.steps))


class OfTheFirstRow(_Elsewhere):
    """The resets of the first row are those of all rows."""

    def here(self, here: Array) -> Array:
        return np.repeat(here[:, :1], here.shape[1], 1)


class OfAnyRow(_Elsewhere):
    """All rows start afresh where any of them does."""

    def here(self, here: Array) -> Array:
        return np.broadcast_to(here.any(1, keepdims=True), here.shape)


class StepsCountedOn(Faulty):
    """A policy counts steps from the start of the call, not from the reset."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.resets is None else replace(asked, resets=Resets(asked.resets.here, None))


class CotangentsCross(Faulty):
    """The pullback goes on across resets."""

    def pulled(self, pulled: Pulled) -> Pulled:
        saved = pulled.result.saved
        if saved.resets is None:
            return pulled
        nowhere = Resets(np.zeros_like(saved.resets.here), saved.resets.steps)
        return replace(pulled, result=replace(pulled.result, saved=replace(saved, resets=nowhere)))


class FinalStateNotReset(Faulty):
    """The final state is that of a run without resets."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        without = super(Faulty, self).layer(
            asked.cell, asked.params, asked.inputs, asked.state, asked.lengths, asked.call
        )
        return replace(result, state=without.state)


class LostInThePadding(Faulty):
    """A reset after a row's end makes its final state zeros."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if resets is None or lengths is None:
            return result
        after = (np.arange(len(inputs))[:, None] >= np.asarray(lengths)) & np.asarray(resets)
        return replace(result, state=tree_map(lambda s: np.where(after.any(0)[:, None], 0 * s, s), result.state))


class _Scanned(Faulty):
    """A loop treats its resets in its own way."""

    loop: type[NumpyArrays]

    def make_arrays(self) -> Any:
        return self.loop(DTYPES[self.precision])


class _Loop(NumpyArrays):
    """Starts afresh outside of the step, by `begun`."""

    def begun(self, reset: Array, name: str, names: list[str], first: Array, a: Array) -> Array:
        """What a step carries on of a state, or passes back of its cotangent."""
        return np.where(reset, a.dtype.type(0), a)

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        if "reset" not in values:
            return super().scan(body, carried, values, count, backwards)
        names, first = list(carried), carried

        def fresh(now: Values, reset: Array) -> Values:
            return {name: self.begun(reset, name, names, first[name], a) for name, a in now.items()}

        def step(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            others = {key: a for key, a in step_values.items() if key != "reset"}
            reset = step_values["reset"]
            if not backwards:
                mask = others.get("mask", np.True_)
                new, record = body(fresh(now, reset), others, t)
                return {name: np.where(mask, a, now[name]) for name, a in new.items()}, record
            new, record = body(now, others, t)
            return fresh(new, reset), record

        return super().scan(step, carried, values, count, backwards)


class _Multiplying(_Loop):
    def begun(self, reset: Array, name: str, names: list[str], first: Array, a: Array) -> Array:
        return a * (1 - reset.astype(a.dtype))


class _OfOneState(_Loop):
    def begun(self, reset: Array, name: str, names: list[str], first: Array, a: Array) -> Array:
        return np.where(reset, a.dtype.type(0), a) if name == names[0] else a


class _ToTheFirst(_Loop):
    def begun(self, reset: Array, name: str, names: list[str], first: Array, a: Array) -> Array:
        return np.where(reset, first, a)


class MultipliedByZero(_Scanned):
    """A reset multiplies states and cotangents by 0: NaN and infinity cross it."""

    loop = _Multiplying


class OfTheFirstStateOnly(_Scanned):
    """Of several states only the first starts afresh."""

    loop = _OfOneState


class ToTheGivenState(_Scanned):
    """A part starts from the state that the call was given, not from zeros."""

    loop = _ToTheFirst


class IgnoredInPullbacks(Faulty):
    """A pullback ignores resets, also when it runs forward."""

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths)


class IgnoredInLosses(Faulty):
    """A loss call ignores resets."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        return super().value_and_grad(net, params, inputs, targets, state, lengths)


class IgnoredInTraining(Faulty):
    """A training step ignores resets."""

    def begun(self, given: Given) -> Given:
        return replace(given, resets=None)


class CountedInLosses(Faulty):
    """A loss counts resets in place of steps where a call has some."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        return step if resets is None else replace(step, count=int(np.asarray(resets).sum()))


class _Taken(Faulty):
    """Resets are read in an own way."""

    read: Callable[[Array, int, int], Array]

    def given(self, given: Given) -> Given:
        if given.resets is None:
            return given
        return replace(given, resets=type(self).read(np.asarray(given.resets), *np.shape(given.inputs)[:2]))


class NumbersTaken(_Taken):
    """The backend accepts numbers as resets."""

    read = staticmethod(lambda resets, steps, rows: resets.astype(bool))


class OneRowForAll(_Taken):
    """The resets of one row serve for all rows."""

    read = staticmethod(lambda resets, steps, rows: resets.repeat(rows, 1) if resets.shape == (steps, 1) else resets)


class RowsBeforeSteps(_Taken):
    """The backend accepts resets with rows before steps."""

    read = staticmethod(lambda resets, steps, rows: resets.T if resets.shape == (rows, steps) else resets)
