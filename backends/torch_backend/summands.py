"""A product of a step and the terms that are added to it, as one call.

Maps that lie side by side are one product; an input product is added to one part of it, a bias to another. Each
addition is a call in every step, which in small networks takes nearly as long as the product. So the terms are laid out
before the loop, and a product that only the next call reads, to add all of it, joins that call. In large networks the
memory of the laid out terms costs more than the calls, so there the terms stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from backends.planning.emission import Block, Call, Kind, Place
from backends.planning.plan import PRODUCTS, Plan
from backends.torch_backend.places import moved, overlap, width, within

__all__ = ["summed"]


@dataclass(frozen=True)
class Addition:
    """An addition to a part of a product: its index among a step's calls, the part, and the term."""

    index: int
    part: Place
    summand: Place


def summed(plan: Plan, small: bool = True) -> Plan:
    """The same plan with fewer calls for each step: each product includes the terms that are added to it.

    Only in a `small` network are terms laid out for this.
    """
    laid = _laid_out(plan) if small else plan
    return replace(laid, step=_joined(laid, laid.step), pull_step=_joined(laid, laid.pull_step))


def _joined(plan: Plan, calls: tuple[Call, ...]) -> tuple[Call, ...]:
    """The calls, where a product that only the next call adds is part of that call."""
    found: list[Call] = []
    for call in calls:
        before = found[-1] if found else None
        if before and _adds(plan, before, call, calls):
            other = next(place for place in call.operands if place != before.out)
            found[-1] = replace(before, operands=(other, *before.operands), out=call.out)
        else:
            found.append(call)
    return tuple(found)


def _adds(plan: Plan, product: Call, addition: Call, calls: Sequence[Call]) -> bool:
    """Whether a call adds a product, which nothing else reads, to a term of its width, in place of no factor.

    Only the same step can read a block of one step; the next step also reads a carried value.
    """
    block = plan.blocks[product.out.block]
    if product.op not in PRODUCTS or len(product.operands) > 1 or block.kind is not Kind.STEP or block.state:
        return False
    readers = [call for call in calls if product.out.block in {place.block for place in call.operands}]
    return (
        addition.op == "add" and readers == [addition] and product.out in addition.operands
        and addition.operands[0] != addition.operands[1]
        and all(width(place) == width(product.out) for place in (*addition.operands, addition.out))
        and not overlap(addition.out, product.operands[0])
    )  # fmt: skip


def _laid_out(plan: Plan) -> Plan:
    """The same plan with the terms of a product laid out, where all are known before the loop."""
    for index, product in enumerate(plan.step):
        if product.op == "map" and plan.blocks[product.out.block].kind is Kind.STEP:
            additions = list(_additions(plan, index))
            if len(additions) > 1 and _cover(product.out, [addition.part for addition in additions]):
                return _with_summand(plan, index, additions)
    return plan


def _additions(plan: Plan, index: int) -> Iterator[Addition]:
    """For each part of a product, the first call that reads it, where that call adds a term known before the loop."""
    out = plan.step[index].out
    for n, call in enumerate(plan.step[index + 1 :], index + 1):
        parts = [place for place in call.operands if within(place, out)]
        if call.op != "add" or len(parts) != 1:
            continue
        part, [summand] = parts[0], [place for place in call.operands if place is not parts[0]]
        if width(summand) == width(part) and _known(plan, summand, n) and _alone(plan, call, part, index, n):
            yield Addition(n, part, summand)


def _known(plan: Plan, summand: Place, index: int) -> bool:
    """Whether no other call of the step writes the term: it is a vector, or a product over all steps."""
    known = plan.blocks[summand.block].kind in (Kind.FIXED, Kind.TIME)
    return known and not any(overlap(call.out, summand) for call in plan.step[:index])


def _alone(plan: Plan, addition: Call, part: Place, product: int, index: int) -> bool:
    """Whether only this addition reads its part of the product, and only the step's next calls read the sum."""
    if width(addition.out) != width(part) or any(
        overlap(place, part) for call in plan.step[product + 1 : index] for place in (*call.operands, call.out)
    ):
        return False
    later = plan.step[index + 1 :]
    if addition.out == part:
        return True
    unread = not any(overlap(place, part) for call in later for place in (*call.operands, call.out))
    return unread and any(call.out == addition.out for call in later) and all(
        within(place, addition.out) for call in _until_written(later, addition.out) for place in call.operands
        if overlap(place, addition.out)
    )  # fmt: skip


def _until_written(calls: Iterable[Call], place: Place) -> Iterator[Call]:
    for call in calls:
        yield call
        if call.out == place:
            return


def _with_summand(plan: Plan, index: int, additions: Sequence[Addition]) -> Plan:
    """The plan without the additions; readers of the sums read the product."""
    product, block = plan.step[index], len(plan.blocks)
    low, columns = product.out.low, width(product.out)
    copies = tuple(Call("copy", (each.summand,), Place(block, each.part.low - low, each.part.high - low))
                   for each in additions)  # fmt: skip
    step = list(plan.step)
    step[index] = replace(product, operands=(Place(block, 0, columns), *product.operands))
    for each in additions:
        origin = plan.step[each.index].out
        for n, call in enumerate(step[each.index + 1 :], each.index + 1):
            step[n] = replace(call, operands=tuple(moved(place, origin, each.part) for place in call.operands))
            if call.out == origin:
                break
    left_out = {each.index for each in additions}
    return replace(plan, blocks=(*plan.blocks, Block(Kind.TIME, columns)), before=(*plan.before, *copies),
                   step=tuple(call for n, call in enumerate(step) if n not in left_out))  # fmt: skip


def _cover(whole: Place, parts: Sequence[Place]) -> bool:
    """Whether the parts cover the place, each column once."""
    edges = sorted((part.low, part.high) for part in parts)
    joined = all(before[1] == after[0] for before, after in pairwise(edges))
    return joined and (edges[0][0], edges[-1][1]) == (whole.low, whole.high)
