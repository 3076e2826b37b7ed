"""Faults with bound calls: the state between steps, what a reset forgets, and when parameters are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Bound, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class _FromTheFirst(Bound):
    def step(self, x_t: Array) -> Array:
        first = self.state
        found = super().step(x_t)
        self.state = first
        return found


class StateNotCarried(Faulty):
    """Every step of a stream starts from the state that the stream began with."""

    binds = _FromTheFirst


class _FirstLayerOnly(Bound):
    def step(self, x_t: Array) -> Array:
        found = super().step(x_t)
        first, *others = self.state
        self.state = [first, *tree_map(np.zeros_like, others)]
        return found


class SecondStateDropped(Faulty):
    """The steps of a stream keep the state of the first layer only."""

    binds = _FirstLayerOnly


class _ForgetsOneLayer(Bound):
    def reset(self, rows: Array = None) -> None:
        before = self.state
        super().reset(rows)
        if before is not None:
            after = tree_map(np.zeros_like, before) if rows is None else self.state
            self.state = [*after[:-1], before[-1]]


class ResetForgetsOneLayer(Faulty):
    """A reset of a stream leaves the state of the last layer as it is."""

    binds = _ForgetsOneLayer


class _AllRows(Bound):
    def reset(self, rows: Array = None) -> None:
        super().reset()


class ResetOfAllRows(Faulty):
    """A reset of some rows of a stream begins all rows anew."""

    binds = _AllRows


class _RunGoesOn(Bound):
    def run(self, inputs: Array, state: Tree = None, lengths: Array = None, resets: Array = None) -> Result:
        fits = self.state is not None and len(self.state[0]["forward"]["h"]) == np.shape(inputs)[1]
        return super().run(inputs, self.state if state is None and fits else state, lengths, resets)


class BoundRunGoesOn(Faulty):
    """A bound run without a state goes on from the state of the stream."""

    binds = _RunGoesOn


class ParametersBoundLate(Faulty):
    """A bound call reads the caller's parameters at every call."""

    def bound(self, net: Any, params: Tree) -> Bound:
        super().bound(net, params)
        return self.binds(self, net, params)
