"""Pullbacks: cotangents that are lost or doubled, sums that are means, gradients of the wrong shape of thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Faulty, Pulled
from rnnspec import Gradients
from rnnspec.contract.arrays import Array
from rnnspec.policies import Recurrence, Truncated
from rnnspec.tree import Tree, tree_map


def _mask(pulled: Pulled) -> Array | None:
    mask = getattr(pulled.result.saved, "mask", None)
    return None if mask is None else np.asarray(mask)[:, :, 0]


class StateCotangentOfFullRowsOnly(Faulty):
    """The cotangent of the final state enters at the last step of time: rows that end early do not see it."""

    kind: ClassVar[str] = "final cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        mask = _mask(pulled)
        if mask is None:
            return pulled
        full = {name: np.where(mask[-1].reshape(-1, *[1] * (s.ndim - 1)), s, s.dtype.type(0))
                for name, s in pulled.state_cotangent.items()}  # fmt: skip
        return replace(pulled, state_cotangent=full)


class FirstStateCotangentIgnored(Faulty):
    """The cotangent of the first final state is taken for zeros: it is an output, after all."""

    kind: ClassVar[str] = "final cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        first = next(iter(pulled.state_cotangent))
        kept = {**pulled.state_cotangent, first: np.zeros_like(pulled.state_cotangent[first])}
        return replace(pulled, state_cotangent=kept)


class StateCotangentTwice(Faulty):
    """The cotangent of the final state counts twice."""

    kind: ClassVar[str] = "final cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, state_cotangent=tree_map(lambda s: s + s, pulled.state_cotangent))


class StateCotangentOfTheTopLayer(Faulty):
    """The cotangents of final states count in the first layer only."""

    kind: ClassVar[str] = "final cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        if pulled.call.place.startswith("layers.0."):
            return pulled
        return replace(pulled, state_cotangent=tree_map(np.zeros_like, pulled.state_cotangent))


class OutputCotangentsTurned(Faulty):
    """The cotangents of the outputs are read from the last step to the first."""

    kind: ClassVar[str] = "output cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        return replace(pulled, output_cotangent=pulled.output_cotangent[::-1])


class OutputCotangentOfFirstStepLost(Faulty):
    """The cotangent of the first output is not read."""

    kind: ClassVar[str] = "output cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        w = np.array(pulled.output_cotangent)
        w[0] = 0
        return replace(pulled, output_cotangent=w)


class OutputCotangentIsShared(Faulty):
    """Every step gets the mean of all output cotangents, as if the outputs had been averaged."""

    kind: ClassVar[str] = "output cotangent"

    def pulled(self, pulled: Pulled) -> Pulled:
        w = pulled.output_cotangent
        return replace(pulled, output_cotangent=np.broadcast_to(w.mean(0, keepdims=True), w.shape).astype(w.dtype))


class InitialGradientOfTheSum(Faulty):
    """The gradient of the initial state is summed over the rows."""

    kind: ClassVar[str] = "initial gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        summed = tree_map(lambda g: np.broadcast_to(g.sum(0, keepdims=True), g.shape).astype(g.dtype), gradients.state)
        return replace(gradients, state=summed)


class InitialGradientDropped(Faulty):
    """The last of several initial states has no gradient."""

    kind: ClassVar[str] = "initial gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        last = list(gradients.state)[-1]
        return replace(gradients, state={**gradients.state, last: np.zeros_like(gradients.state[last])})


class InitialGradientOfLongRowsOnly(Faulty):
    """In a batch with lengths the initial state has no gradient."""

    kind: ClassVar[str] = "initial gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        if _mask(pulled) is None:
            return gradients
        return replace(gradients, state=tree_map(np.zeros_like, gradients.state))


class InitialGradientDoubled(Faulty):
    """The gradient of the initial state is added twice."""

    kind: ClassVar[str] = "initial gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, state=tree_map(lambda g: g + g, gradients.state))


class InputGradientLate(Faulty):
    """The gradient of the inputs is shifted by one step."""

    kind: ClassVar[str] = "input gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return replace(gradients, inputs=np.roll(gradients.inputs, 1, 0))


class InputGradientOfFirstStepLost(Faulty):
    """The first step's input has no gradient."""

    kind: ClassVar[str] = "input gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        x = np.array(gradients.inputs)
        x[0] = 0
        return replace(gradients, inputs=x)


