"""Faults with gradient policies inside the recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Gradients, LayerResult
from rnnspec.policies import ClipStateByNorm, ClipStateByValue, Cut, Recurrence, Truncated
from rnnspec.tree import tree_map

Cotangents = Mapping[str, Any]


class _Recurrent(Faulty):
    def changed(self, policy: Recurrence) -> Recurrence | None:
        raise NotImplementedError

    def pulled(self, pulled: Pulled) -> Pulled:
        policy = pulled.call.policy
        return pulled if policy is None else replace(pulled, call=replace(pulled.call, policy=self.changed(policy)))


class RecurrenceIgnored(_Recurrent):
    """The policy inside the recurrence is ignored."""

    def changed(self, policy: Recurrence) -> Recurrence | None:
        return None


class StepsCountedFromOne(_Recurrent):
    """The first step is step 1."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return _Moved(policy, 1.0)


class StepsCountedFromMinusOne(_Recurrent):
    """The first step is step -1."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return _Moved(policy, -1.0)


class StepsCountedFromTheEnd(Faulty):
    """Steps are counted from the end of time."""

    def pulled(self, pulled: Pulled) -> Pulled:
        policy, last = pulled.call.policy, len(pulled.output_cotangent) - 1
        return (
            pulled
            if policy is None
            else replace(pulled, call=replace(pulled.call, policy=_Turned(policy, float(last))))
        )


class CutEveryStep(_Recurrent):
    """Truncation cuts every edge."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return Truncated(1) if isinstance(policy, Truncated) else policy


class CutTwiceAsFar(_Recurrent):
    """Truncated gradients flow through chunks of twice the declared length."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return Truncated(2 * policy.steps) if isinstance(policy, Truncated) else policy


class CarryActsOnTotal(_Recurrent):
    """The two gradient hooks, `carry` and `total`, are exchanged."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return _Exchanged(policy)


class CarryOnInitialState(Faulty):
    """Truncation also cuts the edge of the initial state."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        policy = pulled.call.policy
        if not isinstance(policy, Truncated):
            return gradients
        return replace(gradients, state=tree_map(np.zeros_like, gradients.state))


class ValuesAreCutToo(Faulty):
    """Truncation forgets the state's value at every cut."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        policy, steps = asked.call.policy, len(asked.inputs)
        if not isinstance(policy, Truncated) or steps <= policy.steps:
            return result
        k, zeros = policy.steps, tree_map(np.zeros_like, asked.state)
        lengths = np.full(asked.inputs.shape[1], steps) if asked.lengths is None else asked.lengths
        late = super(Faulty, self).layer(
            asked.cell, asked.params, asked.inputs[k:], zeros, np.maximum(lengths - k, 0), asked.call
        )
        return replace(result, outputs=np.concatenate([result.outputs[:k], late.outputs]))


class NormsDoubled(_Recurrent):
    """Norms at the gradient hook `total` are twice too large."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return _Halved(policy)


class OneStateIsControlled(_Recurrent):
    """Only the first state's cotangent is controlled."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return _First(policy)


class JointNormsTakenApart(_Recurrent):
    """A policy that clips the joint norm of several states clips the norm of each state instead."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return replace(policy, joint=False) if isinstance(policy, ClipStateByNorm) else policy


class NormsTakenTogether(_Recurrent):
    """A policy that clips the norms of single states clips the joint norm of all states instead."""

    def changed(self, policy: Recurrence) -> Recurrence:
        if not isinstance(policy, ClipStateByNorm) or policy.states is None:
            return policy
        return replace(policy, joint=True, states=None)


class EveryStateIsCut(_Recurrent):
    """Where one state is cut, all are."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return Cut() if isinstance(policy, Cut) else policy


class NoStateIsCut(_Recurrent):
    """A policy that cuts every edge of a state cuts none."""

    def changed(self, policy: Recurrence) -> Recurrence | None:
        return None if isinstance(policy, Cut) else policy


class StatesHeldByNorm(_Recurrent):
    """Entries are held by their norm."""

    def changed(self, policy: Recurrence) -> Recurrence:
        return ClipStateByNorm(policy.limit, policy.states) if isinstance(policy, ClipStateByValue) else policy


@dataclass(frozen=True)
class _Moved(Recurrence):
    policy: Recurrence
    by: float

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.carry(step + self.by, cotangents)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.total(step + self.by, cotangents)


@dataclass(frozen=True)
class _Turned(_Moved):
    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.carry(self.by - step, cotangents)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.total(self.by - step, cotangents)


@dataclass(frozen=True)
class _Exchanged(Recurrence):
    policy: Recurrence

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.total(step, cotangents)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.carry(step, cotangents)


@dataclass(frozen=True)
class _Halved(Recurrence):
    policy: Recurrence

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        return self.policy.carry(step, cotangents)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        doubled = {state: 2.0 * cotangent for state, cotangent in cotangents.items()}
        return {state: 0.5 * cotangent for state, cotangent in self.policy.total(step, doubled).items()}


@dataclass(frozen=True)
class _First(Recurrence):
    policy: Recurrence

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        first = next(iter(cotangents))
        return {**cotangents, first: self.policy.carry(step, cotangents)[first]}

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        first = next(iter(cotangents))
        return {**cotangents, first: self.policy.total(step, cotangents)[first]}
