"""The axes of a layer's values: time, heads where there are any, the batch, and those of a vector or matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.control.recurrence import STEP
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.evaluation import INPUTS, evaluate_graph
from rnnspec.running.heads import Heads
from rnnspec.tracing.graph import Graph, iterate
from rnnspec.tracing.ranks import MATRIX
from rnnspec.tracing.widths import INPUT, OUTPUT

__all__ = ["Axes"]


@dataclass(frozen=True)
class Axes:
    """The values of a schedule, for inputs (time, batch, feature)."""

    arrays: Arrays
    plan: Schedule
    inputs: Array

    @cached_property
    def heads(self) -> Heads:
        """The heads of the cell."""
        return Heads(self.arrays, self.plan.cell)

    def given(self) -> Values:
        """The inputs, as what the input maps read and as the node of `x` itself."""
        nodes = (i for i, _ in iterate(self.plan.nodes, "x"))
        return {INPUTS: self.inputs} | {i: self.heads.apart(self.inputs, INPUT) for i in nodes}

    def moving(self, values: Values) -> tuple[Values, Values]:
        """The values of every step, and those equal in all steps, made of the cell's vectors and numbers."""
        moving = {i: a for i, a in values.items() if i == INPUTS or i in self.plan.in_time}
        return moving, {i: a for i, a in values.items() if i not in moving}

    def inner(self, state: Values) -> Values:
        """A state as the loop carries it, heads before the batch."""
        return {name: self.heads.inner(a) for name, a in state.items()}

    def outer(self, state: Values) -> Values:
        """The inverse of `inner`."""
        return {name: self.heads.outer(a) for name, a in state.items()}

    def beside(self, outputs: Array) -> Array:
        """The outputs with heads side by side."""
        return self.heads.beside(outputs, OUTPUT)

    def like(self, index: int, a: Array, state: Array) -> Array:
        """The value of a node as a new state, in the shape of the state, also where rows or heads have it alike."""
        if index in self.plan.in_time and (self.plan.cell.heads is None or a.shape[0] == state.shape[0]):
            return a
        return self.arrays.functions["add"](self.arrays.zeros(tuple(state.shape)), a)

    def wide(self, index: int, a: Array) -> Array:
        """The value of a node with all axes, also where it is the same for all steps and rows, or for all heads."""
        heads, inner = self.plan.cell.heads, 2 if self.plan.ranks[index] == MATRIX else 1
        split = () if heads is None else (heads,)
        if index in self.plan.in_time and (heads is None or a.shape[1] == heads):
            return a
        last = tuple(a.shape[-inner:]) if len(a.shape) else (1,)
        shape = (self.inputs.shape[0], *split, self.inputs.shape[1], *last)
        return self.arrays.functions["add"](self.arrays.zeros(shape), a)

    def select(self, mask: Array | None, state: str, new: Array, old: Array) -> Array:
        """The new state of the rows that have this step, and the old one of others."""
        return new if mask is None else self.arrays.functions["where"](self._of_state(mask, state), new, old)

    def fresh(self, reset: Array | None, state: str, a: Array) -> Array:
        """What a step carries on of a state, or passes back of its cotangent: exact zeros in rows that it resets."""
        if reset is None:
            return a
        return self.arrays.functions["where"](self._of_state(reset, state), self.arrays.scalar(0.0), a)

    def _of_state(self, marks: Array, state: str) -> Array:
        """Marks of rows (batch, 1) that fit a state."""
        return marks[..., None] if self.plan.cell.ranks[state] == MATRIX else marks

    def real(self, mask: Array | None, index: int, a: Array) -> Array:
        """The values of a node at real steps, zeros elsewhere."""
        if mask is None:
            return a
        fitting = mask if self.plan.cell.heads is None else mask[:, None]
        fitting = fitting[..., None] if self.plan.ranks[index] == MATRIX else fitting
        return self.arrays.functions["where"](fitting, a, self.arrays.scalar(0.0))

    def hooked(self, hook: Graph | None, cotangents: Values, step: Array) -> Values:
        """The cotangents after a gradient hook, which sees each state as one vector of a row, and the step index."""
        if hook is None:
            return cotangents
        if not self._flattened:
            return evaluate_graph(self.arrays, hook, {**cotangents, STEP: step})
        seen = {name: self.heads.flat(a) for name, a in cotangents.items()}
        found = evaluate_graph(self.arrays, hook, {**seen, STEP: step})
        return {name: self.heads.unflat(self._of_rows(a, seen[name]), cotangents[name]) for name, a in found.items()}

    @property
    def _flattened(self) -> bool:
        cell = self.plan.cell
        return cell.heads is not None or any(cell.ranks[state] == MATRIX for state in cell.states)

    def _of_rows(self, a: Array, like: Array) -> Array:
        """A hook's result for every row, also where it is one number."""
        return a if len(a.shape) == 2 else self.arrays.functions["add"](self.arrays.zeros(tuple(like.shape)), a)
