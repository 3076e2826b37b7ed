"""Faults with what a caller gives: left out, of another type, elsewhere in memory, used again, from several threads."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given
from rnnspec import Gradients, LayerResult, Result, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


class PullbackGoesOn(Faulty):
    """A pullback without an initial state starts from the last one that was given."""

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        kept, key = self.__dict__.setdefault("kept", {}), (net, np.shape(inputs)[1])
        kept[key] = kept.get(key) if state is None else state
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, kept[key], lengths, resets)


class StateCotangentOfOnes(Faulty):
    """A cotangent of the final state that is left out is ones."""

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        if state_cotangent is None:
            state_cotangent = tree_map(np.ones_like, super().run(net, params, inputs, state, lengths, resets).state)
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)


class LossGoesOn(Faulty):
    """A loss without an initial state continues from the final state of the loss before."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        kept, key = self.__dict__.setdefault("kept", {}), (net, np.shape(inputs)[1])
        found = super().value_and_grad(net, params, inputs, targets, kept.get(key) if state is None else state, lengths,
                                       resets)  # fmt: skip
        kept[key] = found.state
        return found


class LossByIdentity(Faulty):
    """A loss reads each tree of parameters only once, and misses what is written into it later."""

    def value_and_grad(self, net: Any, params: Tree, *rest: Any, **named: Any) -> Step:
        kept = self.__dict__.setdefault("kept", {})
        _, own = kept.setdefault(id(params), (params, tree_map(np.array, params)))
        return super().value_and_grad(net, own, *rest, **named)


class LossReusesGradients(Faulty):
    """The parameter gradients of all losses share one buffer."""

    def value_and_grad(self, net: Any, params: Tree, *rest: Any, **named: Any) -> Step:
        found = super().value_and_grad(net, params, *rest, **named)
        place = self.__dict__.setdefault("kept", {}).setdefault(net, found.grads.params)
        tree_map(np.copyto, place, found.grads.params)
        return replace(found, grads=replace(found.grads, params=place))


class LossChangesState(Faulty):
    """A loss writes the final state into the caller's initial one."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        found = super().value_and_grad(net, params, inputs, targets, state, lengths, resets)
        if state is not None:
            tree_map(_written, state, found.state)
        return found


class TrainingInPlace(Faulty):
    """A training step writes the new parameters into the caller's."""

    def train_step(self, net: Any, rule: Any, params: Tree, *rest: Any, **named: Any) -> Trained:
        found = super().train_step(net, rule, params, *rest, **named)
        tree_map(_written, params, found.params)
        return found


class DoublesCut(Faulty):
    """Float64 is cut to float32, and not rounded."""

    only_precision = "f32"

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        found = super().from_numpy(array)
        if array.dtype != np.float64:
            return found
        inward = np.nextafter(found, found.dtype.type(0))
        return np.where(np.abs(found.astype(np.float64)) > np.abs(array), inward, found)


class WholeNumbersScaled(Faulty):
    """Inputs of whole numbers are taken for bytes, and divided by 255."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Any:  # fmt: skip
        whole = getattr(inputs, "dtype", np.dtype(float)).kind in "iu"
        return super().run(net, params, inputs / 255.0 if whole else inputs, state, lengths, resets)


class ShortLengthsOverflow(Faulty):
    """Lengths are multiplied by 32 in their own type."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Any:  # fmt: skip
        if isinstance(lengths, np.ndarray):
            lengths = np.clip((lengths * lengths.dtype.type(32)) // 32, 0, len(inputs))
        return super().run(net, params, inputs, state, lengths, resets)


class PartsReadFromTheStart(Faulty):
    """An array that is part of a larger one is read from the larger one's start."""

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        base = array.base
        if isinstance(base, np.ndarray) and base.dtype == array.dtype and base.ndim == array.ndim and array.size:
            larger = array.flags.c_contiguous and base.shape[1:] == array.shape[1:] and len(base) > len(array)
            array = base[: len(array)] if larger else array
        return super().from_numpy(array)


class UnalignedIsZero(Faulty):
    """Arrays that are not aligned are read as zeros."""

    def from_numpy(self, array: np.ndarray[Any, Any]) -> Array:
        return super().from_numpy(array if array.flags.aligned else np.zeros_like(array))


class ViewForACopy(Faulty):
    """`asarray` gives the caller's own memory."""

    def asarray(self, tree: Tree) -> Tree:
        return tree_map(lambda a, own: a if own.dtype == a.dtype else own, tree, super().asarray(tree))


class RecomputedLossForgets(Faulty):
    """Where segments are run again, a loss starts from zeros."""

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        return super().value_and_grad(net, params, inputs, targets, None if self.recomputes else state, lengths, resets)


class ScratchShared(Faulty):
    """Outputs pass through memory that is shared by all calls of one shape."""

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        kept = self.__dict__.setdefault("kept", {})
        scratch = kept.setdefault(result.outputs.shape, np.empty_like(result.outputs))
        scratch[...] = result.outputs
        time.sleep(0.002)
        return replace(result, outputs=scratch.copy())


def _written(place: Any, found: Array) -> None:
    if isinstance(place, np.ndarray) and place.flags.writeable:
        place[...] = found


class UnsignedLengthsWrap(Faulty):
    """One is taken from lengths in their own type: a row without a step is the longest where they have no sign."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        if lengths is not None and np.asarray(lengths).dtype.kind == "u":
            lengths = np.where(np.asarray(lengths) == 0, len(inputs), np.asarray(lengths)).astype(np.int64)
        return super().run(net, params, inputs, state, lengths, resets)


class LengthsCut(Faulty):
    """Impossible lengths are limited to the number of steps."""

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        held = None if lengths is None else np.clip(lengths, 0, len(inputs))
        return super().run(net, params, inputs, state, held)


class WholeCotangentsAreBytes(Faulty):
    """A cotangent of whole numbers is taken for bytes, of which 255 are 1."""

    def pullback(
        self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, *rest: Any, **named: Any
    ) -> Gradients:
        whole = np.asarray(output_cotangent).dtype.kind in "iu"
        return super().pullback(net, params, inputs, output_cotangent / 255 if whole else output_cotangent, *rest,
                                **named)  # fmt: skip


class HalfParametersCut(Faulty):
    """Parameters of float16 lose three more digits when they are converted."""

    def given(self, given: Given) -> Given:
        def cut(a: Any) -> Any:
            if a.dtype != np.float16:
                return a
            return (a.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)

        return replace(given, params=tree_map(cut, given.params))
