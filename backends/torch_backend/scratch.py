"""Values of one step in memory of one step, where a run keeps nothing for a pullback.

A plan writes over what nothing reads any more, such as the products of inputs over all time. Memory over time is seldom
in the caches, and a part of a row lies in pieces, one for each row of the batch. PyTorch's `tanh` and `exp` are MKL's,
which take up to four times as long for pieces. So what only the same step reads gets a block of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from backends.planning.emission import Block, Call, Kind, Place
from backends.planning.plan import PRODUCTS, Plan
from backends.torch_backend.places import moved, overlap, width, within

__all__ = ["in_scratch"]


def in_scratch(plan: Plan) -> Plan:
    """The same plan, where every value that only the same step reads lies in a block of one step.

    A plan with a pullback stays as it is, since its backward calls read the values of all steps.
    """
    if plan.schedule.adjoint.leaves or plan.schedule.adjoint.maps:
        return plan
    for index in range(len(plan.step)):
        place = plan.step[index].out
        if _is_scratch(plan, index, place):
            plan = _with_scratch(plan, index, place)
    return plan


def _is_scratch(plan: Plan, index: int, place: Place) -> bool:
    """Whether a place over time, first written by this call, is read by the step's next calls alone, in parts of it.

    A product that is added to a term in its place would have to copy the term.
    """
    first = plan.step[index]
    if plan.blocks[place.block].kind is not Kind.TIME or any(overlap(call.out, place) for call in plan.step[:index]):
        return False
    if first.op in PRODUCTS and place in first.operands:
        return False
    later = [*_read(plan.step[index + 1 :]), *(call.out for call in plan.step[index + 1 :])]
    outlives = any(overlap(each, place) for each in (plan.output, *_read(plan.after)))
    return not outlives and all(within(each, place) for each in later if overlap(each, place))


def _with_scratch(plan: Plan, index: int, place: Place) -> Plan:
    block = plan.blocks[place.block]
    to = Place(len(plan.blocks), 0, width(place))
    step = list(plan.step)
    step[index] = replace(step[index], out=to)
    step[index + 1 :] = [
        replace(call, operands=tuple(moved(each, place, to) for each in call.operands), out=moved(call.out, place, to))
        for call in step[index + 1 :]
    ]
    own = Block(Kind.STEP, width(place), condition=block.condition)
    return replace(plan, blocks=(*plan.blocks, own), step=tuple(step))


def _read(calls: tuple[Call, ...]) -> Iterator[Place]:
    for call in calls:
        yield from call.operands
