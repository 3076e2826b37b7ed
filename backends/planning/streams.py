"""Bound calls of planned programs: parameters are packed once, and a stream is one list of calls on fixed memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, TypeVar

from backends.planning.emission import Call, Kind, Place
from backends.planning.plan import Plan
from backends.planning.planner import plans
from rnnspec.contract.arrays import Array
from rnnspec.contract.fixed import Fixed, fixed
from rnnspec.contract.kernel import Path
from rnnspec.interface.bound import Bound
from rnnspec.network import Network
from rnnspec.running.beginning import maps
from rnnspec.running.embedding import embedded
from rnnspec.running.stepping import Stepper
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Half", "PlannedBound", "PlannedSteps", "in_place", "once"]

C = TypeVar("C")


ENTRY_BY_ENTRY = ("add", "subtract", "multiply", "lerp", "addcmul", "subcmul")
"""Calls whose result may lie where an operand lies."""


@dataclass(frozen=True)
class Half(Generic[C]):
    """One layer of a stream: the call that receives a step, those after it, and the memory of outputs and states."""

    receive: Callable[[Array], C]
    calls: Sequence[C]
    outputs: Array
    state: dict[str, Array]


def in_place(plan: Plan) -> frozenset[str]:
    """The states whose new value can be written over the old one in every step: nothing reads the old one later."""
    calls = (*plan.before, *plan.step, *plan.after)
    found = set()
    for state in plan.schedule.cell.states:
        old, new = ({n for n, block in enumerate(plan.blocks) if block.kind is kind and block.state == state}
                    for kind in (Kind.OLD, Kind.NEW))  # fmt: skip
        first = min((i for i, call in enumerate(calls) if call.out.block in new), default=len(calls))
        reads = [(i, call, place) for i, call in enumerate(calls) for place in call.operands if place.block in old]
        late = [i for i, call, place in reads if i > first or (i == first and not _over(call, place))]
        if not late and plan.output.block not in old:
            found.add(state)
    return frozenset(found)


def once(plan: Plan) -> tuple[tuple[Call, ...], tuple[Call, ...]]:
    """The calls before the loop that read parameters alone and whose results stay, and the other ones."""
    calls = (*plan.before, *plan.step, *plan.after)

    def stays(call: Call) -> bool:
        fixed = all(plan.blocks[place.block].kind is Kind.FIXED for place in call.operands)
        return fixed and not any(_meet(call.out, other.out) for other in calls if other is not call)

    return tuple(c for c in plan.before if stays(c)), tuple(c for c in plan.before if not stays(c))


def _over(call: Call, place: Place) -> bool:
    """Whether a call can write its result over an operand."""
    return call.op in ENTRY_BY_ENTRY and (place.low, place.high) == (call.out.low, call.out.high)


def _meet(one: Place, other: Place) -> bool:
    return one.block == other.block and one.low < other.high and other.low < one.high


class PlannedBound(Bound, Generic[C]):
    """A bound call whose programs keep the packed parameters."""

    def __init__(self, backend: Any, net: Network, params: Tree) -> None:
        derived = backend.path is not Path.FRAMEWORK  # a framework that differentiates would take them for leaves
        super().__init__(backend, net, fixed(params) if derived else params)

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

    def seen(self, x: Array) -> Array:
        """A step as the first layer sees it."""
        return embedded(self.backend.arrays, self.net, self._params, x)

    @property
    def streams(self) -> bool:
        """Whether plans run the network, layers and outputs, and no other path is asked for."""
        asked, net = self.backend.path not in (None, Path.GENERIC), self.net
        runs = (layer.passes or (plans(layer.evaluated) and not layer.residual) for layer in net.layers)
        return not asked and all(layer.passes for layer in net.head) and all(runs)

    def stepper(self, state: Tree, batch: int) -> Stepper:
        """Planned programs of one step, where all layers have a plan."""
        if not self.streams:
            return super().stepper(state, batch)
        halves = [
            self.half(layer.evaluated, maps(own["forward"]), self.net.layer_inputs(i), first["forward"], batch)
            for i, (layer, own, first) in enumerate(zip(self.net.layers, self._params["layers"], state, strict=True))
            if not layer.passes
        ]
        return PlannedSteps(self, halves, state)


class PlannedSteps(Generic[C]):
    """The steps of a stack of planned layers."""

    def __init__(self, bound: PlannedBound[C], halves: Sequence[Half[C]], state: Tree) -> None:
        self.bound, self.halves = bound, halves
        self.receive, self.last = halves[0].receive, halves[-1].outputs
        self.calls = list(halves[0].calls)
        for before, after in pairwise(halves):
            self.calls += [after.receive(before.outputs), *after.calls]
        self.state = state

    def step(self, x: Array) -> Array:
        """As `Stepper.step`."""
        return self.bound.outputs([self.receive(self.bound.seen(x)), *self.calls], self.last)

    @property
    def state(self) -> Tree:
        """The memory of the states after the last step."""
        halves = iter(self.halves)
        return [{"forward": {} if layer.passes else next(halves).state} for layer in self.bound.net.layers]

    @state.setter
    def state(self, state: Tree) -> None:
        copying, layers = self.bound.copying, self.bound.net.layers
        given = [own["forward"] for layer, own in zip(layers, state, strict=True) if not layer.passes]
        self.bound.play([copying(place, own[name]) for half, own in zip(self.halves, given, strict=True)
                         for name, place in half.state.items()])  # fmt: skip
