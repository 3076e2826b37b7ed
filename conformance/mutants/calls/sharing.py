"""Faults with what is shared: an array in several places, memory of several calls, threads, rows that are no memory."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Gradients, Result, Step
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, leaves, tree_map

SOON = 2e-4
"""Seconds in which another thread comes between."""


class PullbackByIdentity(Faulty):
    """A pullback packs parameters once for each tree of arrays, whatever is written into them later."""

    def pullback(self, net: Any, params: Tree, *rest: Any, **named: Any) -> Gradients:
        kept = self.__dict__.setdefault("kept", {})
        _, own = kept.setdefault((net, _identity(params)), (params, tree_map(np.array, params)))
        return super().pullback(net, own, *rest, **named)


class PackedByTheLastSum(Faulty):
    """Packed parameters are reused if the arrays are the same and the sum of the last array is."""

    def given(self, given: Given) -> Given:
        kept = self.__dict__.setdefault("packed", {})
        *_, (_, last) = leaves(given.params)
        key = given.net, _identity(given.params), float(np.sum(last))
        _, own = kept.setdefault(key, (given.params, tree_map(np.array, given.params)))
        return replace(given, params=own)


class ZerosOfManyRows(Faulty):
    """Zeros for a state that is left out are those of the largest batch, into which smaller ones write their last."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        if state is not None or np.ndim(inputs) != 3:
            return super().run(net, params, inputs, state, lengths, resets)
        rows, kept = np.shape(inputs)[1], self.__dict__.setdefault("zeros", {})
        if net not in kept or kept[net][0] < rows:
            kept[net] = rows, tree_map(lambda shape: np.zeros(shape, inputs.dtype), net.state_shapes(rows))
        most, zeros = kept[net]
        result = super().run(net, params, inputs, tree_map(lambda z: np.array(z[:rows]), zeros), lengths, resets)
        if rows < most:
            tree_map(lambda z, s: np.copyto(z[:rows], s), zeros, result.state)
        return result


class GradientsByIdentity(Faulty):
    """Gradients are collected by array: an array in two places gets the sum of both gradients in each place."""

    def pullback(self, net: Any, params: Tree, *rest: Any, **named: Any) -> Gradients:
        found = super().pullback(net, params, *rest, **named)
        sums: dict[int, Any] = {}
        for (_, a), (_, g) in zip(leaves(params), leaves(tree_map(lambda _, g: g, params, found.params)), strict=True):
            sums[id(a)] = sums.get(id(a), 0) + g
        return replace(found, params=tree_map(lambda a: sums[id(a)], params))


class OneStateForTwo(Faulty):
    """States of a layer that are one array are updated as one."""

    def given(self, given: Given) -> Given:
        def parted(state: dict[str, Any]) -> dict[str, Any]:
            first, *_ = state.values()
            return {name: s + s.dtype.type(1) if i and s is first else s for i, (name, s) in enumerate(state.items())}

        if given.state is None:
            return given
        return replace(given, state=[{half: parted(s) for half, s in layer.items()} for layer in given.state])


class BroadcastReadFlat(Faulty):
    """An array that is broadcast is read as if all of its numbers stood in memory."""

    def from_numpy(self, array: Any) -> Any:
        flat = np.zeros(array.shape, array.dtype)
        if array.size > 1 and any(s == 0 for s, n in zip(array.strides, array.shape, strict=True) if n > 1):
            flat.flat[0] = array.flat[0]
            return super().from_numpy(flat)
        return super().from_numpy(array)


class LossesShareMemory(Faulty):
    """The gradients of all losses of one shape share one buffer."""

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Step:
        step = super().value_and_grad(net, *given, **named)
        place = self.__dict__.setdefault("places", {}).setdefault(
            step.grads.inputs.shape, np.empty_like(step.grads.inputs))  # fmt: skip
        place[...] = step.grads.inputs
        time.sleep(10 * SOON)
        return replace(step, grads=replace(step.grads, inputs=np.array(place)))


class RunsAndPullbacksShareMemory(Faulty):
    """Runs wait for runs and pullbacks for pullbacks, but both share one buffer."""

    def run(self, *given: Any, **named: Any) -> Result:
        result = super().run(*given, **named)
        return replace(result, outputs=self._through("runs", result.outputs))

    def pullback(
        self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, *rest: Any, **named: Any
    ) -> Gradients:
        passed = self._through("pullbacks", np.asarray(output_cotangent))
        return super().pullback(net, params, inputs, passed, *rest, **named)

    def _through(self, lock: str, a: Any) -> Any:
        with self.__dict__.setdefault("locks", {}).setdefault(lock, Lock()):
            place = self.__dict__.setdefault("places", {}).setdefault((a.shape, a.dtype), np.empty_like(a))
            place[...] = a
            time.sleep(SOON)
            return np.array(place)


class OneNetworkAtATime(Faulty):
    """The backend keeps the network of the current call in one place, where another thread's call replaces it."""

    def run(self, net: Any, *given: Any, **named: Any) -> Result:
        self.__dict__["now"] = net
        time.sleep(SOON)
        result = super().run(net, *given, **named)
        return result if self.__dict__["now"] == net else replace(result, outputs=-result.outputs)


def _identity(tree: Tree) -> tuple[int, ...]:
    return tuple(id(a) for _, a in leaves(tree))
