"""Faults with lengths as they are given: their type, their shape and what cannot be one, in one call or in several."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Faulty, Given
from rnnspec import Gradients, Result, Step
from rnnspec.contract.arrays import Array
from rnnspec.tree import Tree

GRADIENTS = ("pullback", "loss", "training")


class _Read(Faulty):
    """Reads the lengths of some calls in its own way."""

    calls: ClassVar[tuple[str, ...]] = ("run", *GRADIENTS)

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        """What lengths are taken for."""
        return lengths

    def run(self, net: Any, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
            resets: Array = None) -> Result:  # fmt: skip
        return super().run(net, params, inputs, state, self._of("run", lengths, inputs), resets)

    def pullback(self, net: Any, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
                 state: Tree = None, lengths: Array = None, resets: Array = None) -> Gradients:  # fmt: skip
        return super().pullback(net, params, inputs, output_cotangent, state_cotangent, state,
                                self._of("pullback", lengths, inputs), resets)  # fmt: skip

    def value_and_grad(self, net: Any, params: Tree, inputs: Array, targets: Array, state: Tree = None,
                       lengths: Array = None, resets: Array = None) -> Step:  # fmt: skip
        return super().value_and_grad(net, params, inputs, targets, state, self._of("loss", lengths, inputs), resets)

    def begun(self, given: Given) -> Given:
        return Given(given.net, given.params, given.inputs, given.state,
                     self._of("training", given.lengths, given.inputs))  # fmt: skip

    def _of(self, call: str, lengths: Any, inputs: Array) -> Any:
        if lengths is None or call not in self.calls:
            return lengths
        return self.read(np.asarray(lengths), *np.shape(inputs)[:2])


class _Wrapped(_Read):
    """One is taken from lengths in their own type: a row without a step is the longest where they have no sign."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.where(lengths == 0, steps, lengths).astype(np.int64) if lengths.dtype.kind == "u" else lengths


class WrapInPullbacks(_Wrapped):
    """A pullback's row of length 0 is the longest where lengths have no sign."""

    calls = ("pullback",)


class WrapInLosses(_Wrapped):
    """A loss' row of length 0 is the longest where lengths have no sign."""

    calls = ("loss",)


class WrapInTraining(_Wrapped):
    """A training step's row of length 0 is the longest where lengths have no sign."""

    calls = ("training",)


class _Overflowing(_Read):
    """Lengths are multiplied by 32 in their own type."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.clip((lengths * lengths.dtype.type(32)) // 32, 0, steps) if lengths.dtype.kind in "iu" else lengths


class OverflowInPullbacks(_Overflowing):
    """A pullback multiplies lengths by 32 in their own type."""

    calls = ("pullback",)


class OverflowInLosses(_Overflowing):
    """A loss multiplies lengths by 32 in their own type."""

    calls = ("loss",)


class OverflowInTraining(_Overflowing):
    """A training step multiplies lengths by 32 in their own type."""

    calls = ("training",)


class _Cut(_Read):
    """Impossible lengths are limited to the number of steps."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.clip(lengths, 0, steps) if lengths.dtype.kind == "i" else lengths


class CutInPullbacks(_Cut):
    """A pullback limits impossible lengths to the number of steps."""

    calls = ("pullback",)


class CutInLosses(_Cut):
    """A loss limits impossible lengths to the number of steps."""

    calls = ("loss",)


class CutInTraining(_Cut):
    """A training step limits impossible lengths to the number of steps."""

    calls = ("training",)


class NegativeFromTheEnd(_Read):
    """Where gradients are asked for, a negative length is counted from the end of time."""

    calls = GRADIENTS

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.where(lengths < 0, lengths + steps, lengths) if lengths.dtype.kind == "i" else lengths


class FlooredInGradients(_Read):
    """Where gradients are asked for, lengths of fractions are floored."""

    calls = GRADIENTS

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.floor(lengths).astype(np.int64) if lengths.dtype.kind == "f" else lengths


class WholeFloatsTaken(_Read):
    """The backend accepts floating-point lengths that have no fraction."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        whole = lengths.dtype.kind == "f" and bool((lengths == np.floor(lengths)).all())
        return lengths.astype(np.int64) if whole else lengths


class TruthTaken(_Read):
    """The backend accepts truth values as lengths of 1 and 0."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths.astype(np.int64) if lengths.dtype.kind == "b" else lengths


class LargeWrap(_Read):
    """The backend cuts lengths to 32 bits before it checks them."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths.astype(np.int64).astype(np.int32) if lengths.dtype.kind in "iu" else lengths


class OneForAll(_Read):
    """One length serves for all rows."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return np.repeat(lengths, rows) if lengths.shape == (1,) else lengths


class ColumnsTaken(_Read):
    """The backend accepts lengths in a column."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths[:, 0] if lengths.shape == (rows, 1) else lengths


class TooManyTaken(_Read):
    """The backend ignores lengths beyond the number of rows."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths[:rows] if lengths.ndim == 1 else lengths


class TwoBytesAreHalves(_Read):
    """Lengths of int16 are taken for floating-point numbers, and refused."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths.astype(np.float16) if lengths.dtype == np.int16 else lengths


class FourBytesAreSingles(_Read):
    """Lengths of uint32 are taken for floating-point numbers, and refused."""

    def read(self, lengths: Any, steps: int, rows: int) -> Any:
        return lengths.astype(np.float32) if lengths.dtype == np.uint32 else lengths
