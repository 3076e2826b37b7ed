"""Policies, update rules, losses and training steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.control.ruled import Ruled
from conformance.mutants.faulty import Faulty, Given, Pulled
from rnnspec import Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.control.rule import Chain
from rnnspec.losses import CTC
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByValue, ClipStateByNorm, ClipStateByValue, Truncated
from rnnspec.primitives import maximum, sqrt, total
from rnnspec.tree import Tree, leaves, tree_map
from rnnspec.updates import SGD, Adam


class _Policy(Faulty):
    kind: ClassVar[str] = "recurrence policy"

    def changed(self, policy: Any) -> Any:
        raise NotImplementedError

    def pulled(self, pulled: Pulled) -> Pulled:
        policy = pulled.call.policy
        return pulled if policy is None else replace(pulled, call=replace(pulled.call, policy=self.changed(policy)))


class TruncatesOneStepLate(_Policy):
    """Truncation lets gradients through one step more."""

    def changed(self, policy: Any) -> Any:
        return Truncated(policy.steps + 1) if isinstance(policy, Truncated) else policy


class ClipsAtHalf(_Policy):
    """Cotangents of states are clipped at half of the limit."""

    def changed(self, policy: Any) -> Any:
        clips = isinstance(policy, ClipStateByValue | ClipStateByNorm)
        return replace(policy, limit=policy.limit / 2) if clips else policy


class TruncationClips(_Policy):
    """Where gradients should be cut, they are clipped to 1."""

    def changed(self, policy: Any) -> Any:
        return ClipStateByValue(1.0) if isinstance(policy, Truncated) else policy


@dataclass(frozen=True)
class _Soft(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(sum(total(g * g) for _, g in leaves(gradients)))
        return tree_map(lambda g: g * (self.limit / (norm + self.limit)), gradients), state


@dataclass(frozen=True)
class _Halved(ClipByValue):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByValue(self.limit / 2).update(gradients, state, params)


@dataclass(frozen=True)
class _ByLargest(ClipByNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByValue(self.limit).update(gradients, state, params)


class GlobalNormIsSoft(Ruled):
    """Clipping by the global norm divides by the norm plus the limit."""

    kind: ClassVar[str] = "clipping"
    instead: ClassVar = {ClipByGlobalNorm: _Soft}


class ValueClippedAtHalf(Ruled):
    """Clipping by value clips at half of the limit."""

    kind: ClassVar[str] = "clipping"
    instead: ClassVar = {ClipByValue: _Halved}


class NormIsTheLargest(Ruled):
    """Clipping by the norm of each map clips its entries."""

    kind: ClassVar[str] = "clipping"
    instead: ClassVar = {ClipByNorm: _ByLargest}


def _clips(rule: Any) -> bool:
    parts = rule.rules if isinstance(rule, Chain) else (rule,)
    return any(isinstance(part, ClipByGlobalNorm | ClipByNorm | ClipByValue) for part in parts)


class ClipsBeforeTheMean(Faulty):
    """Gradients are clipped as a sum, and divided by the count afterwards."""

    kind: ClassVar[str] = "clipping"

    def _updated(self, method: str, rule: Any, params: Tree, kept: Tree, step: Step) -> Trained:
        if not _clips(rule) or step.count < 2 or not isinstance(rule, Chain):
            return super()._updated(method, rule, params, kept, step)
        loud = replace(step, grads=replace(step.grads, params=tree_map(lambda g: g * g.dtype.type(step.count),
                                                                       step.grads.params)))  # fmt: skip
        return super()._updated(method, rule, params, kept, loud)


@dataclass(frozen=True)
class _Dampened(SGD):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g: 0.9 * g, gradients), state, params)


@dataclass(frozen=True)
class _Absolute(Adam):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g: maximum(g, -g), gradients), state, params)


@dataclass(frozen=True)
class _Late(Adam):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, moved = super().update(gradients, state, params)
        return super().update(gradients, moved, params)


class SgdIsDampened(Ruled):
    """SGD takes nine tenths of each gradient, as with a dampening of 0.1."""

    kind: ClassVar[str] = "update"
    instead: ClassVar = {SGD: _Dampened}


class AdamLosesTheSign(Ruled):
    """Adam steps against the absolute value of the gradient."""

    kind: ClassVar[str] = "update"
    instead: ClassVar = {Adam: _Absolute}


class AdamStepsTwice(Ruled):
    """Adam moves its averages twice in every step."""

    kind: ClassVar[str] = "update"
    instead: ClassVar = {Adam: _Late}


class MeanOverRows(Faulty):
    """A training step divides the gradient by the number of rows, not by the count of the loss."""

    kind: ClassVar[str] = "update"

    def _updated(self, method: str, rule: Any, params: Tree, kept: Tree, step: Step) -> Trained:
        found = super()._updated(method, rule, params, kept, replace(step, count=max(step.count // 2, 1)))
        return replace(found, count=step.count)


class OldParametersReturned(Faulty):
    """A training step returns the parameters of before."""

    kind: ClassVar[str] = "update"

    def trained(self, given: Given, done: Trained) -> Trained:
        return replace(done, params=tree_map(np.array, given.params))


class LossOfAfterTheStep(Faulty):
    """The loss that a training step returns is off by a hundredth: it is the loss of other parameters."""

    kind: ClassVar[str] = "update"

    def trained(self, given: Given, done: Trained) -> Trained:
        return replace(done, loss_sum=done.loss_sum * done.loss_sum.dtype.type(0.99))


class LossIsPerRow(Faulty):
    """The loss is divided by the number of rows."""

    kind: ClassVar[str] = "loss"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, params, inputs, *given, **named)
        return replace(step, loss_sum=step.loss_sum / step.loss_sum.dtype.type(max(inputs.shape[1], 1)))


class CountOfRows(Faulty):
    """The count of a loss is the number of rows."""

    kind: ClassVar[str] = "loss"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, *given: Any, **named: Any) -> Step:
        return replace(super().value_and_grad(net, params, inputs, *given, **named), count=int(inputs.shape[1]))


class LossWithLabelSmoothing(Faulty):
    """The gradients of a loss are a tenth too small, as if its labels were smoothed."""

    kind: ClassVar[str] = "loss"

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        grads = replace(step.grads, params=tree_map(lambda g: g * g.dtype.type(0.9), step.grads.params))
        return replace(step, grads=grads)


class BlankIsTheLastClass(Faulty):
    """The first class is taken for the blank of CTC, whichever it is."""

    kind: ClassVar[str] = "CTC"

    def given(self, given: Given) -> Given:
        loss = given.net.loss
        if not isinstance(loss, CTC) or loss.blank == 0:
            return given
        return replace(given, net=replace(given.net, loss=replace(loss, blank=0)))


class CtcAveragedOverLabels(Faulty):
    """The loss of CTC is divided by the most labels of a row."""

    kind: ClassVar[str] = "CTC"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, *given, **named)
        if not isinstance(net.loss, CTC):
            return step
        return replace(step, loss_sum=step.loss_sum / step.loss_sum.dtype.type(max(np.shape(targets)[-1], 1)))


class RepeatedLabelsMerged(Faulty):
    """Repeated labels of a target are merged for CTC."""

    kind: ClassVar[str] = "CTC"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, *given: Any, **named: Any) -> Step:
        if isinstance(net.loss, CTC):
            targets = np.stack([_merged(row) for row in np.asarray(targets)]) if len(targets) else targets
        return super().value_and_grad(net, params, inputs, targets, *given, **named)


def _merged(row: Array) -> Array:
    kept = [label for i, label in enumerate(row) if label >= 0 and (i == 0 or label != row[i - 1])]
    return np.array([*kept, *[-1] * (len(row) - len(kept))], row.dtype)


