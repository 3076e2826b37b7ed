"""States that are taken, carried and returned wrongly, and steps that are lost or shifted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given
from rnnspec import LayerResult, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


def _real(lengths: Array | None, a: Array) -> Array:
    """Outputs (time, batch, feature) with zeros after a row's end."""
    if lengths is None:
        return a
    return np.where((np.arange(len(a))[:, None] < lengths[None, :])[..., None], a, a.dtype.type(0))


class InitialStateDroppedWithLengths(Faulty):
    """A packed batch, one with lengths, starts from zeros."""

    kind: ClassVar[str] = "initial state"

    def asked(self, asked: Asked) -> Asked:
        return asked if asked.lengths is None else replace(asked, state=tree_map(np.zeros_like, asked.state))


class FirstStateForAllStates(Faulty):
    """Every state of a layer starts from the first one."""

    kind: ClassVar[str] = "initial state"

    def asked(self, asked: Asked) -> Asked:
        first = next(iter(asked.state.values()))
        same = {name: np.array(first) if s.shape == first.shape else s for name, s in asked.state.items()}
        return replace(asked, state=same)


class StateOfOneLayerOnly(Faulty):
    """The initial state of the first layer is used, those of the others are zeros."""

    kind: ClassVar[str] = "initial state"

    def asked(self, asked: Asked) -> Asked:
        first = asked.call.place.startswith("layers.0.")
        return asked if first else replace(asked, state=tree_map(np.zeros_like, asked.state))


class InitialStateIsSquashed(Faulty):
    """The initial state passes through a tanh."""

    kind: ClassVar[str] = "initial state"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, state=tree_map(np.tanh, asked.state))


class FirstStateIsAStepBehind(Faulty):
    """The first final state is that of the step before the last."""

    kind: ClassVar[str] = "final state"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        steps = len(asked.inputs) - 1
        if not steps:
            return result
        ends = np.full(asked.inputs.shape[1], steps + 1) if asked.lengths is None else asked.lengths
        resets = None if asked.resets is None else type(asked.resets)(*(_less(a) for a in asked.resets))
        before = super(Faulty, self).layer(asked.cell, asked.params, asked.inputs[:-1], asked.state,
                                           np.maximum(ends - 1, 0), asked.call, resets)  # fmt: skip
        first = next(iter(result.state))
        return replace(result, state={**result.state, first: before.state[first]})


def _less(a: Array | None) -> Array | None:
    return None if a is None else a[:-1]


class LastLayersStateForAll(Faulty):
    """Each layer of a stack returns the last layer's final state where it has the same shape."""

    kind: ClassVar[str] = "final state"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        last = result.state[-1]

        def same(half: str, name: str, s: Array) -> Array:
            other = last.get(half, {}).get(name)
            return np.array(other) if other is not None and other.shape == s.shape else s

        return replace(result, state=[{half: {name: same(half, name, s) for name, s in states.items()}
                                       for half, states in layer.items()} for layer in result.state])  # fmt: skip


class OutputGivenForAState(Faulty):
    """The last of the final states is the first one again."""

    kind: ClassVar[str] = "final state"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        first, *_, last = [*result.state, *result.state]
        if result.state[first].shape != result.state[last].shape:
            return result
        return replace(result, state={**result.state, last: np.array(result.state[first])})


