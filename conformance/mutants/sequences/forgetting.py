"""Faults of long sequences, each at several extents: steps that are skipped, states and cotangents lost on the way.

A network that forgets hides them all: its answer is that of the last steps.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from conformance.mutants.faulty import Asked, Faulty, Pulled
from rnnspec import Backend, Gradients, Mutant
from rnnspec.contract.arrays import NumpyArrays, Scan, Values
from rnnspec.contract.capabilities import DTYPES
from rnnspec.tree import tree_map

__all__ = ["EXTENTS", "forgetting_mutants"]

EXTENTS = (5, 48, 400)
"""The steps of which a fault keeps no more: fewer than 7, 64 and 512."""


class _Forgetting(Faulty):
    """A fault in the loop over time of some layers."""

    steps: ClassVar[int] = EXTENTS[0]

    def concerns(self, index: int, half: str) -> bool:
        """Whether the fault is in this half of this layer."""
        return True

    def kept(self, now: Values, t: int, count: int) -> Values:
        """The states with which step t goes on."""
        return now

    def skips(self, t: int, count: int) -> bool:
        """Whether step t leaves the states as they are."""
        return False

    def handed(self, now: Values, t: int, count: int) -> Values:
        """The cotangents of the states after step t."""
        return now

    def make_arrays(self) -> Any:
        return _Loop(DTYPES[self.precision], self)

    def here(self, place: str) -> None:
        """Remember which half runs."""
        _, index, half = place.split(".")
        self.__dict__["here_now"] = self.concerns(int(index), half)

    def asked(self, asked: Asked) -> Asked:
        self.here(asked.call.place)
        return asked

    def pulled(self, pulled: Pulled) -> Pulled:
        self.here(pulled.call.place)
        return pulled


class OnlyTheLast(_Forgetting):
    """Of more than {steps} steps only the last {steps} change the states."""

    def skips(self, t: int, count: int) -> bool:
        return t < count - self.steps


class OnlyTheLastFromZeros(_Forgetting):
    """The last {steps} steps start from zeros."""

    def kept(self, now: Values, t: int, count: int) -> Values:
        return _zeros(now) if t and t == count - self.steps else now


class OnlyTheFirst(_Forgetting):
    """Steps after the first {steps} leave the states as they are."""

    def skips(self, t: int, count: int) -> bool:
        return t >= self.steps


class Reset(_Forgetting):
    """The states are zeros after every {steps} steps."""

    def kept(self, now: Values, t: int, count: int) -> Values:
        return _zeros(now) if t and t % self.steps == 0 else now


class ResetInUpperLayers(Reset):
    """Above the first layer, the states are zeros after every {steps} steps."""

    def concerns(self, index: int, half: str) -> bool:
        return index > 0


class ResetInReverseHalves(Reset):
    """In reverse halves, the states are zeros after every {steps} steps."""

    def concerns(self, index: int, half: str) -> bool:
        return half == "reverse"


class OnlyTheLastInUpperLayers(OnlyTheLast):
    """Above the first layer, of more than {steps} steps only the last {steps} change the states."""

    def concerns(self, index: int, half: str) -> bool:
        return index > 0


class OnlyTheLastInReverseHalves(OnlyTheLast):
    """In reverse halves, of more than {steps} steps only the last {steps} change the states."""

    def concerns(self, index: int, half: str) -> bool:
        return half == "reverse"


class CutToSixteenBits(_Forgetting):
    """The states are rounded to sixteen bits after every {steps} steps."""

    def kept(self, now: Values, t: int, count: int) -> Values:
        return _rounded(now) if t and t % self.steps == 0 else now


class NoLaterInput(_Forgetting):
    """Inputs after the first {steps} steps are not read."""

    def asked(self, asked: Asked) -> Asked:
        late = (np.arange(len(asked.inputs)) >= self.steps)[:, None, None]
        return super().asked(replace(asked, inputs=np.where(late, asked.inputs.dtype.type(0), asked.inputs)))


class NoEarlierInput(_Forgetting):
    """Inputs before the last {steps} steps are not read."""

    def asked(self, asked: Asked) -> Asked:
        early = (np.arange(len(asked.inputs)) < len(asked.inputs) - self.steps)[:, None, None]
        return super().asked(replace(asked, inputs=np.where(early, asked.inputs.dtype.type(0), asked.inputs)))


class InitialIgnored(_Forgetting):
    """Where there are more than {steps} steps, the initial state is taken for zeros."""

    def kept(self, now: Values, t: int, count: int) -> Values:
        return _zeros(now) if t == 0 and count > self.steps else now


class GradientCut(_Forgetting):
    """Every {steps} steps the cotangents of the states are cut, though no policy says so."""

    def handed(self, now: Values, t: int, count: int) -> Values:
        return _zeros(now) if t + 1 < count and (t + 1) % self.steps == 0 else now


class GradientCutInUpperLayers(GradientCut):
    """Above the first layer, the cotangents of the states are cut every {steps} steps."""

    def concerns(self, index: int, half: str) -> bool:
        return index > 0


class GradientCutInReverseHalves(GradientCut):
    """In reverse halves, the cotangents of the states are cut every {steps} steps."""

    def concerns(self, index: int, half: str) -> bool:
        return half == "reverse"


class GradientOfTheLast(_Forgetting):
    """No cotangent of a state passes from the last {steps} steps to those before."""

    def handed(self, now: Values, t: int, count: int) -> Values:
        return _zeros(now) if t + 1 < count and t + 1 == count - self.steps else now


class GradientCutToSixteenBits(_Forgetting):
    """The cotangents of the states are rounded to sixteen bits every {steps} steps."""

    def handed(self, now: Values, t: int, count: int) -> Values:
        return _rounded(now) if t + 1 < count and (t + 1) % self.steps == 0 else now


class InitialHasNoGradient(_Forgetting):
    """Where there are more than {steps} steps, the initial state has no gradient."""

    def pulled_back(self, pulled: Pulled, gradients: Gradients) -> Gradients:
        far = len(gradients.inputs) > self.steps
        return replace(gradients, state=tree_map(np.zeros_like, gradients.state)) if far else gradients


class _Loop(NumpyArrays):
    """The loop over time with a fault in the layers that it concerns."""

    def __init__(self, dtype: Any, fault: _Forgetting) -> None:
        super().__init__(dtype)
        self.fault = fault

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        fault = self.fault

        def faulty(now: Values, step_values: Values, t: Any) -> tuple[Values, Values]:
            if backwards:
                return body(fault.handed(now, t, count), step_values, t)
            kept = fault.kept(now, t, count)
            new, record = body(kept, step_values, t)
            return (kept if fault.skips(t, count) else new), record

        return super().scan(faulty if fault.__dict__["here_now"] else body, carried, values, count, backwards)


def forgetting_mutants() -> Iterator[Mutant]:
    """Each fault at each extent."""
    for name, found in _faults():
        words = re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()
        for steps in EXTENTS:
            says = inspect.cleandoc(found.__doc__ or "").format(steps=steps)
            yield Mutant(f"forgetting: {words}, {steps} steps", says, partial(_make, found, steps))


def _faults() -> list[tuple[str, type[_Forgetting]]]:
    return [(name, found) for name, found in globals().items() if inspect.isclass(found)
            and issubclass(found, _Forgetting) and not name.startswith("_")]  # fmt: skip


def _make(fault: type[_Forgetting], steps: int, backend: Backend) -> Backend:
    made: Any = type(fault.__name__, (fault, type(backend)), {"steps": steps})
    return made(backend.device, backend.precision)  # type: ignore[no-any-return]


def _zeros(values: Values) -> Values:
    return {name: np.zeros_like(a) for name, a in values.items()}


def _rounded(values: Values) -> Values:
    return {name: a.astype(np.float16).astype(a.dtype) for name, a in values.items()}
