"""Faults of a worker's own calls: what it does before and after the exchange."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Gradients, Group, Network, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.control.rule import Chain
from rnnspec.errors import WorkerError
from rnnspec.policies import ClipByGlobalNorm
from rnnspec.tree import Tree, leaves, tree_map


class _OfWorkers(Faulty):
    """Wrong only where it is one of several workers."""

    def answered_by(self, group: Group, step: Step) -> Step:
        """What a loss answers on a worker."""
        return step

    def value_and_grad(self, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(*given, **named)
        return step if self.group is None else self.answered_by(self.group, step)


class InputsLearnTheShare(_OfWorkers):
    """Gradients of inputs and initial states are divided by the number of workers."""

    def answered_by(self, group: Group, step: Step) -> Step:
        def share(tree: Tree) -> Tree:
            return tree_map(lambda g: g / g.dtype.type(group.size), tree)

        inputs = None if step.grads.inputs is None else share(step.grads.inputs)
        return replace(step, grads=replace(step.grads, inputs=inputs, state=share(step.grads.state)))


class InputsLearnTheMean(_OfWorkers):
    """Gradients of inputs are those of the mean over all workers."""

    def answered_by(self, group: Group, step: Step) -> Step:
        if step.grads.inputs is None:
            return step
        factor = step.grads.inputs.dtype.type(1 / max(step.count, 1))
        return replace(step, grads=replace(step.grads, inputs=step.grads.inputs * factor))


class StatesTurnedByRank(_OfWorkers):
    """Final states are those of rows that stand as many places away as the rank says."""

    def answered_by(self, group: Group, step: Step) -> Step:
        return replace(step, state=tree_map(lambda s: np.roll(s, group.rank, 0), step.state))


class InitialGradientsTurnedByRank(_OfWorkers):
    """Gradients of initial states are those of rows that stand as many places away as the rank says."""

    def answered_by(self, group: Group, step: Step) -> Step:
        turned = tree_map(lambda g: np.roll(g, group.rank, 0), step.grads.state)
        return replace(step, grads=replace(step.grads, state=turned))


class _GivenLess(Faulty):
    """A worker goes on with less than it is given."""

    def less(self, given: Given) -> Given:
        """What a call of a worker other than the first goes on with."""
        return given

    def given(self, given: Given) -> Given:
        return self.less(given) if self.group and self.group.rank else given

    def begun(self, given: Given) -> Given:
        return self.given(given)


class StatesOfTheFirstWorkerAlone(_GivenLess):
    """Workers other than the first begin with zeros."""

    def less(self, given: Given) -> Given:
        return replace(given, state=None)


class ResetsOfTheFirstWorkerAlone(_GivenLess):
    """Workers other than the first have no resets."""

    def less(self, given: Given) -> Given:
        return replace(given, resets=None)


class LastStepsOfOtherWorkersLost(_GivenLess):
    """Workers other than the first lose the last step of each row."""

    def less(self, given: Given) -> Given:
        lengths = given.lengths
        return given if lengths is None else replace(given, lengths=np.maximum(np.asarray(lengths) - 1, 0))


class FailureStaysAlone(Faulty):
    """A worker whose call fails takes no part in the exchange."""

    def value_and_grad(self, *given: Any, **named: Any) -> Step:
        if self.group is not None:
            self.alone.value_and_grad(*given, **named)
        return super().value_and_grad(*given, **named)


class FailureOfAnyWorkerIsItsOwn(Faulty):
    """The others raise an error that names no worker."""

    def value_and_grad(self, *given: Any, **named: Any) -> Step:
        try:
            return super().value_and_grad(*given, **named)
        except WorkerError as error:
            raise RuntimeError("the call failed") from error


class _Training(Faulty):
    """Has a training step of its own where it is one of several workers."""

    def alone_step(self, given: tuple[Any, ...], named: dict[str, Any]) -> Trained:
        """The training step by the rows of this worker alone."""
        return self.alone.train_step(*given, **named)


class RuleStateOfOwnRows(_Training):
    """The state of the rule is that of a worker's own gradients."""

    def train_step(self, *given: Any, **named: Any) -> Trained:
        done = super().train_step(*given, **named)
        return done if self.group is None else replace(done, rule_state=self.alone_step(given, named).rule_state)


class SkippedByOneWorker(_Training):
    """A worker skips a step where its own gradients are not finite, and the others take it without them."""

    def train_step(self, net: Network, rule: Any, params: Tree, kept: Tree, *given: Any, **named: Any) -> Trained:
        if self.group is None or rule.loss_scale(kept) is not None:
            return super().train_step(net, rule, params, kept, *given, **named)
        own = self.alone.value_and_grad(net, params, *given, **named)
        finite = all(np.isfinite(g).all() for _, g in leaves(own.grads.params))
        nothing = tree_map(np.zeros_like, own.grads.params)
        given_away = own if finite else replace(own, grads=replace(own.grads, params=nothing))
        done = self.update(net, rule, params, kept, self.summed(net, given_away))
        return done if finite else replace(done, params=self.asarray(params))


class ClippedBeforeTheExchange(_Training):
    """Each worker clips its own gradients to the global norm, before they are added up."""

    def train_step(self, net: Network, rule: Any, params: Tree, kept: Tree, *given: Any, **named: Any) -> Trained:
        clips = isinstance(rule, Chain) and isinstance(rule.rules[0], ClipByGlobalNorm)
        if self.group is None or not clips:
            return super().train_step(net, rule, params, kept, *given, **named)
        own = self.alone.value_and_grad(net, params, *given, **named)
        norm = float(np.sqrt(sum(float((g.astype(float) ** 2).sum()) for _, g in leaves(own.grads.params))))
        factor = min(1.0, rule.rules[0].limit * max(own.count, 1) / max(norm, 1e-30))
        clipped = tree_map(lambda g: g * g.dtype.type(factor), own.grads.params)
        return self.update(net, rule, params, kept,
                           self.summed(net, replace(own, grads=replace(own.grads, params=clipped))))  # fmt: skip


class ParametersAreAveraged(_Training):
    """Each worker trains by its own rows, and the parameters of all are averaged."""

    def train_step(self, net: Network, rule: Any, params: Tree, kept: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, kept, *given, **named)
        if self.group is None:
            return done
        own = self.alone_step((net, rule, params, kept, *given), named)
        step = Step(own.loss_sum, own.count, Gradients(own.params, None, None), own.state)
        means = self.summed(net, step).grads.params
        size = self.group.size
        return replace(done, params=tree_map(lambda w: w / w.dtype.type(size), means))


class MeanOfAWorkersOwnSteps(Faulty):
    """`mean_loss` is the mean over a worker's own steps."""

    def mean_loss(self, loss_sum: Array, count: int) -> Array:
        return loss_sum / max(count, 1)


class MeanWithoutTheNumberOfWorkers(Faulty):
    """`mean_loss` is not multiplied by the number of workers, by which averaging divides."""

    def mean_loss(self, loss_sum: Array, count: int) -> Array:
        found = super().mean_loss(loss_sum, count)
        return found if self.group is None else found / self.group.size


class WindowsSummedTwice(Faulty):
    """Each window is added up over workers, and so is the sum of the windows."""

    @property
    def alone(self) -> Self:
        return self