class FinalStateOfTheFirstHalfOfTime(Faulty):
    """With more than four steps, the final state is that of the middle of time."""

    kind: ClassVar[str] = "final state"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        steps = len(asked.inputs)
        if steps < 5 or asked.resets is not None:
            return result
        lengths = None if asked.lengths is None else np.minimum(asked.lengths, steps // 2)
        half = super(Faulty, self).layer(asked.cell, asked.params, asked.inputs[: steps // 2], asked.state, lengths,
                                         asked.call)  # fmt: skip
        return replace(result, state=half.state)


class FirstStepTwice(Faulty):
    """The first step runs twice: once to find the shapes, and again in the loop."""

    kind: ClassVar[str] = "step lost"

    def asked(self, asked: Asked) -> Asked:
        lengths = None if asked.lengths is None else np.minimum(asked.lengths, 1)
        resets = None if asked.resets is None else type(asked.resets)(*(None if a is None else a[:1]
                                                                        for a in asked.resets))  # fmt: skip
        once = super(Faulty, self).layer(asked.cell, asked.params, asked.inputs[:1], asked.state, lengths, asked.call,
                                         resets)  # fmt: skip
        return replace(asked, state=once.state)


class RemainderOfFourLost(Faulty):
    """A loop that is unrolled by four does not run the steps that are left over, if more than four are."""

    kind: ClassVar[str] = "step lost"

    def asked(self, asked: Asked) -> Asked:
        steps = len(asked.inputs) // 4 * 4
        if not steps:
            return asked
        ends = np.full(asked.inputs.shape[1], len(asked.inputs)) if asked.lengths is None else asked.lengths
        return replace(asked, lengths=np.minimum(ends, steps))


class SecondStepSkipped(Faulty):
    """The input of the second step is skipped: the third one is read twice."""

    kind: ClassVar[str] = "step lost"

    def asked(self, asked: Asked) -> Asked:
        if len(asked.inputs) < 3:
            return asked
        x = np.array(asked.inputs)
        x[1] = x[2]
        return replace(asked, inputs=x)


class InputsEarly(Faulty):
    """Each step reads the input of the step after it; the last one reads its own."""

    kind: ClassVar[str] = "step shifted"

    def asked(self, asked: Asked) -> Asked:
        return replace(asked, inputs=np.concatenate([asked.inputs[1:], asked.inputs[-1:]]))


class OutputsBeforeTheStep(Faulty):
    """Each step puts out the state that it starts from: the first output is the initial state."""

    kind: ClassVar[str] = "step shifted"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        begun = asked.state.get(asked.cell.output_state or "")
        first = np.zeros_like(result.outputs[:1]) if begun is None else begun[None]
        if first.shape[1:] != result.outputs.shape[1:]:
            return result
        return replace(result, outputs=_real(asked.lengths, np.concatenate([first, result.outputs[:-1]])))


class OutputsEarly(Faulty):
    """Outputs stand one step too early; the last one stands twice."""

    kind: ClassVar[str] = "step shifted"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        early = np.concatenate([result.outputs[1:], result.outputs[-1:]])
        return replace(result, outputs=_real(asked.lengths, early))


class InputsAveragedOverTwoSteps(Faulty):
    """Each step reads the mean of its input and of the one before."""

    kind: ClassVar[str] = "step shifted"

    def asked(self, asked: Asked) -> Asked:
        before = np.concatenate([asked.inputs[:1], asked.inputs[:-1]])
        return replace(asked, inputs=((asked.inputs + before) / 2).astype(asked.inputs.dtype))


class StateOfALongRunLost(Faulty):
    """The state is lost after every fifth step."""

    kind: ClassVar[str] = "step lost"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        steps = len(asked.inputs)
        if steps <= 5 or asked.resets is not None:
            return result
        outputs, state = [], asked.state
        ends = np.full(asked.inputs.shape[1], steps) if asked.lengths is None else asked.lengths
        for start in range(0, steps, 5):
            part = asked.inputs[start : start + 5]
            begun = state if start == 0 else {name: np.where((ends > start)[:, None], s.dtype.type(0), s)
                                              for name, s in state.items()}  # fmt: skip
            left = np.clip(ends - start, 0, len(part))
            found = super(Faulty, self).layer(asked.cell, asked.params, part, begun, left, asked.call)
            outputs.append(found.outputs)
            state = found.state
        return replace(result, outputs=np.concatenate(outputs), state=state)


class StateRoundedBetweenSteps(Faulty):
    """The state between two calls is kept in half precision."""

    kind: ClassVar[str] = "digits"

    def given(self, given: Given) -> Given:
        if given.state is None:
            return given
        return replace(given, state=tree_map(lambda s: np.asarray(s).astype(np.float16).astype(np.asarray(s).dtype),
                                             given.state))  # fmt: skip
