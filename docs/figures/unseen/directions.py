"""Reverse halves, stacks, the output layer and the step that is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Given, Pulled
from rnnspec import Gradients, Last, LayerResult, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree, tree_map


def _is_reverse(place: str) -> bool:
    return place.endswith("reverse")


class ReverseBackWithoutLengths(Faulty):
    """The reverse half reads each row backwards, but its outputs are turned back as if all rows were full."""

    kind: ClassVar[str] = "reverse"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.lengths is None or not _is_reverse(asked.call.place):
            return result
        shift = len(asked.inputs) - asked.lengths
        rows = [np.roll(result.outputs[:, b], s, 0) for b, s in enumerate(shift)]
        masked = [np.where(np.arange(len(r))[:, None] < n, r, r.dtype.type(0))
                  for r, n in zip(rows, asked.lengths, strict=True)]  # fmt: skip
        return replace(result, outputs=np.stack(masked, 1))


class ReverseBeginsOneStepLate(Faulty):
    """The reverse half reads a row from its last step but one, and the last step at the end."""

    kind: ClassVar[str] = "reverse"

    def asked(self, asked: Asked) -> Asked:
        if not _is_reverse(asked.call.place):
            return asked
        ends = np.full(asked.inputs.shape[1], len(asked.inputs)) if asked.lengths is None else asked.lengths
        x = np.array(asked.inputs)
        for b, end in enumerate(ends):
            x[:end, b] = np.roll(x[:end, b], -1, 0)
        return replace(asked, inputs=x)


class ReverseOfEvenRowsOnly(Faulty):
    """The reverse half swaps steps in place up to the middle, and misses the middle pair of an even row."""

    kind: ClassVar[str] = "reverse"

    def asked(self, asked: Asked) -> Asked:
        if not _is_reverse(asked.call.place):
            return asked
        ends = np.full(asked.inputs.shape[1], len(asked.inputs)) if asked.lengths is None else asked.lengths
        x = np.array(asked.inputs)
        for b, end in enumerate(map(int, ends)):
            if end and end % 2 == 0:
                x[[end // 2 - 1, end // 2], b] = x[[end // 2, end // 2 - 1], b]
        return replace(asked, inputs=x)


class ReverseStartsFromForwardEnd(Faulty):
    """The reverse half starts from the state in which the forward half ended."""

    kind: ClassVar[str] = "mixed up"

    def layer(self, cell: Any, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Any,
              resets: Any = None) -> LayerResult:  # fmt: skip
        before, self.__dict__["before"] = self.__dict__.get("before"), None
        if _is_reverse(call.place) and before is not None:
            state = {name: before[name] if before.get(name, s).shape == s.shape and name in before else s
                     for name, s in state.items()}  # fmt: skip
        found = super().layer(cell, params, inputs, state, lengths, call, resets)
        self.__dict__["before"] = None if _is_reverse(call.place) else found.state
        return found


class UpperLayersSeeOneHalfTwice(Faulty):
    """Layers above a bidirectional one read its forward half twice."""

    kind: ClassVar[str] = "mixed up"

    def asked(self, asked: Asked) -> Asked:
        width = asked.inputs.shape[-1]
        if asked.call.place.startswith("layers.0.") or width % 2:
            return asked
        half = asked.inputs[..., : width // 2]
        return replace(asked, inputs=np.concatenate([half, half], -1))


class ResidualBetweenLayers(Faulty):
    """A layer as wide as its input adds the input to its outputs."""

    kind: ClassVar[str] = "mixed up"

    def answered(self, asked: Asked, result: LayerResult) -> LayerResult:
        if asked.call.place.startswith("layers.0.") or asked.inputs.shape != result.outputs.shape:
            return result
        return replace(result, outputs=result.outputs + asked.inputs)


class DropoutLeftOn(Faulty):
    """Between layers, every third feature is set to zero, as if dropout were on."""

    kind: ClassVar[str] = "mixed up"

    def asked(self, asked: Asked) -> Asked:
        if asked.call.place.startswith("layers.0."):
            return asked
        kept = (np.arange(asked.inputs.shape[-1]) % 3 != 2).astype(asked.inputs.dtype)
        return replace(asked, inputs=asked.inputs * kept)


class HalvesStatesExchanged(Faulty):
    """The final states of the two halves are exchanged."""

    kind: ClassVar[str] = "mixed up"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)

        def turned(layer: Tree) -> Tree:
            return layer if len(layer) < 2 else dict(zip(layer, reversed(list(layer.values())), strict=True))

        return replace(result, state=[turned(layer) for layer in result.state])


class OutputLayerHasNoBias(Faulty):
    """The output layer has no bias."""

    kind: ClassVar[str] = "output"

    def given(self, given: Given) -> Given:
        if "output" not in given.params:
            return given
        own = given.params["output"]
        return replace(given, params={**given.params, "output": {**own, "b": np.zeros_like(own["b"])}})


class OutputLayerIsSquashed(Faulty):
    """The output layer ends in a softmax, although a network's outputs are logits."""

    kind: ClassVar[str] = "output"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if net.output is None:
            return result
        e = np.exp(result.outputs - result.outputs.max(-1, keepdims=True))
        return replace(result, outputs=e / e.sum(-1, keepdims=True))


