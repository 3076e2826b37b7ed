"""Faults with what happens to finished gradients: policies, update rules, and the mean they are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.control import misrules
from conformance.mutants.control.ruled import Ruled
from conformance.mutants.faulty import Faulty
from rnnspec import Step, Trained
from rnnspec.control.rule import Chain
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByValue
from rnnspec.tree import Tree, tree_map
from rnnspec.updates import SGD, Adam


class GlobalNormPerMap(Ruled):
    """Clipping by the global norm uses each map's own norm."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalPerMap}


class GlobalNormWithoutRoot(Ruled):
    """The global norm is the sum of squares."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalSquared}


class GlobalNormOfAbsoluteValues(Ruled):
    """The global norm is the sum of absolute values."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalOfSums}


class GlobalNormAlwaysScales(Ruled):
    """Gradients below the limit are scaled up to it."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalAlways}


class GlobalNormWithEpsilon(Ruled):
    """1e-3 is added to the norm."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalWithEpsilon}


class GlobalNormLaunders(Ruled):
    """A norm that is not finite turns gradients into zeros."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalLaunders}


class GlobalNormZeroByZero(Ruled):
    """Gradients of zeros become NaN where the limit is 0."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalDividesByZero}


class GlobalNormWithoutOutputLayer(Ruled):
    """The output layer is left out of the global norm."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalWithoutOutput}


class GlobalNormWithoutBiases(Ruled):
    """Biases are left out of the global norm."""

    instead: ClassVar = {ClipByGlobalNorm: misrules.GlobalWithoutBiases}


class NormIsGlobal(Ruled):
    """Clipping by each map's own norm uses the norm of all maps together."""

    instead: ClassVar = {ClipByNorm: misrules.NormIsGlobal}


class NormForgetsBiases(Ruled):
    """The norms of biases are not clipped."""

    instead: ClassVar = {ClipByNorm: misrules.NormOfMatricesOnly}


class ValueFromAboveOnly(Ruled):
    """Values are clipped from above only."""

    instead: ClassVar = {ClipByValue: misrules.ValueFromAbove}


class ValueBecomesZero(Ruled):
    """Values beyond the limit become 0."""

    instead: ClassVar = {ClipByValue: misrules.ValueToZero}


class ValueLaunders(Ruled):
    """NaN becomes 0 where values are clipped."""

    instead: ClassVar = {ClipByValue: misrules.ValueLaunders}


class DescentAscends(Ruled):
    """SGD goes up."""

    instead: ClassVar = {SGD: misrules.Ascends}


class DescentWithoutMomentumAscends(Ruled):
    """SGD without momentum goes up."""

    instead: ClassVar = {SGD: misrules.AscendsWithoutMomentum}


class MomentumDampened(Ruled):
    """Momentum is a moving average."""

    instead: ClassVar = {SGD: misrules.Dampens}


class MomentumLooksAhead(Ruled):
    """Momentum is Nesterov's."""

    instead: ClassVar = {SGD: misrules.LooksAhead}


class WeightsDecay(Ruled):
    """SGD decays weights."""

    instead: ClassVar = {SGD: misrules.Decays}


class AdamUncorrected(Ruled):
    """Adam's moments are not corrected for their start."""

    instead: ClassVar = {Adam: misrules.Uncorrected}


class AdamBetasExchanged(Ruled):
    """Adam's two decays are taken for each other."""

    instead: ClassVar = {Adam: misrules.BetasExchanged}


class AdamEpsilonInside(Ruled):
    """Adam's epsilon is inside the root."""

    instead: ClassVar = {Adam: misrules.EpsilonInside}


class PoliciesIgnored(Faulty):
    """Only the update rule of a chain acts."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        if not isinstance(rule, Chain):
            return super().train_step(net, rule, params, rule_state, *given, **named)
        done = super().train_step(net, rule.rules[-1], params, rule_state[-1], *given, **named)
        return replace(done, rule_state=(*rule_state[:-1], done.rule_state))


class RuleSeesTheSum(Faulty):
    """The rule is given the gradient of the sum, not of the mean."""

    def train_step(self, *given: Any, **named: Any) -> Trained:
        self.steps = 0
        self.summing = True
        try:
            done = super().train_step(*given, **named)
            return replace(done, count=self.steps)
        finally:
            self.summing = False

    def value_and_grad(self, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(*given, **named)
        if not self.__dict__.get("summing"):
            return step
        self.steps = step.count
        return replace(step, count=1)


class UpdateByTheSum(Faulty):
    """An update from given gradients takes sums for means."""

    def update(self, net: Any, rule: Any, params: Tree, rule_state: Tree, step: Step) -> Trained:
        done = super().update(net, rule, params, rule_state, replace(step, count=1))
        return replace(done, count=step.count)


class UpdateBeginsAgain(Faulty):
    """An update from given gradients starts from a new rule state, and returns the old one unchanged."""

    def update(self, net: Any, rule: Any, params: Tree, rule_state: Tree, step: Step) -> Trained:
        done = super().update(net, rule, params, rule.init(params), step)
        return replace(done, rule_state=tree_map(lambda new, old: np.asarray(old, new.dtype), done.rule_state,
                                                 rule_state))  # fmt: skip


class RuleStateForgotten(Faulty):
    """The rule's state comes back as it went in."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        return replace(
            done, rule_state=tree_map(lambda new, old: np.asarray(old, new.dtype), done.rule_state, rule_state)
        )


class OutputLayerNotTrained(Faulty):
    """The output layer keeps its parameters."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        if net.output is None:
            return done
        own = tree_map(lambda new, old: np.asarray(old, new.dtype), done.params["output"], params["output"])
        return replace(done, params={**done.params, "output": own})


class LossIsThatAfterTheStep(Faulty):
    """The loss of a training step is that of the new parameters."""

    def train_step(
        self,
        net: Any,
        rule: Any,
        params: Tree,
        rule_state: Tree,
        inputs: Any,
        targets: Any,
        state: Tree = None,
        lengths: Any = None, resets: Any = None,
    ) -> Trained:
        done = super().train_step(net, rule, params, rule_state, inputs, targets, state, lengths, resets)
        return replace(done, loss_sum=self.value_and_grad(net, done.params, inputs, targets, state, lengths,
                                                          resets).loss_sum)  # fmt: skip
