"""Faults with a training step beside its rule: rows and networks, what is left out, what another thread does."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.calls.sharing import SOON
from conformance.mutants.faulty import Faulty, Given
from rnnspec import Result, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, named_map, tree_map


class StepsShareMemory(Faulty):
    """The new parameters of all training steps of one network share one buffer."""

    def trained(self, given: Given, done: Trained) -> Trained:
        place = self.__dict__.setdefault("places", {}).setdefault(given.net, tree_map(np.empty_like, done.params))
        tree_map(np.copyto, place, done.params)
        time.sleep(10 * SOON)
        return replace(done, params=tree_map(np.array, place))


class RuleStatesShared(Faulty):
    """The backend keeps the rule's state in one place during a step, where another thread's step replaces it."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        kept = self.__dict__.setdefault("states", {})
        kept[net, rule] = rule_state
        time.sleep(10 * SOON)
        return super().train_step(net, rule, params, kept[net, rule], *given, **named)


class ParametersOfAnotherThread(Faulty):
    """A training step reads the parameters of the step that another thread began last."""

    def begun(self, given: Given) -> Given:
        kept = self.__dict__.setdefault("params", {})
        kept[given.net] = given.params
        time.sleep(10 * SOON)
        return replace(given, params=kept[given.net])


class UpdatesShareMemory(Faulty):
    """The gradients of all updates of one network share one buffer."""

    def update(self, net: Any, rule: Any, params: Tree, rule_state: Tree, step: Step) -> Trained:
        places = self.__dict__.setdefault("places", {})
        place = places.setdefault(net, tree_map(np.empty_like, step.grads.params))
        tree_map(np.copyto, place, step.grads.params)
        time.sleep(10 * SOON)
        own = replace(step, grads=replace(step.grads, params=tree_map(np.array, place)))
        return super().update(net, rule, params, rule_state, own)


class RunsSeeTraining(Faulty):
    """While one thread trains, another's run drops a tenth."""

    def begun(self, given: Given) -> Given:
        self.__dict__["training"] = True
        time.sleep(10 * SOON)
        return given

    def trained(self, given: Given, done: Trained) -> Trained:
        self.__dict__["training"] = False
        return done

    def run(self, *given: Any, **named: Any) -> Result:
        time.sleep(SOON)
        result = super().run(*given, **named)
        dropped = self.__dict__.get("training", False)
        return replace(result, outputs=result.outputs * result.outputs.dtype.type(0.9)) if dropped else result


class LengthsIgnored(Faulty):
    """A training step runs every row to the end of time."""

    def begun(self, given: Given) -> Given:
        return replace(given, lengths=None)


class LengthsRemembered(Faulty):
    """A training step without lengths has those of the last one of its network and shape."""

    def begun(self, given: Given) -> Given:
        kept, key = self.__dict__.setdefault("lengths", {}), (given.net, np.shape(given.inputs))
        if given.lengths is not None:
            kept[key] = given.lengths
        return replace(given, lengths=kept.get(key))


class GoesOn(Faulty):
    """A training step without an initial state continues from the final state of the step before."""

    def begun(self, given: Given) -> Given:
        kept, key = self.__dict__.setdefault("kept", {}), (given.net, np.shape(given.inputs)[1])
        return given if given.state is not None else replace(given, state=kept.get(key))

    def trained(self, given: Given, done: Trained) -> Trained:
        self.__dict__.setdefault("kept", {})[given.net, np.shape(given.inputs)[1]] = done.state
        return done


class PaddingIsCounted(Faulty):
    """The rule sees the mean over all steps, padded ones too."""

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, inputs: Array, targets: Array,
                   state: Tree = None, lengths: Array = None, resets: Array = None) -> Trained:  # fmt: skip
        done = super().train_step(net, rule, params, rule_state, inputs, targets, state, lengths, resets)
        if lengths is None:
            return done
        step = self.value_and_grad(net, params, inputs, targets, state, lengths, resets)
        most = int(np.prod(np.shape(targets)[:2])) if np.ndim(targets) > 1 else len(targets)
        wrong = self.update(net, rule, params, rule_state, replace(step, count=most))
        return replace(wrong, count=done.count)


class FinalStateOfFullRows(Faulty):
    """A training step returns the final state that rows without padding would have."""

    def trained(self, given: Given, done: Trained) -> Trained:
        return replace(done, state=super().run(given.net, given.params, given.inputs, given.state).state)


class ReverseHalvesStay(Faulty):
    """The reverse halves of layers keep their parameters."""

    def trained(self, given: Given, done: Trained) -> Trained:
        return replace(done, params=_kept(".reverse.", given.params, done.params))


class UpperLayersStay(Faulty):
    """The layers above the first keep their parameters."""

    def trained(self, given: Given, done: Trained) -> Trained:
        return replace(done, params=_kept("layers.1.", given.params, done.params))


class UpdateLosesItsLoss(Faulty):
    """An update from given gradients returns no loss."""

    def update(self, *given: Any, **named: Any) -> Trained:
        done = super().update(*given, **named)
        return replace(done, loss_sum=np.zeros_like(done.loss_sum))


class UpdateLosesItsState(Faulty):
    """An update from given gradients returns states of zeros."""

    def update(self, *given: Any, **named: Any) -> Trained:
        done = super().update(*given, **named)
        return replace(done, state=tree_map(np.zeros_like, done.state))


def _kept(place: str, old: Tree, new: Tree) -> Tree:
    return named_map(lambda name, a, b: np.asarray(a, b.dtype) if place in f"{name}." else b, old, new)
