"""Faults with states: the initial one that goes in, and the final one that comes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given
from rnnspec import Backend, LayerResult, Result
from rnnspec.contract.arrays import Array, NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import Tree, tree_map


class InitialIgnored(Faulty):
    """The initial state is taken for zeros."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(np.zeros_like, asked.state))


class InitialExchanged(Faulty):
    """Two initial states of one shape are taken for each other."""

    def asked(self, asked: Asked) -> Asked:
        names = list(asked.state)
        if len({asked.state[name].shape for name in names}) > 1:
            return asked
        return replace(asked, state={name: asked.state[names[i - 1]] for i, name in enumerate(names)})


class InitialOfFirstRow(Faulty):
    """Every row starts from the first row's state."""

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(lambda s: np.repeat(s[:1], len(s), 0), asked.state))


class InitialOfLastStateIgnored(Faulty):
    """The last of several initial states is taken for zeros."""

    def asked(self, asked: Asked) -> Asked:
        last = list(asked.state)[-1]
        if len(asked.state) == 1:
            return asked
        return replace(asked, state={**asked.state, last: np.zeros_like(asked.state[last])})


class FinalOfStepBefore(Faulty):
    """The final state is that of each row's last step but one."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        steps, batch, _ = asked.inputs.shape
        lengths = np.full(batch, steps) if asked.lengths is None else asked.lengths
        earlier = Backend.layer(
            self, asked.cell, asked.params, asked.inputs, asked.state, np.maximum(lengths - 1, 0), asked.call
        )
        return replace(result, state=earlier.state)


class FinalForgotten(Faulty):
    """The final state is zeros."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, state=tree_map(np.zeros_like, result.state))


class LastStateNotUpdated(Faulty):
    """The last of several states is returned unchanged, as it was passed in."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        last = list(asked.state)[-1]
        return (
            replace(result, state={**result.state, last: np.array(asked.state[last])})
            if len(asked.state) > 1
            else result
        )


class FinalExchanged(Faulty):
    """Two final states of the same shape are exchanged."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        names = list(result.state)
        if len({result.state[name].shape for name in names}) > 1:
            return result
        return replace(result, state={name: result.state[names[i - 1]] for i, name in enumerate(names)})


class FinalOfRolledRows(Faulty):
    """Each row's final state is that of the row before."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        return replace(result, state=tree_map(lambda s: np.roll(s, 1, 0), result.state))


class SecondLayerStartsAsFirst(Faulty):
    """The forward half of every layer starts from the first layer's state, where it has the same shape."""

    def given(self, given: Given) -> Given:
        if given.state is None:
            return given
        first = given.state[0].get("forward", {})
        alike = {"forward": lambda s: _where_alike(first, s)}
        found = [{half: alike.get(half, lambda s: s)(s) for half, s in layer.items()} for layer in given.state]
        return replace(given, state=found)


class ReverseStartsAsForward(Faulty):
    """The reverse half starts from the forward half's state."""

    def given(self, given: Given) -> Given:
        if given.state is None:
            return given
        return replace(
            given, state=[{half: layer.get("forward", layer[half]) for half in layer} for layer in given.state]
        )


class InitialUsedTwice(Faulty):
    """The state after the first step is forgotten: the second step starts from the initial state again."""

    def make_arrays(self) -> Any:
        return _Forgetful(DTYPES[self.precision])


class NoStepsNoCopy(Faulty):
    """Without a step, the final state is the same array that the caller passed."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        own = state is not None and len(inputs) == 0 and all(self.is_own(s) for s in _leaves(state))
        return replace(result, state=state) if own else result


class RowsOfLengthZeroForgotten(Faulty):
    """A row without a step gives back zeros, not its initial state."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None:
            return result
        some = (np.asarray(asked.lengths) > 0)[:, None]
        return replace(result, state=tree_map(lambda s: np.where(some, s, s.dtype.type(0)), result.state))


class _Forgetful(NumpyArrays):
    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        if backwards:
            return super().scan(body, carried, values, count, backwards)
        first = carried

        def forgetful(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            return body(first if t == 1 else now, step_values, t)

        return super().scan(forgetful, carried, values, count, backwards)


def _where_alike(new: Tree, old: Tree) -> Tree:
    """The new state under every name that has the same shape in both."""
    return {name: new[name] if name in new and np.shape(new[name]) == np.shape(s) else s for name, s in old.items()}


def _leaves(tree: Tree) -> list[Array]:
    found: list[Array] = []
    tree_map(found.append, tree)
    return found
