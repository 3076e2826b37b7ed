"""What outlives the phase that computes it, and where it waits for whoever reads it: read off the schedule, once.

The forward results outlive the loop, the one that no step computes among them; what the after-loop reads outlives the
steps; a carried cotangent outlives its step on the way to the next; gradients, and all that pullbacks read, stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backends.planning.emission import Kind
from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import Node

__all__ = ["Lifetimes", "Outliving", "backward", "forward"]

Outliving = Mapping[int, Kind]
"""The nodes whose values outlive a phase, each with the kind of block that it must lie in by then."""


@dataclass(frozen=True)
class Lifetimes:
    """What outlives the phase before the loop, each step, and the phase after it."""

    before: Outliving
    step: Outliving
    after: Outliving


def forward(schedule: Schedule, nodes: Sequence[Node], phases: Phases) -> Lifetimes:
    """Of the forward phases: everything that outlives one stays over all time."""
    results = {n for _, n in schedule.cell.graph.results} | set(schedule.saved)
    read_after = _read(nodes, phases.after)
    read_in_step = _read(nodes, phases.step)
    return Lifetimes(
        before=dict.fromkeys(results | read_in_step | read_after, Kind.TIME),
        step=dict.fromkeys(results | read_after, Kind.TIME),
        after=dict.fromkeys(results, Kind.TIME),
    )


def backward(schedule: Schedule, laid: Iterable[int], step: Sequence[int], after: Sequence[int]) -> Lifetimes:
    """Of the backward phases, where `laid` are the nodes that the forward phases have left, and `step` and `after` say
    what runs in each."""
    leaves = schedule.adjoint.leaves
    carried = {n for (op, _), n in leaves if op == "state"}
    gradients = {n for (op, _), n in leaves if op != "state"} | {use.cotangent for use in schedule.adjoint.maps}
    left = dict.fromkeys([*range(schedule.adjoint.forward), *laid], Kind.TIME)
    stay = dict.fromkeys(gradients | _read(schedule.nodes, after), Kind.TIME) | left
    return Lifetimes(
        before=dict.fromkeys(_read(schedule.nodes, step) | carried, Kind.CHUNK) | stay,
        step=dict.fromkeys(carried, Kind.STEP) | stay,
        after=stay,
    )


def _read(nodes: Sequence[Node], phase: Sequence[int]) -> set[int]:
    return {arg for n in phase for arg in nodes[n].args}
