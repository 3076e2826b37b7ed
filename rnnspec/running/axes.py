"""The axes of a layer's values: time, heads where there are any, the batch, and those of a vector or matrix."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.control.recurrence import STEP
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.evaluation import INPUTS, evaluate_graph
from rnnspec.running.given import place
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
        own = self.inputs if self.plan.cell.given is None else self.inputs[..., place(self.plan.cell, INPUT)]
        return {INPUTS: self.inputs} | {i: self.heads.apart(own, INPUT) for i in nodes}

    def moving(self, values: Values) -> tuple[Values, Values]:
        """The values of every step, and those equal in all steps, made of the cell's vectors and numbers."""
        moving = {i: a for i, a in values.items() if i == INPUTS or i in self.plan.in_time}
        return moving, {i: a for i, a in values.items() if i not in moving}

    def beside(self, outputs: Array) -> Array:
        """The outputs with heads side by side."""
        return self.heads.beside(outputs, OUTPUT)

    def like(self, index: int, a: Array, state: Array) -> Array:
        """The value of a node as a new state, in the shape of the state, also where rows or heads have it alike."""
        if index in self.plan.in_time and (self.plan.cell.heads is None or a.shape[1] == state.shape[1]):
            return a
        return self.arrays.functions["add"](self.arrays.zeros(tuple(state.shape)), a)

    def wide(self, index: int, a: Array) -> Array:
        """The value of a node with all axes, also where it is the same for all steps and rows, or for all heads."""
        heads, inner = self.plan.cell.heads, 2 if self.plan.ranks[index] == MATRIX else 1
        split = () if heads is None else (heads,)
        if index in self.plan.in_time and (heads is None or a.shape[2] == heads):
            return a
        last = tuple(a.shape[-inner:]) if len(a.shape) else (1,)
        shape = (self.inputs.shape[0], self.inputs.shape[1], *split, *last)
        return self.arrays.functions["add"](self.arrays.zeros(shape), a)

    def select(self, mask: Array | None, state: str, new: Array, old: Array) -> Array:
        """The new state of the rows that have this step, and the old one of others."""
        if mask is None:
            return new
        return self.arrays.functions["where"](self.fitting(mask, self.plan.cell.ranks[state]), new, old)

    def fresh(self, reset: Array | None, state: str, a: Array, learned: Array | None = None) -> Array:
        """What a step carries on of a state, or passes back of its cotangent: in rows that it resets exact zeros, or
        the learned state of a row."""
        if reset is None:
            return a
        marks = self.fitting(reset, self.plan.cell.ranks[state])
        return self.arrays.functions["where"](marks, self.arrays.scalar(0.0) if learned is None else learned, a)

    def begun(self, reset: Array, state: str, cotangent: Array) -> Array:
        """The cotangent of a state that a step begins with: zeros in rows that it does not reset."""
        marks = self.fitting(reset, self.plan.cell.ranks[state])
        return self.arrays.functions["where"](marks, cotangent, self.arrays.scalar(0.0))

    def real(self, mask: Array | None, index: int, a: Array) -> Array:
        """The values of a node at real steps, zeros elsewhere."""
        if mask is None:
            return a
        marks = self.fitting(mask, self.plan.ranks[index])
        return self.arrays.functions["where"](marks, a, self.arrays.scalar(0.0))

    def fitting(self, marks: Array, rank: int) -> Array:
        """Marks (..., batch, 1) of rows with an axis more for heads, and one more for the columns of a matrix."""
        marks = marks if self.plan.cell.heads is None else marks[..., None]
        return marks[..., None] if rank == MATRIX else marks

    def hooked(self, hook: Graph | None, cotangents: Values, step: Array) -> Values:
        """The cotangents after a gradient hook, which sees each state as one vector of a row, and the step index."""
        if hook is None:
            return cotangents
        seen = {name: self._flat(a) for name, a in cotangents.items()}
        found = evaluate_graph(self.arrays, hook, {**seen, STEP: step})
        return {name: self._unflat(a, seen[name], cotangents[name]) for name, a in found.items()}

    def _flat(self, a: Array) -> Array:
        """A state with all of a row's entries side by side: (batch, entries)."""
        return a if len(a.shape) == 2 else self.arrays.reshape(a, (a.shape[0], -1))

    def _unflat(self, a: Array, seen: Array, like: Array) -> Array:
        """What a hook gives for a state in the state's shape, also where it is one number."""
        if len(like.shape) == 2:
            return a
        every = a if len(a.shape) == 2 else self.arrays.functions["add"](self.arrays.zeros(tuple(seen.shape)), a)
        return self.arrays.reshape(every, tuple(like.shape))
