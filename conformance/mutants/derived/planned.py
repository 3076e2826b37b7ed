"""A backend that runs one cell by faulty plans, and every other cell as its base does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rnnspec import Backend, Call, Cell, Gradients, LayerResult, Mutant
from rnnspec.contract.arrays import Array, Arrays
from rnnspec.contract.resets import Resets
from rnnspec.derivation.schedule import Schedule
from rnnspec.running import lowering, padding
from rnnspec.tree import Tree

__all__ = ["MODES", "Fault", "PlannedMutant", "faulty_cell"]

MODES = {"forward": (True, False), "backward": (False, True), "both": (True, True)}
"""Whether the values, and whether the gradients, are those of the faulty equations."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one cell: the plans of its two passes, the arrays they run on, and the parameters they see."""

    cell: Cell
    forward: Schedule
    backward: Schedule
    forward_arrays: Callable[[Arrays], Arrays] = lambda arrays: arrays
    backward_arrays: Callable[[Arrays], Arrays] = lambda arrays: arrays
    forward_params: Callable[[Tree], Tree] = lambda params: params
    backward_params: Callable[[Tree], Tree] = lambda params: params
    parameter_gradients: Callable[[Tree], Tree] = lambda gradients: gradients
    trace: Callable[[Any], Any] = lambda trace: trace


@dataclass(frozen=True)
class PlannedMutant(Mutant):
    """A mutant of one cell; `twin` says why it is equivalent, where that is proved."""

    cell: Cell | None = field(default=None)
    twin: str = ""


def faulty_cell(name: str, says: str, fault: Fault, twin: str = "") -> PlannedMutant:
    """The mutant that a fault makes."""
    return PlannedMutant(name, says, partial(_make, fault), fault.cell, twin)


def _make(fault: Fault, backend: Backend) -> Backend:
    made: type[Backend] = type("Planned", (_Planned, type(backend)), {"fault": fault})
    return made(backend.device, backend.precision)


class _Planned(Backend):
    fault: Fault

    def layer(
        self, cell: Cell, params: Tree, inputs: Array, state: Tree, lengths: Array | None, call: Call,
        resets: Resets | None = None,
    ) -> LayerResult:
        fault = self.fault
        if cell != fault.cell:
            return super().layer(cell, params, inputs, state, lengths, call, resets)
        mask = padding.mask(self.arrays, inputs.shape[0], lengths)
        arrays = fault.forward_arrays(self.arrays)
        given = (inputs, state, mask, resets)
        outputs, final, _ = lowering.forward(arrays, fault.forward, fault.forward_params(params), *given)
        return LayerResult(outputs, final, "generic", given)

    def layer_pullback(
        self, cell: Cell, params: Tree, result: LayerResult, output_cotangent: Array, state_cotangent: Tree, call: Call
    ) -> Gradients:
        fault = self.fault
        if cell != fault.cell:
            return super().layer_pullback(cell, params, result, output_cotangent, state_cotangent, call)
        given = fault.backward_params(params)
        _, _, trace = lowering.forward(self.arrays, fault.backward, given, *result.saved)
        own, inputs, state = lowering.backward(
            fault.backward_arrays(self.arrays), fault.backward, given, fault.trace(trace), output_cotangent,
            state_cotangent, call.policy,
        )  # fmt: skip
        return Gradients(fault.parameter_gradients(own), inputs, state)