class OutputMapLearnsFromTheLastStep(Faulty):
    """The output layer's map has the gradient of the last step alone."""

    kind: ClassVar[str] = "output"

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        given = (net, params, inputs, output_cotangent, state_cotangent, state, lengths, resets)
        found = super().pullback(*given)
        if net.output is None or isinstance(net.read, Last) or not len(output_cotangent):
            return found
        last = np.array(output_cotangent)
        last[:-1] = 0
        own = super().pullback(net, params, inputs, last, state_cotangent, state, lengths, resets).params["output"]
        return replace(found, params={**found.params, "output": {**found.params["output"], "W": own["W"]}})


class LastIsTheStepBefore(Faulty):
    """`Last()` reads each row's last step but one, where it has two."""

    kind: ClassVar[str] = "output"

    def given(self, given: Given) -> Given:
        if not isinstance(given.net.read, Last) or len(given.inputs) < 2:
            return given
        ends = np.full(given.inputs.shape[1], len(given.inputs)) if given.lengths is None else given.lengths
        ends = np.asarray(ends)
        return replace(given, lengths=np.where(ends > 1, ends - 1, ends).astype(np.int64))


class LastOfAllRowsIsTheShortest(Faulty):
    """`Last()` reads every row at the end of the shortest row."""

    kind: ClassVar[str] = "output"

    def given(self, given: Given) -> Given:
        if not isinstance(given.net.read, Last) or given.lengths is None or not len(np.asarray(given.lengths)):
            return given
        ends = np.asarray(given.lengths)
        real = ends[ends > 0]
        return replace(given, lengths=np.minimum(ends, real.min() if len(real) else 0))


class LastIsTheMean(Faulty):
    """`Last()` without an output layer reads the mean of the last outputs of the batch's rows and its own."""

    kind: ClassVar[str] = "rows mixed"

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if not isinstance(net.read, Last) or net.output is not None or not len(result.outputs):
            return result
        mean = result.outputs.mean(0, keepdims=True)
        return replace(result, outputs=((result.outputs + mean) / 2).astype(result.outputs.dtype))


class LowerLayersDoNotLearn(Faulty):
    """The gradients of all layers but the last are zeros."""

    kind: ClassVar[str] = "mixed up"

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        self.__dict__.setdefault("top", pulled.call.place.split(".")[1])
        if pulled.call.place.startswith("layers.0.") and self._deep:
            return Gradients(tree_map(np.zeros_like, gradients.params), gradients.inputs, gradients.state)
        return gradients

    _deep = False

    def pullback(self, net: Any, *given: Any, **named: Any) -> Gradients:
        self._deep = len(net.layers) > 1
        return super().pullback(net, *given, **named)

    def value_and_grad(self, net: Any, *given: Any, **named: Any) -> Any:
        self._deep = len(net.layers) > 1
        return super().value_and_grad(net, *given, **named)
