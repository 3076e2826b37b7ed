"""Faults of counters: steps, rows, units, inputs and classes beyond what 8, 9 and 10 bits count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients, LayerResult, Step, Steps
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class LengthsOf8Bits(Faulty):
    """Lengths are counted by 8 bits."""

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, lengths=asked.lengths % 256)


class EndsBeyond255RunOn(Faulty):
    """A row that ends behind the 255th step runs to the end of time."""

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        return replace(asked, lengths=np.where(asked.lengths > 255, len(asked.inputs), asked.lengths))


class PaddedStepsBeyond255Flow(Faulty):
    """Behind the 255th step, the pullback takes padding for steps."""

    def pulled(self, pulled: Pulled) -> Pulled:
        mask = pulled.result.saved.mask
        if mask is None:
            return pulled
        late = (np.arange(len(mask)) > 255).reshape(-1, *[1] * (mask.ndim - 1))
        return replace(pulled, result=replace(pulled.result, saved=replace(pulled.result.saved, mask=mask | late)))


class GradientBeyond255StepsLost(Faulty):
    """Inputs that stand 255 steps and more before the end of time have no gradient where rows have lengths."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        if pulled.result.saved.mask is None:
            return gradients
        return replace(gradients, inputs=_kept(gradients.inputs, np.arange(len(gradients.inputs))[::-1] < 255, 0))


class LastOfABlockLost(Faulty):
    """Where the steps are a multiple of 1,024, the last one's inputs read zeros."""

    def asked(self, asked: Asked) -> Asked:
        steps = len(asked.inputs)
        return replace(asked, inputs=_kept(asked.inputs, np.arange(steps) < steps - (steps % 1024 == 0), 0))


class StepBeyond1024Lost(Faulty):
    """The step at which the second block of 1,024 begins reads zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=_kept(asked.inputs, np.arange(len(asked.inputs)) != 1024, 0))


class OutputsBeyond1024StepsAreLate(Faulty):
    """Outputs behind the 1,024th step are those of the step before."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        late = np.array(result.outputs)
        late[1024:] = result.outputs[1023:-1] if len(late) > 1024 else late[1024:]
        return replace(result, outputs=late)


class StateNotCarriedPast1024(Faulty):
    """Beyond 1,024 steps, the initial state has no gradient."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        far = len(gradients.inputs) > 1024
        return replace(gradients, state=tree_map(np.zeros_like, gradients.state)) if far else gradients


class UnitsBeyond1024Lost(Faulty):
    """Outputs of units beyond the 1,024th are zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, outputs=_kept(result.outputs, np.arange(result.outputs.shape[2]) < 1024, 2))


class StatesBeyond1024UnitsNotRead(Faulty):
    """Initial states of units beyond the 1,024th are zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(lambda s: _kept(s, np.arange(s.shape[1]) < 1024, 1), asked.state))


class UnitsBeyond1024NotHeld(Faulty):
    """Final states of units beyond the 1,024th are zeros in rows that end early."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        full = (asked.lengths == len(asked.inputs))[:, None]
        held = tree_map(lambda s: np.where(full | (np.arange(s.shape[1]) < 1024), s, s.dtype.type(0)), result.state)
        return replace(result, state=held)


class GradientOfUnitsBeyond1024Lost(Faulty):
    """Recurrent maps have no gradient beyond their 1,024th row."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        maps = {name: _kept(g, np.arange(len(g)) < 1024, 0) for name, g in gradients.params.get("U", {}).items()}
        return replace(gradients, params={**gradients.params, **({"U": maps} if maps else {})})


class BiasesBeyond1024UnitsLost(Faulty):
    """Biases have no gradient beyond the 1,024th unit."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        own = {name: _kept(g, np.arange(len(g)) < 1024, 0) for name, g in gradients.params.get("b", {}).items()}
        return replace(gradients, params={**gradients.params, **({"b": own} if own else {})})


class InputsBeyond1024Lost(Faulty):
    """Input features beyond the 1,024th are not read."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=_kept(asked.inputs, np.arange(asked.inputs.shape[2]) < 1024, 2))


class RowsOf9Bits(Faulty):
    """Where a row ends is looked up by 9 bits."""

    def asked(self, asked: Asked) -> Asked:
        if asked.lengths is None:
            return asked
        return replace(asked, lengths=asked.lengths[np.arange(len(asked.lengths)) % 512])


class StatesOfRowsBeyond512Stale(Faulty):
    """Final states of rows beyond the 512th are the initial ones."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        stale = {name: np.where((np.arange(len(s)) < 512)[:, None], s, asked.state[name])
                 for name, s in result.state.items()}  # fmt: skip
        return replace(result, state=stale)


class BatchesBeyond512AreMeans(Faulty):
    """Parameters' gradients of more than 512 rows are those of as many as 512."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        rows = gradients.inputs.shape[1]
        return replace(gradients, params=tree_map(lambda g: g * g.dtype.type(min(1, 512 / max(rows, 1))),
                                                  gradients.params))  # fmt: skip


class CountOf8Bits(Faulty):
    """The steps of a loss are counted by 8 bits."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, count=step.count % 256)


class MeanOf10Bits(Faulty):
    """The mean of more than 1,024 steps is that of as many."""

    def train_step(self, *given: Any, **named: Any) -> Any:
        self.__dict__["most"] = 1024
        try:
            return super().train_step(*given, **named)
        finally:
            self.__dict__["most"] = None

    def _updated(self, method: str, rule: Any, params: Tree, kept: Tree, step: Step) -> Any:
        counted = min(step.count, self.__dict__.get("most") or step.count)
        return replace(super()._updated(method, rule, params, kept, replace(step, count=counted)), count=step.count)


class ClassesOf8Bits(Faulty):
    """Class numbers are read by 8 bits."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        classes = np.where(np.asarray(targets) > 255, np.asarray(targets) % 256, targets)
        chosen = classes if net.loss.integer_targets else targets
        return super().value_and_grad(net, params, inputs, chosen, state, lengths, resets)


class LossBeyond255StepsLost(Faulty):
    """A loss is of the first 255 steps, and counts all."""

    def value_and_grad(
        self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
        resets: Array = None,
    ) -> Step:
        step = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if len(inputs) <= 255 or net.loss.aligned or not isinstance(net.read, Steps) or lengths is None:
            return step
        few = np.minimum(lengths, 255)
        early = super().value_and_grad(net, params, inputs, targets, state, few)
        return replace(step, loss_sum=early.loss_sum, grads=early.grads)


def _kept(a: Array, which: Any, axis: int) -> Array:
    """The entries of an axis that are kept, zeros for the others."""
    return np.where(which.reshape([-1 if i == axis else 1 for i in range(a.ndim)]), a, a.dtype.type(0))
