"""The contents of a plan's blocks, column by column, while its calls are run on numbers for verification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NoReturn

from backends.planning.emission import Call, Kind, Place
from backends.planning.equations import Draw, value
from backends.planning.plan import PRODUCTS, Plan, Product
from rnnspec.errors import BackendError
from rnnspec.tracing.graph import iterate

__all__ = ["Columns", "WrongPlan", "refuse"]

NEVER_IN_PLACE = ("map", "transposed", "where", "total", "logsumexp", "spread")
"""Calls that must not write over their operands. Others may, where an operand has exactly the place of the result."""

Values = list[float]


class WrongPlan(BackendError):
    """A plan does not compute the cell's equations."""


class Columns:
    """The contents of every block: vectors, each a range of columns with one number."""

    def __init__(self, plan: Plan, drawn: Draw) -> None:
        self.plan, self.drawn = plan, drawn
        self.vectors: dict[tuple[int | str, int], dict[tuple[int, int], float]] = {}
        self.chunk_start = 0
        for n, place in plan.places.items():
            node = plan.nodes[n]
            if node.op == "constant":
                self.put(place, 0, node.value)
            elif node.op == "vector":
                self.put(place, 0, drawn(f"vector {node.name}") * (node.value or 1.0))

    @cached_property
    def map_widths(self) -> dict[str, int]:
        """The widths of the results of recurrent maps."""
        return {node.name: self.plan.widths[n] for n, node in iterate(self.plan.nodes, "map")}

    def put(self, place: Place, t: int, number: float) -> None:
        """Put one vector at a place, and remove every vector that overlaps it."""
        vectors = self._row(place, t)
        for low, high in [span for span in vectors if span[0] < place.high and place.low < span[1]]:
            del vectors[low, high]
        vectors[place.low, place.high] = number

    def get(self, place: Place, t: int) -> float:
        """The vector at a place."""
        vectors = self._row(place, t)
        if (place.low, place.high) not in vectors:
            there = ", ".join(f"{low} to {high}" for low, high in sorted(vectors)) or "nothing"
            self._refuse(f"{place} is read at step {t}, where {there} is")
        return vectors[place.low, place.high]

    def put_state(self, state: str, t: int, number: float) -> None:
        """A state before a step."""
        width = next(b.columns for b in self.plan.blocks if b.state == state and b.kind is Kind.NEW)
        self.vectors[state, t] = {(0, width): number}

    def get_state(self, state: str, t: int) -> float:
        """A state before a step."""
        [number] = self.vectors.get((state, t), {(0, 0): math.nan}).values()
        return number

    def run(self, phase: str, calls: Iterable[Call], steps: Sequence[int]) -> None:
        """Run the calls, each at all steps before the next call."""
        if phase == "pull_before":
            self.chunk_start = steps[0]
        for call in calls:
            self._look_in_place(phase, call)
            for t in steps:
                self._run(call, t)

    def gradients(self, products: Iterable[Product], t: int) -> list[tuple[str, float]]:
        """The result of each product at a step: an input's cotangent, or a map's cotangent times its operand."""
        found = []
        for product in products:
            kind = "x" if product.operand is None else "R"
            nodes = {node.name: n for n, node in iterate(self.plan.nodes, "input" if kind == "x" else "map")}
            widths = [self.plan.widths[nodes[name]] for name in product.names]
            operand = 1.0 if product.operand is None else self.get(product.operand, t)
            parts = _parted(product.cotangents, widths)
            found += [(f"{kind} {n}", self.get(p, t) * operand) for n, p in zip(product.names, parts, strict=True)]
        return found

    def _run(self, call: Call, t: int) -> None:
        names = [name for name, _ in call.maps]
        match call.op:
            case "map":
                *summand, operand = call.operands
                outs = _parted(call.out, [self.map_widths[name] for name in names])
                given = [self.get(part, t) for s in summand for part in _parted(s, [o.high - o.low for o in outs])]
                v = self.get(operand, t)
                values = [self.drawn(f"map {name}") * scale * v for name, scale in call.maps]
                values = [a + b for a, b in zip(values, given, strict=True)] if summand else values
            case "transposed":
                *summand, operand = call.operands
                parts = _parted(operand, [self.map_widths[name] for name in names])
                total = sum(self.get(s, t) for s in summand)
                outs = [call.out]
                products = zip(names, parts, strict=True)
                values = [total + sum(self.drawn(f"map {name}") * self.get(part, t) for name, part in products)]
            case "copy":
                [place] = call.operands
                outs = self._beside(place, call.out, t)
                values = [self.get(_moved(out, call.out, place), t) for out in outs]
            case _:
                outs = _parted(call.out, [(call.out.high - call.out.low) // call.count] * call.count)
                operands = [self._operands(place, outs, t) for place in call.operands]
                values = [value(call.op, [each[i] for each in operands]) for i in range(call.count)]
        for out, number in zip(outs, values, strict=True):
            self.put(out, t, number)

    def _operands(self, place: Place, outs: Sequence[Place], t: int) -> Values:
        """The operand of each node of a call: a part of the place for each, or the full place for all."""
        width, own = place.high - place.low, outs[0].high - outs[0].low
        if len(outs) == 1 or width in (1, own):
            return [self.get(place, t)] * len(outs)
        return [self.get(part, t) for part in _parted(place, [own] * len(outs))]

    def _beside(self, place: Place, out: Place, t: int) -> list[Place]:
        """The places of the vectors of a place after a copy of all of it."""
        spans = sorted(s for s in self._row(place, t) if place.low <= s[0] and s[1] <= place.high)
        return _parted(out, [high - low for low, high in spans]) if len(spans) > 1 else [out]

    def _look_in_place(self, phase: str, call: Call) -> None:
        """Raise WrongPlan where a call reads what it has written over."""
        for i, place in enumerate(call.operands):
            overlaps = place.block == call.out.block and place.low < call.out.high and call.out.low < place.high
            is_summand = call.op in PRODUCTS and i < len(call.operands) - 1
            if overlaps and (place != call.out or (call.op in NEVER_IN_PLACE and not is_summand)):
                self._refuse(f"{phase}: {call} writes over what it reads")

    def _row(self, place: Place, t: int) -> dict[tuple[int, int], float]:
        key: tuple[int | str, int]
        block = self.plan.blocks[place.block]
        match block.kind:
            case Kind.TIME:
                key = place.block, t
            case Kind.CHUNK:
                key = place.block, t - self.chunk_start
            case Kind.OLD:
                key = block.state, t
            case Kind.NEW:
                key = block.state, t + 1
            case _:
                key = place.block, 0
        return self.vectors.setdefault(key, {})

    def _refuse(self, why: str) -> NoReturn:
        refuse(self.plan, why)


def refuse(plan: Plan, why: str) -> NoReturn:
    """Raise WrongPlan with the cell, for a report."""
    raise WrongPlan(f"the plan of {plan.schedule.cell.name}", "it must compute the cell's equations", why,
                    f"report this to rnnspec, with the cell:\n{plan.schedule.cell}")  # fmt: skip


def _parted(place: Place, widths: Sequence[int]) -> list[Place]:
    """Places of these widths, one after the other."""
    parts, low = [], place.low
    for width in widths:
        parts.append(Place(place.block, low, low + width))
        low += width
    return parts


def _moved(place: Place, origin: Place, to: Place) -> Place:
    return Place(to.block, to.low + place.low - origin.low, to.low + place.high - origin.low)
