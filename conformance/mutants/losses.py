"""Faults with a loss: its sum, its gradients, what comes back beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Gradients, Step
from rnnspec.arrays import Array
from rnnspec.tree import Tree, tree_map


class OfTheMean(Faulty):
    """The gradients of a loss are those of its mean."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, grads=_scaled(step.grads, 1 / max(step.count, 1)))


class OfTwiceTheLoss(Faulty):
    """The gradients of a loss are doubled."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, grads=_scaled(step.grads, 2))


class LossIsAMean(Faulty):
    """The sum of a loss is its mean."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, loss_sum=step.loss_sum / step.loss_sum.dtype.type(max(step.count, 1)))


class LossForgetsFinalState(Faulty):
    """A loss comes back with the initial state for the final one."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths)
        return (
            step
            if state is None
            else replace(step, state=tree_map(lambda s, like: np.asarray(s, like.dtype), state, step.state))
        )


def _scaled(gradients: Gradients, factor: float) -> Gradients:
    def times(tree: Tree) -> Tree:
        return tree_map(lambda g: g * g.dtype.type(factor), tree)

    return Gradients(times(gradients.params), times(gradients.inputs), times(gradients.state))
