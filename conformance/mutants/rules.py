"""Faults with what happens to finished gradients: policies, update rules, and the mean they are given."""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Step, Trained
from rnnspec.policies import ClipByGlobalNorm, ClipByNorm, ClipByValue
from rnnspec.primitives import maximum, minimum, sqrt, total, where
from rnnspec.rule import Chain, Rule
from rnnspec.tree import Tree, leaves, named_map, tree_map
from rnnspec.updates import SGD, Adam


class _Ruled(Faulty):
    """Puts a faulty rule in the place of every rule of one kind."""

    instead: ClassVar[dict[type[Rule], type[Rule]]] = {}

    def train_step(self, net: Any, rule: Any, *given: Any, **named: Any) -> Trained:
        return super().train_step(net, _replaced(rule, self.instead), *given, **named)


def _replaced(rule: Rule, instead: dict[type[Rule], type[Rule]]) -> Rule:
    if isinstance(rule, Chain):
        return Chain(tuple(_replaced(part, instead) for part in rule.rules))
    other = instead.get(type(rule))
    return rule if other is None else other(**{f.name: getattr(rule, f.name) for f in fields(rule)})  # type: ignore[arg-type]


@dataclass(frozen=True)
class _GlobalPerMap(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByNorm(self.limit).update(gradients, state, params)


@dataclass(frozen=True)
class _GlobalSquared(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = _squares(gradients)
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class _GlobalAlways(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        return tree_map(lambda g: g * (self.limit / norm), gradients), state


@dataclass(frozen=True)
class _GlobalWithEpsilon(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        scale = minimum(self.limit / (sqrt(_squares(gradients)) + 1e-3), 1.0)
        return tree_map(lambda g: g * scale, gradients), state


@dataclass(frozen=True)
class _GlobalLaunders(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        scale = where(norm > self.limit, self.limit / norm, 1.0)
        return tree_map(lambda g: where(float("inf") > norm, g * scale, 0.0), gradients), state


@dataclass(frozen=True)
class _GlobalDividesByZero(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients))
        return tree_map(lambda g: g * (self.limit / maximum(norm, self.limit)), gradients), state


@dataclass(frozen=True)
class _GlobalWithoutOutput(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = sqrt(_squares(gradients["layers"]))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class _GlobalWithoutBiases(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        squares = [total(g * g) for name, g in leaves(gradients) if ".b." not in name]
        norm = sqrt(functools.reduce(operator.add, squares))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class _GlobalOfSums(ClipByGlobalNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        norm = functools.reduce(operator.add, (total(maximum(g, -g)) for _, g in leaves(gradients)))
        return tree_map(lambda g: g * where(norm > self.limit, self.limit / norm, 1.0), gradients), state


@dataclass(frozen=True)
class _NormIsGlobal(ClipByNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return ClipByGlobalNorm(self.limit).update(gradients, state, params)


@dataclass(frozen=True)
class _NormOfMatricesOnly(ClipByNorm):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        clipped, _ = super().update(gradients, state, params)
        return named_map(lambda name, g, c: g if ".b." in name else c, gradients, clipped), state


@dataclass(frozen=True)
class _ValueFromAbove(ClipByValue):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: minimum(g, self.limit), gradients), state


@dataclass(frozen=True)
class _ValueToHalf(ClipByValue):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: where(maximum(g, -g) > self.limit, 0.0, g), gradients), state


@dataclass(frozen=True)
class _ValueLaunders(ClipByValue):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        clipped, _ = super().update(gradients, state, params)
        return tree_map(lambda g, c: where(g >= 0.0, c, where(g < 0.0, c, 0.0)), gradients, clipped), state


@dataclass(frozen=True)
class _Ascends(SGD):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        change, state = super().update(gradients, state, params)
        return tree_map(lambda c: -c, change), state


@dataclass(frozen=True)
class _Dampens(SGD):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g: (1 - self.momentum) * g, gradients), state, params)


@dataclass(frozen=True)
class _LooksAhead(SGD):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        change, state = super().update(gradients, state, params)
        if not self.momentum:
            return change, state
        return tree_map(lambda v, g: -self.rate * (self.momentum * v + g), state["velocity"], gradients), state


@dataclass(frozen=True)
class _Decays(SGD):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return super().update(tree_map(lambda g, w: g + 1e-3 * w, gradients, params), state, params)


@dataclass(frozen=True)
class _Uncorrected(Adam):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, new = super().update(gradients, state, params)
        return tree_map(lambda m, v: -self.rate * m / (sqrt(v) + self.epsilon), new["m"], new["v"]), new


@dataclass(frozen=True)
class _BetasExchanged(Adam):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return Adam(self.rate, self.beta2, self.beta1, self.epsilon).update(gradients, state, params)


@dataclass(frozen=True)
class _EpsilonInside(Adam):
    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        _, new = super().update(gradients, state, params)

        def change(m: Any, v: Any) -> Any:
            return -self.rate * (m / new["m_mass"]) / sqrt(v / new["v_mass"] + self.epsilon)

        return tree_map(change, new["m"], new["v"]), new


class GlobalNormPerMap(_Ruled):
    """The global norm is taken of each map by itself."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalPerMap}


class GlobalNormWithoutRoot(_Ruled):
    """The global norm is the sum of squares."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalSquared}


class GlobalNormOfAbsoluteValues(_Ruled):
    """The global norm is the sum of absolute values."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalOfSums}


class GlobalNormAlwaysScales(_Ruled):
    """Gradients below the limit are scaled up to it."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalAlways}


class GlobalNormWithEpsilon(_Ruled):
    """1e-3 is added to the norm."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalWithEpsilon}


class GlobalNormLaunders(_Ruled):
    """A norm that is not finite makes gradients zeros."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalLaunders}


class GlobalNormZeroByZero(_Ruled):
    """Gradients of zeros become NaN where the limit is 0."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalDividesByZero}


class GlobalNormWithoutOutputLayer(_Ruled):
    """The output layer is left out of the global norm."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalWithoutOutput}


class GlobalNormWithoutBiases(_Ruled):
    """Biases are left out of the global norm."""

    instead: ClassVar = {ClipByGlobalNorm: _GlobalWithoutBiases}


class NormIsGlobal(_Ruled):
    """The norm of each map is that of all of them."""

    instead: ClassVar = {ClipByNorm: _NormIsGlobal}


class NormForgetsBiases(_Ruled):
    """The norms of biases are not clipped."""

    instead: ClassVar = {ClipByNorm: _NormOfMatricesOnly}


class ValueFromAboveOnly(_Ruled):
    """Values are clipped from above only."""

    instead: ClassVar = {ClipByValue: _ValueFromAbove}


class ValueBecomesZero(_Ruled):
    """Values beyond the limit become 0."""

    instead: ClassVar = {ClipByValue: _ValueToHalf}


class ValueLaunders(_Ruled):
    """NaN becomes 0 where values are clipped."""

    instead: ClassVar = {ClipByValue: _ValueLaunders}


class DescentAscends(_Ruled):
    """SGD goes up."""

    instead: ClassVar = {SGD: _Ascends}


class MomentumDampened(_Ruled):
    """Momentum is a moving average."""

    instead: ClassVar = {SGD: _Dampens}


class MomentumLooksAhead(_Ruled):
    """Momentum is Nesterov's."""

    instead: ClassVar = {SGD: _LooksAhead}


class WeightsDecay(_Ruled):
    """SGD decays weights."""

    instead: ClassVar = {SGD: _Decays}


class AdamUncorrected(_Ruled):
    """Adam's moments are not corrected for their start."""

    instead: ClassVar = {Adam: _Uncorrected}


class AdamBetasExchanged(_Ruled):
    """Adam's two decays are taken for each other."""

    instead: ClassVar = {Adam: _BetasExchanged}


class AdamEpsilonInside(_Ruled):
    """Adam's epsilon is inside the root."""

    instead: ClassVar = {Adam: _EpsilonInside}


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
        lengths: Any = None,
    ) -> Trained:
        done = super().train_step(net, rule, params, rule_state, inputs, targets, state, lengths)
        return replace(done, loss_sum=self.value_and_grad(net, done.params, inputs, targets, state, lengths).loss_sum)


def _squares(gradients: Tree) -> Any:
    return functools.reduce(operator.add, (total(g * g) for _, g in leaves(gradients)))
