"""Lifetimes: the values that outlive the phase that computes them, and the kind of block that keeps them.

Forward results outlive the loop, also one that no step computes. Values that are read after the loop outlive the steps.
A carried cotangent outlives its step. Gradients, and all values that pullbacks read, stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backends.planning.emission import Kind
from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import Node

__all__ = ["Lifetimes", "Outliving", "backward", "forward"]

Outliving = Mapping[int, Kind]
"""The nodes whose values outlive a phase, each with the kind of block that must hold it."""


@dataclass(frozen=True)
class Lifetimes:
    """The values that outlive the phase before the loop, each step, and the phase after the loop."""

    before: Outliving
    step: Outliving
    after: Outliving


def forward(schedule: Schedule, nodes: Sequence[Node], phases: Phases) -> Lifetimes:
    """The lifetimes of the forward phases; a value that outlives one is kept over all steps."""
    results = {n for _, n in schedule.cell.graph.results} | set(schedule.saved)
    read_after = _read(nodes, phases.after)
    read_in_step = _read(nodes, phases.step)
    return Lifetimes(
        before=dict.fromkeys(results | read_in_step | read_after, Kind.TIME),
        step=dict.fromkeys(results | read_after, Kind.TIME),
        after=dict.fromkeys(results, Kind.TIME),
    )


def backward(schedule: Schedule, laid: Iterable[int], step: Sequence[int], after: Sequence[int]) -> Lifetimes:
    """The lifetimes of the backward phases.

    `laid` are the nodes that the forward phases have placed; `step` and `after` are the nodes of each phase.
    """
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
