"""Faults with gradients: what goes into a pullback and what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.mutants.derived.gradients import shifted
from conformance.mutants.faulty import Faulty, Pulled
from rnnspec import Gradients, Step
from rnnspec.derivation.schedule import widest
from rnnspec.policies import Recurrence, Truncated
from rnnspec.primitives import maximum, minimum
from rnnspec.tree import tree_map


class OfFinalStateIgnored(Faulty):
    """The cotangent of the final state is taken for zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, state_cotangent=tree_map(np.zeros_like, pulled.state_cotangent))


class OfLastStateIgnored(Faulty):
    """The cotangent of the last of several final states is taken for zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        last = list(pulled.state_cotangent)[-1]
        if len(pulled.state_cotangent) == 1:
            return pulled
        return replace(
            pulled, state_cotangent={**pulled.state_cotangent, last: np.zeros_like(pulled.state_cotangent[last])}
        )


class OfOutputsIgnored(Faulty):
    """The cotangent of the outputs is taken for zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, output_cotangent=np.zeros_like(pulled.output_cotangent))


class OfLastOutputOnly(Faulty):
    """The cotangent of the last step's output alone counts."""

    def pulled(self, pulled: Pulled) -> Pulled:
        w = np.zeros_like(pulled.output_cotangent)
        w[-1] = pulled.output_cotangent[-1]
        return replace(pulled, output_cotangent=w)


class OfOutputsLate(Faulty):
    """Each step takes the output cotangent of the step before."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, output_cotangent=shifted(pulled.output_cotangent, 1))


class AveragedOverRows(Faulty):
    """Parameter gradients are means over the batch."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        rows = gradients.inputs.dtype.type(gradients.inputs.shape[1])
        return replace(gradients, params=tree_map(lambda g: g / rows, gradients.params))


class AveragedOverSteps(Faulty):
    """Parameter gradients are means over time."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        steps = gradients.inputs.dtype.type(len(gradients.inputs))
        return replace(gradients, params=tree_map(lambda g: g / steps, gradients.params))


class OfOneRowMissing(Faulty):
    """The last row adds nothing to parameter gradients."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        w = np.array(pulled.output_cotangent)
        w[:, -1] = 0
        lone = {name: np.array(s) for name, s in pulled.state_cotangent.items()}
        for s in lone.values():
            s[-1] = 0
        less = super(Faulty, self).layer_pullback(pulled.cell, pulled.params, pulled.result, w, lone, pulled.call)
        return replace(gradients, params=less.params)


class OfInputsMissing(Faulty):
    """The input gradient is zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, inputs=np.zeros_like(gradients.inputs))


class OfInputsNegated(Faulty):
    """The input gradient has the wrong sign."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, inputs=-gradients.inputs)


class OfInitialStateMissing(Faulty):
    """The gradient of the initial state is zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, state=tree_map(np.zeros_like, gradients.state))


class OfFinalStatePassedThrough(Faulty):
    """The gradient of the initial state is the cotangent of the final one."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, state=tree_map(np.array, pulled.state_cotangent))


class OfStatesExchanged(Faulty):
    """The gradients of two initial states of one shape are exchanged."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        names = list(gradients.state)
        if len({gradients.state[name].shape for name in names}) > 1:
            return gradients
        return replace(gradients, state={name: gradients.state[names[i - 1]] for i, name in enumerate(names)})


class OfParametersDoubled(Faulty):
    """Parameter gradients are doubled."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params=tree_map(lambda g: g + g, gradients.params))


class OfBiasesMissing(Faulty):
    """The gradients of biases are zeros."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, params={**gradients.params, "b": tree_map(np.zeros_like, gradients.params["b"])})


class OffByOneInHundredThousand(Faulty):
    """Parameter gradients are too large by 1e-5 of themselves."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        factor = gradients.inputs.dtype.type(1 + 1e-5)
        return replace(gradients, params=tree_map(lambda g: g * factor, gradients.params))


class RecurrentMapsMissFirstStep(Faulty):
    """The gradients of recurrent maps leave out the initial state."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        trace = pulled.result.saved
        plan = self.plan(pulled.cell, trace.inputs.shape[1], widest(pulled.state_cotangent))
        states = [i for i, node in enumerate(plan.nodes) if node.op == "state" and i in trace.values]
        values = dict(trace.values)
        for index in states:
            values[index] = np.concatenate([np.zeros_like(values[index][:1]), values[index][1:]])
        less = super(Faulty, self).layer_pullback(
            pulled.cell, pulled.params, replace(pulled.result, saved=replace(trace, values=values)),
            pulled.output_cotangent, pulled.state_cotangent, pulled.call,
        )  # fmt: skip
        return replace(gradients, params={**gradients.params, "U": less.params["U"]})


class NotCarried(Faulty):
    """Nothing is carried from step to step backwards."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, call=replace(pulled.call, policy=Truncated(1)))


class OneStateNotCarried(Faulty):
    """The cotangent of the last of several states is not carried from step to step backwards."""

    def pulled(self, pulled: Pulled) -> Pulled:
        several = len(pulled.state_cotangent) > 1 and pulled.call.policy is None
        return replace(pulled, call=replace(pulled.call, policy=_CutsLast())) if several else pulled


class ClippedInSecret(Faulty):
    """The cotangents that pass from step to step are clipped to +-1, although no policy asks for it."""

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, call=replace(pulled.call, policy=pulled.call.policy or _Clips()))


class SmallOnesFlushed(Faulty):
    """Cotangents below 1e-3 are taken for zeros."""

    def pulled(self, pulled: Pulled) -> Pulled:
        w = pulled.output_cotangent
        return replace(pulled, output_cotangent=np.where(abs(w) < 1e-3, w.dtype.type(0), w))


class OfOutputBiasMissing(Faulty):
    """The gradient of the output layer's bias is zeros."""

    def pullback(self, net: Any, *given: Any, **named: Any) -> Gradients:
        return _without_output_bias(super().pullback(net, *given, **named))

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        return replace(step, grads=_without_output_bias(step.grads))


@dataclass(frozen=True)
class _CutsLast(Recurrence):
    def carry(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        last = list(cotangents)[-1]
        return {**cotangents, last: cotangents[last] * 0.0}


@dataclass(frozen=True)
class _Clips(Recurrence):
    def total(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        return {state: maximum(minimum(cotangent, 1.0), -1.0) for state, cotangent in cotangents.items()}


def _without_output_bias(gradients: Gradients) -> Gradients:
    if "output" not in gradients.params:
        return gradients
    output = gradients.params["output"]
    return replace(gradients, params={**gradients.params, "output": {**output, "b": np.zeros_like(output["b"])}})
