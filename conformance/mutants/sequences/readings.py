"""Faults with the last step where no output layer is above it: what is read of a reverse half, and of empty rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from conformance.mutants.faulty import Faulty
from rnnspec import Gradients, Last, Result
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree


class _Bare(Faulty):
    """Reads the last step in another way, where there is no output layer."""

    def read(self, values: Array, right: Array, ends: Array, low: int) -> Array:
        """What is read of `(time, batch, features)`, of which those from `low` on are a reverse half's."""
        raise NotImplementedError

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        result = super().run(net, params, inputs, state, lengths, resets)
        if net.output is not None or not isinstance(net.read, Last) or 0 in np.shape(inputs)[:2]:
            return result
        steps, rows = np.shape(inputs)[:2]
        ends = np.full(rows, steps) if lengths is None else np.asarray(lengths)
        whole = super().run(_every_step(net), params, inputs, state, lengths, resets)
        top = net.layers[-1]
        low = {"forward": top.width, "bidirectional": top.half_width}.get(top.direction, 0)
        found = self.read(whole.outputs, result.outputs, ends, low)
        return Result(found, result.state, result.path)


class ReverseReadAtTheEnd(_Bare):
    """What is read of a reverse half is its output at each row's last step in time."""

    def read(self, values: Array, right: Array, ends: Array, low: int) -> Array:
        late = np.where((ends > 0)[:, None], _at(values, ends - 1), 0).astype(right.dtype)
        return np.concatenate([right[:, :low], late[:, low:]], -1)


class ReverseReadBehindTheEnd(_Bare):
    """What is read of a reverse half is its output at the last step of time, 0 where a row has ended."""

    def read(self, values: Array, right: Array, ends: Array, low: int) -> Array:
        return np.concatenate([right[:, :low], values[-1][:, low:]], -1)


class ShortRowsReadForwardOnly(_Bare):
    """Of rows that end early, nothing is read of a reverse half."""

    def read(self, values: Array, right: Array, ends: Array, low: int) -> Array:
        found = np.array(right)
        found[ends < len(values), low:] = 0
        return found


class HalvesReadExchanged(_Bare):
    """What is read of both halves stands in the other order."""

    def read(self, values: Array, right: Array, ends: Array, low: int) -> Array:
        return np.concatenate([right[:, low:], right[:, :low]], -1)


class ReverseCotangentAtTheEnd(Faulty):
    """Without an output layer, the cotangent of what is read goes to each row's last step in time, in both halves."""

    def pullback(
        self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, *rest: Any, **named: Any
    ) -> Gradients:
        if net.output is not None or not isinstance(net.read, Last) or 0 in np.shape(inputs)[:2]:
            return super().pullback(net, params, inputs, output_cotangent, *rest, **named)
        lengths = rest[2] if len(rest) > 2 else named.get("lengths")
        steps, rows = np.shape(inputs)[:2]
        ends = np.full(rows, steps) if lengths is None else np.asarray(lengths)
        w = np.zeros((steps, *np.shape(output_cotangent)), inputs.dtype)
        w[np.maximum(ends - 1, 0), np.arange(rows)] = np.where((ends > 0)[:, None], output_cotangent, 0)
        return super().pullback(_every_step(net), params, inputs, w, *rest, **named)


def _every_step(net: Any) -> Any:
    return type(net)(net.inputs, net.layers)


def _at(values: Array, steps: Array) -> Array:
    return values[np.maximum(steps, 0), np.arange(values.shape[1])]
