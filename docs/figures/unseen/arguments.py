"""Calls: arguments that are changed, kept or misread, answers that depend on other calls, types that are lost."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, LayerResult, Result, Step, Trained
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, leaves, tree_map


class InputsCentredInPlace(Faulty):
    """A run adds zeros to padded inputs in place: the caller's NaN there become zeros."""

    kind: ClassVar[str] = "memory"

    def given(self, given: Given) -> Given:
        x = given.inputs
        if given.lengths is not None and isinstance(x, np.ndarray) and x.flags.writeable:
            x[np.arange(len(x))[:, None] >= np.asarray(given.lengths)[None, :]] = 0
        return given


class StateUpdatedInPlace(Faulty):
    """A run writes the final state into the arrays of the initial one."""

    kind: ClassVar[str] = "memory"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if state is not None:
            for (_, old), (_, new) in zip(leaves(state), leaves(result.state), strict=True):
                if isinstance(old, np.ndarray) and old.flags.writeable and old.shape == new.shape:
                    old[...] = new
        return result


class ParametersScaledInPlace(Faulty):
    """A pullback rounds the caller's parameters to float16 in place."""

    kind: ClassVar[str] = "memory"

    def pullback(self, net: Any, params: Tree, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(net, params, *given, **named)
        for _, a in leaves(params):
            if isinstance(a, np.ndarray) and a.flags.writeable:
                a[...] = a.astype(np.float16)
        return found


class StatesAreViewsOfOutputs(Faulty):
    """All final states of one shape share a buffer that the next call overwrites."""

    kind: ClassVar[str] = "memory"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        places = self.__dict__.setdefault("places", {})

        def kept(name: str, s: Array) -> Array:
            place = places.setdefault((name, s.shape), np.empty_like(s))
            place[...] = s
            return place

        state = [{half: {name: kept(f"{i} {half} {name}", s) for name, s in states.items()}
                  for half, states in layer.items()} for i, layer in enumerate(result.state)]  # fmt: skip
        return replace(result, state=state)


class InputGradientsShareMemory(Faulty):
    """The input gradients of all pullbacks of one shape share a buffer."""

    kind: ClassVar[str] = "memory"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        place = self.__dict__.setdefault("places", {}).setdefault(found.inputs.shape, np.empty_like(found.inputs))
        place[...] = found.inputs
        return replace(found, inputs=place)


class MaskCachedByShape(Faulty):
    """The lengths of the first call of a shape are those of all calls of this shape."""

    kind: ClassVar[str] = "call before"

    def given(self, given: Given) -> Given:
        if given.lengths is None:
            return given
        kept = self.__dict__.setdefault("lengths", {}).setdefault(np.shape(given.inputs), np.array(given.lengths))
        return replace(given, lengths=kept)


class ParametersOfTheFirstCall(Faulty):
    """Parameters are packed once for each network, and never again."""

    kind: ClassVar[str] = "call before"

    def asked(self, asked: Asked) -> Asked:
        key = asked.cell, asked.call.place, asked.inputs.shape[-1]
        kept = self.__dict__.setdefault("packed", {}).setdefault(key, tree_map(np.array, asked.params))
        same = [a.shape for _, a in leaves(kept)] == [a.shape for _, a in leaves(asked.params)]
        return replace(asked, params=kept) if same else asked


class SecondCallStartsWarm(Faulty):
    """Every second run without a state starts from the final state of the first one."""

    kind: ClassVar[str] = "call before"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        kept = self.__dict__.setdefault("kept", {})
        key = net, np.shape(inputs)[1]
        if state is None and key in kept:
            state = kept.pop(key)
        result = super().run(net, params, inputs, state, lengths, resets)
        kept[key] = result.state
        return result


class GradientsMovedByTheLast(Faulty):
    """A thousandth of the last pullback's input gradient is added to that of the next one of the same shape."""

    kind: ClassVar[str] = "call before"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        last = self.__dict__.setdefault("last", {})
        before = last.get(found.inputs.shape, 0)
        last[found.inputs.shape] = np.array(found.inputs)
        return replace(found, inputs=found.inputs + found.inputs.dtype.type(1e-3) * before)


class GradientsInSinglePrecision(Faulty):
    """Parameter gradients come back in float32."""

    kind: ClassVar[str] = "form of answers"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        return replace(found, params=tree_map(lambda g: g.astype(np.float32), found.params))


class StatesInDoublePrecision(Faulty):
    """Final states come back in float64, or in float32 where the precision is float64."""

    kind: ClassVar[str] = "form of answers"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        other = np.float32 if self.precision == "f64" else np.float64
        return replace(result, state=tree_map(lambda s: s.astype(other), result.state))


class NegativeStridesReadForwards(Faulty):
    """An array that is read backwards is read forwards."""

    kind: ClassVar[str] = "arguments"

    def given(self, given: Given) -> Given:
        x = given.inputs
        turned = isinstance(x, np.ndarray) and x.ndim == 3 and x.strides[0] < 0
        return replace(given, inputs=x[::-1]) if turned else given


class SquareBatchesTransposed(Faulty):
    """A batch with as many rows as steps is taken for one whose rows come first."""

    kind: ClassVar[str] = "arguments"

    def given(self, given: Given) -> Given:
        shape = np.shape(given.inputs)
        if len(shape) != 3 or shape[0] != shape[1] or shape[0] < 2:
            return given
        return replace(given, inputs=np.swapaxes(np.asarray(given.inputs), 0, 1))


class SmallLengthsAreFlags(Faulty):
    """Lengths of 8 bits are refused."""

    kind: ClassVar[str] = "arguments"

    def given(self, given: Given) -> Given:
        if given.lengths is not None and np.asarray(given.lengths).dtype.itemsize == 1:
            raise TypeError("lengths must be int64")
        return given


class LengthsAreAbsolute(Faulty):
    """A negative length is taken for its absolute value."""

    kind: ClassVar[str] = "arguments"

    def given(self, given: Given) -> Given:
        if given.lengths is None or np.asarray(given.lengths).dtype.kind != "i":
            return given
        return replace(given, lengths=np.abs(np.asarray(given.lengths)))


class LengthsRounded(Faulty):
    """Lengths with a fraction are rounded."""

    kind: ClassVar[str] = "arguments"

    def given(self, given: Given) -> Given:
        if given.lengths is None or np.asarray(given.lengths).dtype.kind != "f":
            return given
        return replace(given, lengths=np.rint(np.asarray(given.lengths)).astype(np.int64))


class NoiseInTheState(Faulty):
    """The final state has noise in its last digit, although the backend promises equal bits."""

    kind: ClassVar[str] = "calls differ"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        draw = self.__dict__.setdefault("draw", np.random.default_rng())
        return replace(result, state=tree_map(lambda s: _moved(s, draw), result.state))


class NoiseInGradients(Faulty):
    """Parameter gradients are added up in an order that changes from call to call."""

    kind: ClassVar[str] = "calls differ"

    def pullback(self, *given: Any, **named: Any) -> Gradients:
        found = super().pullback(*given, **named)
        draw = self.__dict__.setdefault("draw", np.random.default_rng())
        return replace(found, params=tree_map(lambda g: _moved(g, draw), found.params))


def _moved(a: Array, draw: Any) -> Array:
    return np.where(draw.random(a.shape) < 0.5, np.nextafter(a, a.dtype.type(np.inf)), a).astype(a.dtype)


class StateOfAnotherThread(Faulty):
    """A run keeps its initial state in one place, where another thread's run replaces it."""

    kind: ClassVar[str] = "threads"

    def asked(self, asked: Asked) -> Asked:
        kept = self.__dict__.setdefault("states", {})
        key = asked.call.place, *(s.shape for s in asked.state.values())
        kept[key] = asked.state
        time.sleep(0.002)
        return replace(asked, state=kept[key])


class CotangentOfAnotherThread(Faulty):
    """A pullback keeps its output cotangent in one place, where another thread's pullback replaces it."""

    kind: ClassVar[str] = "threads"

    def pulled(self, pulled: Pulled) -> Pulled:
        kept = self.__dict__.setdefault("cotangents", {})
        key = pulled.call.place, pulled.output_cotangent.shape
        kept[key] = pulled.output_cotangent
        time.sleep(0.002)
        return replace(pulled, output_cotangent=kept[key])


class RunKeepsTheOldOutputs(Faulty):
    """A run with the same inputs array gives the outputs of the first run with it."""

    kind: ClassVar[str] = "call before"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        kept = self.__dict__.setdefault("kept", {})
        known, outputs = kept.setdefault(id(inputs), (inputs, result.outputs))
        same = known is inputs and outputs.shape == result.outputs.shape
        return replace(result, outputs=np.array(outputs)) if same else result


class LossUsesTheLastTargets(Faulty):
    """Targets are copied to the device once for each shape."""

    kind: ClassVar[str] = "call before"

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, *given: Any, **named: Any) -> Step:
        key = np.shape(targets), np.asarray(targets).dtype.kind
        kept = self.__dict__.setdefault("targets", {}).setdefault((net, *key), np.array(targets))
        return super().value_and_grad(net, params, inputs, kept, *given, **named)


class RuleStateInPlace(Faulty):
    """A training step writes the rule's new state into the caller's arrays."""

    kind: ClassVar[str] = "memory"

    def train_step(self, net: Any, rule: Any, params: Tree, rule_state: Tree, *given: Any, **named: Any) -> Trained:
        done = super().train_step(net, rule, params, rule_state, *given, **named)
        for (_, old), (_, new) in zip(leaves(rule_state), leaves(done.rule_state), strict=True):
            if isinstance(old, np.ndarray) and old.ndim and old.flags.writeable:
                old[...] = new
        return done


class OutputsKeptAsResult(Faulty):
    """The outputs of a layer pass through a buffer of the class: another network's call replaces them."""

    kind: ClassVar[str] = "memory"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        places = self.__dict__.setdefault("buffers", {})
        place = places.setdefault(result.outputs.shape, np.empty_like(result.outputs))
        place[...] = result.outputs
        return replace(result, outputs=place)
