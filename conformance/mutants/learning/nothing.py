"""Faults with a batch in which nothing counts: rows without a step, or no rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class _Idle(Faulty):
    """Answers otherwise where rows and steps are there, and none of them counts."""

    def idle(self, step: Step, given: Given) -> Step:
        """What such a loss answers."""
        return step

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        nothing = step.count == 0 and np.size(inputs) > 0
        return self.idle(step, Given(net, params, inputs, state, lengths, resets)) if nothing else step


class LossIsNaN(_Idle):
    """The loss of rows without a step is 0/0."""

    def idle(self, step: Step, given: Given) -> Step:
        return replace(step, loss_sum=step.loss_sum * np.nan)


class GradientIsNaN(_Idle):
    """The gradients of rows without a step are 0/0."""

    def idle(self, step: Step, given: Given) -> Step:
        return replace(step, grads=replace(step.grads, params=tree_map(lambda g: g * np.nan, step.grads.params)))


class CountIsOne(_Idle):
    """The count of a batch without steps is 1."""

    def idle(self, step: Step, given: Given) -> Step:
        return replace(step, count=1)


class StateIsForgotten(_Idle):
    """The final state of rows without a step is zeros under a loss."""

    def idle(self, step: Step, given: Given) -> Step:
        return replace(step, state=tree_map(np.zeros_like, step.state))


class StandsStill(Faulty):
    """A training step in which nothing counts leaves everything as it is."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        return done if done.count else replace(done, params=_alike(params, done.params),
                                               rule_state=_alike(rule_state, done.rule_state))  # fmt: skip


class RuleStandsStill(Faulty):
    """A training step in which nothing counts moves the parameters, and not the rule's state."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        return done if done.count else replace(done, rule_state=_alike(rule_state, done.rule_state))


class RuleBeginsAgain(Faulty):
    """A training step in which nothing counts begins with a fresh rule state."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        return done if done.count else super().train_step(net, rule, params, rule.init(params), *given, **named)


class UpdateDividesByZero(Faulty):
    """An update from a step whose count is 0 divides by the count."""

    def update(self, net: Any, rule: Any, params: Tree, rule_state: Tree, step: Step) -> Trained:
        done = super().update(net, rule, params, rule_state, step)
        return done if step.count else replace(done, params=tree_map(lambda w: w * np.nan, done.params))


class NoRowsNoLoss(Faulty):
    """A loss of no rows looks at the first of them."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, *rest: Any, **named: Any) -> Step:
        if len(inputs) and np.shape(inputs)[1] == 0:
            inputs[0, 0]
        return super().value_and_grad(net, params, inputs, *rest, **named)


def _alike(old: Tree, new: Tree) -> Tree:
    return tree_map(lambda a, b: np.asarray(a, b.dtype), old, new)
