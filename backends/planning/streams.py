"""A stream by planned programs: one program for each layer, with room for one step and its parameters in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from backends.planning.planner import plans
from rnnspec.contract.arrays import Array
from rnnspec.network import Network
from rnnspec.tree import Tree

__all__ = ["Half", "PlannedSteps", "streams"]

C = TypeVar("C")


@dataclass(frozen=True)
class Half(Generic[C]):
    """One layer of a stream: its calls, the memory of its step, its outputs, and its states.

    The calls begin with those that make the last states the ones before the step.
    """

    calls: Sequence[C]
    x: Array
    outputs: Array
    state: dict[str, Array]


class PlannedSteps(Generic[C]):
    """The steps of a stack of planned layers: one list of calls on fixed memory.

    `copy(to, what)` is the call that copies, `replay` runs a list of calls, and `finish` makes the outputs of the
    network, in new memory, from those of the last layer.
    """

    def __init__(
        self, halves: Sequence[Half[C]], state: Tree, copy: Callable[[Array, Array], C],
        replay: Callable[[Sequence[C]], None], finish: Callable[[Array], Array],
    ) -> None:  # fmt: skip
        self.halves, self.copy, self.replay, self.finish = halves, copy, replay, finish
        self.first, self.last = halves[0].x, halves[-1].outputs
        self.calls = list(halves[0].calls)
        for before, after in zip(halves, halves[1:], strict=False):
            self.calls += [copy(after.x, before.outputs), *after.calls]
        self.state = state

    def step(self, x: Array) -> Array:
        """As `Stepper.step`."""
        self.replay([self.copy(self.first, x), *self.calls])
        return self.finish(self.last)

    @property
    def state(self) -> Tree:
        """The memory of the states after the last step."""
        return [{"forward": half.state} for half in self.halves]

    @state.setter
    def state(self, state: Tree) -> None:
        self.replay([self.copy(place, named["forward"][name]) for half, named in zip(self.halves, state, strict=True)
                     for name, place in half.state.items()])  # fmt: skip


def streams(net: Network) -> bool:
    """Whether plans run all layers of a network."""
    return all(plans(layer.cell) for layer in net.layers)
