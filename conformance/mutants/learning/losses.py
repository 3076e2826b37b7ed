"""Faults with a loss: its sum, its gradients, what comes back beside it."""

from __future__ import annotations

from dataclasses import replace
from math import log
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Faulty
from conformance.mutants.learning import mislosses
from rnnspec import Gradients, Last, Step, Steps
from rnnspec.contract.arrays import Array
from rnnspec.losses import Loss, SigmoidCrossEntropy, SoftmaxCrossEntropy, SquaredError
from rnnspec.tree import Tree, tree_map

PARTS = ("params", "inputs", "state")
COST_OF_ZEROS = {SoftmaxCrossEntropy: log, SigmoidCrossEntropy: lambda features: features * log(2)}
"""What outputs of zeros cost, whatever the target, by their features."""


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
    """A loss call returns the initial state instead of the final one."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        return (
            step
            if state is None
            else replace(step, state=tree_map(lambda s, like: np.asarray(s, like.dtype), state, step.state))
        )


class EmptyRowsAreCounted(Faulty):
    """With `Last()`, the count of a loss includes rows without a step."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        return replace(step, count=inputs.shape[1]) if isinstance(net.read, Last) else step


class PaddedStepsAreLost(Faulty):
    """Padded steps add to a cross-entropy what outputs of zeros cost."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        cost = COST_OF_ZEROS.get(type(net.loss))
        if cost is None or not isinstance(net.read, Steps):
            return step
        padded = inputs.shape[0] * inputs.shape[1] - step.count
        return replace(step, loss_sum=step.loss_sum + step.loss_sum.dtype.type(padded * cost(net.features)))


class TargetsOneStepLate(Faulty):
    """Where rows are padded, each step gets the target of the step before it, and the first step that of the last."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        if lengths is not None and isinstance(net.read, Steps):
            targets = np.array(targets)
            for row, end in enumerate(np.asarray(lengths)):
                targets[:end, row] = np.roll(targets[:end, row], 1, axis=0)
        return super().value_and_grad(net, params, inputs, targets, state, lengths, resets)


class GradientOfAnotherClass(Faulty):
    """The gradients are those of the class after the target's, though the loss is the target's."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if not net.loss.integer_targets:
            return step
        after = np.where(np.asarray(targets) < 0, targets, (np.asarray(targets) + 1) % net.features)
        return replace(step, grads=super().value_and_grad(net, params, inputs, after, state, lengths, resets).grads)


class FinalStatesAreLost(Faulty):
    """The gradients are those of the loss and of the sum of the final states."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        none = np.zeros_like(self.run(net, params, inputs, state, lengths, resets).outputs)
        more = self.pullback(net, params, inputs, none, tree_map(np.ones_like, step.state), state, lengths, resets)
        return replace(step, grads=Gradients(*(tree_map(lambda g, h: g + h, getattr(step.grads, part),
                                                        getattr(more, part)) for part in PARTS)))  # fmt: skip


class _Mistaken(Faulty):
    """Puts a faulty loss in the place of every loss of one kind."""

    instead: ClassVar[dict[type[Loss], Loss]] = {}

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        return super().value_and_grad(replace(net, loss=self.instead.get(type(net.loss), net.loss)), *given, **named)


class SquaredErrorWithoutHalf(_Mistaken):
    """The squared error and its gradients are twice too large."""

    instead: ClassVar = {SquaredError: mislosses.SquaredWithoutHalf()}


class FeaturesAreAveraged(_Mistaken):
    """The sigmoid's cross-entropy and its gradients are means over features."""

    instead: ClassVar = {SigmoidCrossEntropy: mislosses.SigmoidAveraged()}


class SigmoidLossOverflows(_Mistaken):
    """The sigmoid's cross-entropy is infinite where exp overflows."""

    instead: ClassVar = {SigmoidCrossEntropy: mislosses.SigmoidOverflowing()}


class SoftmaxLossOverflows(_Mistaken):
    """The softmax' cross-entropy is infinite where exp overflows."""

    instead: ClassVar = {SoftmaxCrossEntropy: mislosses.SoftmaxOverflowing()}


class SigmoidLossIsCut(_Mistaken):
    """The sigmoid's cross-entropy raises every probability to at least 1e-7."""

    instead: ClassVar = {SigmoidCrossEntropy: mislosses.SigmoidCut()}


class SoftmaxLossIsCut(_Mistaken):
    """The softmax' cross-entropy raises every probability to at least 1e-7."""

    instead: ClassVar = {SoftmaxCrossEntropy: mislosses.SoftmaxCut()}


def _scaled(gradients: Gradients, factor: float) -> Gradients:
    def times(tree: Tree) -> Tree:
        return tree_map(lambda g: g * g.dtype.type(factor), tree)

    return Gradients(times(gradients.params), times(gradients.inputs), times(gradients.state))


class SixtyFourClasses(Faulty):
    """The loss leaves out the classes beyond the 64th."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        many = net.output is not None and net.features > 64
        return replace(step, loss_sum=step.loss_sum * step.loss_sum.dtype.type(0.9)) if many else step
