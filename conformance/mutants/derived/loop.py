"""Mutants of a cell's schedule: a value that stands before one of the loops is read of another step inside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import numpy as np

from conformance.mutants.derived.gradients import shifted
from conformance.mutants.derived.planned import Fault, PlannedMutant, faulty_cell
from rnnspec import Cell
from rnnspec.contract.arrays import Array, Arrays, NumpyArrays, Scan, Values
from rnnspec.derivation.schedule import Phases, Schedule, schedule

__all__ = ["loop_mutants"]

_STEPS: dict[str, Callable[[Array], Array]] = {
    "of the step before": lambda values: shifted(values, 1),
    "of the first step at every step": lambda values: np.repeat(values[:1], len(values), 0),
    "of the step after": lambda values: shifted(values, -1),
    "of the last step at every step": lambda values: np.repeat(values[-1:], len(values), 0),
}


def loop_mutants(cell: Cell) -> Iterator[PlannedMutant]:
    """One mutant for every value that either loop reads and that does not move with its own states."""
    plan, steps = schedule(cell), cycle(_STEPS)
    for backwards, phases in ((False, plan.forward), (True, plan.backward)):
        for index, when in zip(_read(plan, phases), steps, strict=False):
            node = plan.nodes[index]
            arrays = _reading(index, backwards, _STEPS[when])
            fault = Fault(cell, plan, plan, **{"backward_arrays" if backwards else "forward_arrays": arrays})
            loop = "backward" if backwards else "forward"
            says = f"the {loop} loop reads {node.op} {node.name or index} {when}"
            yield faulty_cell(f"{cell.name}: {says} (schedule)", f"In {cell.name}, {says}.", fault)


def _read(plan: Schedule, phases: Phases) -> list[int]:
    inside = set(phases.step)
    read = {arg for index in inside for arg in plan.nodes[index].args}
    return sorted(i for i in read - inside if plan.nodes[i].op not in ("state", "cotangent", "constant", "vector"))


def _reading(index: int, backwards: bool, step: Callable[[Array], Array]) -> Callable[[Arrays], Arrays]:
    def spoil(arrays: Any) -> Any:
        return _Spoilt(arrays.dtype, index, backwards, step)

    return spoil


class _Spoilt(NumpyArrays):
    def __init__(self, dtype: Any, index: int, backwards: bool, step: Callable[[Array], Array]) -> None:
        super().__init__(dtype)
        self.index, self.backwards, self.step = index, backwards, step

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        if backwards == self.backwards and self.index in values:
            values = {**values, self.index: self.step(values[self.index])}
        return super().scan(body, carried, values, count, backwards)
