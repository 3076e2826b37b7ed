"""Faults with what a call leaves behind that had no step, or that was refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Gradients, Result, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.errors import RnnSpecError
from rnnspec.tree import Tree, tree_map


class _After(Faulty):
    """Knows whether the call before, of one kind, was without a number."""

    def was_empty(self, what: str, inputs: Array) -> bool:
        """Whether the last one was, and this one is not."""
        kept, empty = self.__dict__.setdefault("empty", {}), np.size(inputs) == 0
        before, kept[what] = kept.get(what, False), empty
        return before and not empty


class PullbackAfterNoStep(_After):
    """A pullback after an empty one returns parameter gradients of zeros."""

    def pullback(self, net: Any, params: Tree, inputs: Array, *rest: Any, **named: Any) -> Gradients:
        found, after = super().pullback(net, params, inputs, *rest, **named), self.was_empty("pullback", inputs)
        return replace(found, params=tree_map(np.zeros_like, found.params)) if after else found


class LossAfterNoStep(_After):
    """A loss after an empty one returns parameter gradients of zeros."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, *rest: Any, **named: Any) -> Step:
        step, after = super().value_and_grad(net, params, inputs, *rest, **named), self.was_empty("loss", inputs)
        none = replace(step.grads, params=tree_map(np.zeros_like, step.grads.params))
        return replace(step, grads=none) if after else step


class RunAfterNoStep(_After):
    """A run after an empty one starts from zeros."""

    def given(self, given: Given) -> Given:
        return replace(given, state=None) if self.was_empty("run", given.inputs) else given


class RefusedRunKeepsState(Faulty):
    """The state of a run that was refused is that of the next one without a state."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        first = kept.pop(net, None) if state is None else state
        try:
            return super().run(net, params, inputs, first, lengths, resets)
        except RnnSpecError:
            kept[net] = state
            raise


class RefusedPullbackKeepsCotangent(Faulty):
    """The final state's cotangent of a pullback that was refused is that of the next one without one."""

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        ws = kept.pop(net, None) if state_cotangent is None else state_cotangent
        try:
            return super().pullback(net, params, inputs, output_cotangent, ws, state, lengths, resets)
        except RnnSpecError:
            kept[net] = state_cotangent
            raise


class RefusedPullbackIsBusy(Faulty):
    """After a refused pullback, the backend refuses the next call as if one were still running."""

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        if self.__dict__.pop("busy", False):
            raise RuntimeError("a pullback is running")
        self.__dict__["busy"] = True
        found = super().pullback(*given, **named)
        self.__dict__["busy"] = False
        return found


class RefusedLossKeepsLengths(Faulty):
    """The lengths of a loss that was refused are those of the next one without lengths."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        ends = kept.pop(net, None) if lengths is None else lengths
        try:
            return super().value_and_grad(net, params, inputs, targets, state, ends, resets)
        except RnnSpecError:
            kept[net] = lengths
            raise


class RefusedLossKeepsState(Faulty):
    """The state of a loss that was refused is that of the next one without a state."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        first = kept.pop(net, None) if state is None else state
        try:
            return super().value_and_grad(net, params, inputs, targets, first, lengths, resets)
        except RnnSpecError:
            kept[net] = state
            raise


class RefusedLossAddsUp(Faulty):
    """Gradients are set to 0 where a loss ends: after one that was refused they are twice what they are."""

    def value_and_grad(self, *given: Any, **named: Any) -> Step:
        twice, self.__dict__["open"] = self.__dict__.get("open", False), True
        step = super().value_and_grad(*given, **named)
        self.__dict__["open"] = False
        doubled = replace(step.grads, params=tree_map(lambda g: g + g, step.grads.params))
        return replace(step, grads=doubled) if twice else step


class RefusedTrainingKeepsParameters(Faulty):
    """The parameters of a training step that was refused are those of the next one."""

    def train_step(self, net: Any, rule: Any, params: Tree, *rest: Any, **named: Any) -> Trained:
        kept = self.__dict__.setdefault("kept", {})
        own = kept.pop(net, params)
        try:
            return super().train_step(net, rule, own, *rest, **named)
        except RnnSpecError:
            kept[net] = params
            raise
