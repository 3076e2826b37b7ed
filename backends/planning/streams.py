"""Bound calls of planned programs: parameters are packed once, and a stream is one list of calls on fixed memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from backends.planning.planner import plans
from rnnspec.contract.arrays import Array
from rnnspec.contract.fixed import Fixed, fixed
from rnnspec.interface.bound import Bound
from rnnspec.network import Network
from rnnspec.running.stepping import Stepper
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Half", "PlannedBound", "PlannedSteps"]

C = TypeVar("C")


@dataclass(frozen=True)
class Half(Generic[C]):
    """One layer of a stream: its calls, the memory of its step, of its outputs and of its states.

    The calls begin with those that make the states after the last step the ones before this step.
    """

    calls: Sequence[C]
    x: Array
    outputs: Array
    state: dict[str, Array]


class PlannedBound(Bound, Generic[C]):
    """A bound call whose programs keep the packed parameters."""

    def __init__(self, backend: Any, net: Network, params: Tree) -> None:
        super().__init__(backend, net, fixed(params))

    def half(self, cell: Cell, params: Fixed, features: int, state: Tree, batch: int) -> Half[C]:
        """One layer as a part of a stream of so many rows."""
        raise NotImplementedError

    def copying(self, to: Array, what: Array) -> C:
        """The call that copies."""
        raise NotImplementedError

    def play(self, calls: Sequence[C]) -> None:
        """Run calls."""
        raise NotImplementedError

    def outputs(self, calls: Sequence[C], last: Array) -> Array:
        """Run calls, which write the outputs of the last layer; then the outputs of the network, in new memory."""
        raise NotImplementedError

    @property
    def streams(self) -> bool:
        """Whether plans run all layers."""
        return all(plans(layer.cell) for layer in self.net.layers)

    def stepper(self, state: Tree, batch: int) -> Stepper:
        """Planned programs of one step, where all layers have a plan."""
        if not self.streams:
            return super().stepper(state, batch)
        halves = [
            self.half(layer.cell, own["forward"], self.net.layer_inputs(i), first["forward"], batch)
            for i, (layer, own, first) in enumerate(zip(self.net.layers, self._params["layers"], state, strict=True))
        ]
        return PlannedSteps(self, halves, state)


class PlannedSteps(Generic[C]):
    """The steps of a stack of planned layers."""

    def __init__(self, bound: PlannedBound[C], halves: Sequence[Half[C]], state: Tree) -> None:
        self.bound, self.halves = bound, halves
        self.x, self.last = halves[0].x, halves[-1].outputs
        self.calls = list(halves[0].calls)
        for before, after in pairwise(halves):
            self.calls += [bound.copying(after.x, before.outputs), *after.calls]
        self.state = state

    def step(self, x: Array) -> Array:
        """As `Stepper.step`."""
        return self.bound.outputs([self.bound.copying(self.x, x), *self.calls], self.last)

    @property
    def state(self) -> Tree:
        """The memory of the states after the last step."""
        return [{"forward": half.state} for half in self.halves]

    @state.setter
    def state(self, state: Tree) -> None:
        copying = self.bound.copying
        self.bound.play([copying(place, own["forward"][name]) for half, own in zip(self.halves, state, strict=True)
                         for name, place in half.state.items()])  # fmt: skip