class InputGradientIsDetachedBetweenLayers(Faulty):
    """The gradient of a layer's inputs is halved above the first layer."""

    kind: ClassVar[str] = "input gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        if pulled.call.place.startswith("layers.0."):
            return gradients
        return replace(gradients, inputs=gradients.inputs / 2)


def _own(gradients: Gradients, group: str, change: Any) -> Gradients:
    own = gradients.params
    return replace(gradients, params={**own, group: {name: change(a) for name, a in own[group].items()}})


class RecurrentGradientTransposed(Faulty):
    """The gradients of square recurrent maps are transposed."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "U", lambda a: a.T if a.ndim == 2 and a.shape[0] == a.shape[1] else a)


class InputMapGradientMissesAFeature(Faulty):
    """The last column of an input map has no gradient."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "W", lambda a: a * (np.arange(a.shape[-1]) < a.shape[-1] - 1).astype(a.dtype))


class RecurrentMapsDoNotLearn(Faulty):
    """Recurrent maps have a gradient of zeros."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "U", np.zeros_like)


class BiasGradientOfTwoBiases(Faulty):
    """The gradients of biases are doubled, as if each stood in both maps."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "b", lambda a: a + a)


class InputMapGradientNegated(Faulty):
    """The gradients of input maps have the wrong sign."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "W", np.negative)


class GradientsAreMeansOverRealSteps(Faulty):
    """Parameter gradients are divided by the number of real steps of the batch."""

    kind: ClassVar[str] = "sum is a mean"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        mask = _mask(pulled)
        count = int(mask.sum()) if mask is not None else gradients.inputs.shape[0] * gradients.inputs.shape[1]
        return replace(gradients, params=tree_map(lambda g: g / g.dtype.type(max(count, 1)), gradients.params))


class GradientsOfTheFirstRow(Faulty):
    """The sum over the batch is missing: parameter gradients are those of the first row."""

    kind: ClassVar[str] = "sum is a mean"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        w = np.array(pulled.output_cotangent)
        w[:, 1:] = 0
        lone = {name: np.where((np.arange(len(s)) == 0).reshape(-1, *[1] * (s.ndim - 1)), s, s.dtype.type(0))
                for name, s in pulled.state_cotangent.items()}  # fmt: skip
        less = super(Faulty, self).layer_pullback(pulled.cell, pulled.params, pulled.result, w, lone, pulled.call)
        return replace(gradients, params=less.params)


class BiasGradientsAreMeans(Faulty):
    """The gradients of biases are means over the batch, those of maps are sums."""

    kind: ClassVar[str] = "sum is a mean"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        return _own(gradients, "b", lambda a: a / a.dtype.type(max(gradients.inputs.shape[1], 1)))


@dataclass(frozen=True)
class _Fading(Recurrence):
    """Halves the first of the cotangents, or all."""

    first: bool
    by: float

    def carry(self, step: Any, cotangents: Mapping[str, Any]) -> Mapping[str, Any]:
        one = next(iter(cotangents))
        return {name: self.by * d if name == one or not self.first else d for name, d in cotangents.items()}


class _Carried(Faulty):
    kind: ClassVar[str] = "carried cotangent"
    secret: ClassVar[Recurrence]

    def pulled(self, pulled: Pulled) -> Pulled:
        call = pulled.call
        return pulled if call.policy is not None else replace(pulled, call=replace(call, policy=self.secret))


class FadesBackwards(_Carried):
    """Each step passes on half of the cotangents that it should."""

    secret = _Fading(False, 0.5)


class FirstStateIsDetached(_Carried):
    """The first state is detached between steps."""

    secret = _Fading(True, 0.0)


class CutAfterThreeSteps(_Carried):
    """Gradients are cut every three steps, although no policy asks for it."""

    secret = Truncated(3)


class CutBetweenHalvesOfTime(_Carried):
    """Gradients are cut at every eighth step, where a buffer ends."""

    secret = Truncated(8)


class GradientsOfStatesUseTheNewState(Faulty):
    """The gradients of recurrent maps read the new state in the place of the old one: they lose the initial state."""

    kind: ClassVar[str] = "parameter gradient"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        w = np.concatenate([pulled.output_cotangent[1:], np.zeros_like(pulled.output_cotangent[:1])])
        other = super(Faulty, self).layer_pullback(pulled.cell, pulled.params, pulled.result, w, pulled.state_cotangent,
                                                   pulled.call)  # fmt: skip
        own: Tree = {**gradients.params, "U": other.params["U"]}
        return replace(gradients, params=own)
