"""Whether a plan computes what its equations ask for: its calls are run, with one number for each vector.

The numbers of leaves are drawn; those of all other nodes follow from the equations, and what lies at every place from
the calls. Whatever reorders, joins or rewrites calls, and uses memory again, must leave the same numbers as results.
Nothing here knows who reads what, or for how long: a place that was overwritten holds another number, one that was
never written holds none, and columns that are a part of a vector, or parts of two, are no vector.
"""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NoReturn

from backends.planning.emission import Call, Kind, Place
from backends.planning.plan import PRODUCTS, Plan, Product
from rnnspec.cell import OUTPUT
from rnnspec.errors import BackendError
from rnnspec.graph import iterate
from rnnspec.schedule import Schedule

__all__ = ["WrongPlan", "verify"]

STEPS, CHUNK = 3, 2
"""A first step, one between and a last one; a whole chunk, and a part of one."""
CLOSE = 1e-6
"""How far two ways to one number may come out apart, relative to its size."""
SMALL = 0.25
"""By smaller numbers nothing is divided, lest quotients grow; those that plans are rewritten by are larger."""
DRAWS = 3
"""A plan is wrong if it is for each of so many draws: numbers may by chance be such that rounding grows."""
NEVER_IN_PLACE = ("map", "transposed", "where", "total", "logsumexp", "spread")
"""What may not write over its operands; other calls may, where an operand lies exactly where the result goes."""

Values = list[float]
Leaves = dict[tuple[str, str], float]


class WrongPlan(BackendError):
    """A plan does not compute what its equations ask for."""


def verify(plan: Plan, schedule: Schedule) -> None:
    """Run a plan, forward and back, and compare what it leaves with the equations of a schedule.

    Raises WrongPlan where a call reads what is not there or writes over what it reads, and where an output, a final
    state or a gradient is another number than the equations'.
    """
    for number in range(DRAWS):
        try:
            _verify(plan, schedule, _Draw(number))
        except WrongPlan:
            if number == DRAWS - 1:
                raise
        else:
            return


def _verify(plan: Plan, schedule: Schedule, drawn: _Draw) -> None:
    equations, memory = _Equations(schedule, drawn), _Memory(plan, drawn)
    _verify_run(plan, schedule, equations, memory)
    if schedule.adjoint.leaves or schedule.adjoint.maps:
        _verify_pullback(plan, schedule, equations, memory)


def _verify_run(plan: Plan, schedule: Schedule, equations: _Equations, memory: _Memory) -> None:
    graph, drawn = schedule.cell.graph, equations.drawn
    for state in schedule.cell.states:
        memory.put_state(state, 0, drawn(f"state {state}"))
    for t in range(STEPS):
        for name, scale, place in plan.inputs:
            memory.put(place, t, drawn(f"input {name} {t}") * scale)
    memory.run("before", plan.before, range(STEPS))
    for t in range(STEPS):
        memory.run("step", plan.step, [t])
    memory.run("after", plan.after, range(STEPS))
    for t, values in enumerate(equations.values):
        _expect(plan, f"the output of step {t}", memory.get(plan.output, t), values[graph.result(OUTPUT)])
    for state in schedule.cell.states:
        _expect(plan, f"the final {state}", memory.get_state(state, STEPS), equations.values[-1][graph.result(state)])


def _verify_pullback(plan: Plan, schedule: Schedule, equations: _Equations, memory: _Memory) -> None:
    drawn = equations.drawn
    for t in range(STEPS):
        memory.put(plan.output_cotangent, t, drawn(f"cotangent {t}"))
    for state, place in plan.carried.items():
        memory.put(place, 0, drawn(f"cotangent {state}"))
    own = schedule.cell.output_state
    received = () if own is None else (_addition(plan.carried[own], plan.output_cotangent),)
    for low in reversed(range(0, STEPS, CHUNK)):
        chunk = range(low, min(STEPS, low + CHUNK))
        memory.run("pull_before", plan.pull_before, chunk)
        for t in reversed(chunk):
            memory.run("pull_step", (*received, *plan.pull_step), [t])
    memory.run("pull_after", plan.pull_after, range(STEPS))
    carried = equations.pulled_back()
    for state, place in plan.carried.items():
        _expect(plan, f"the cotangent of the first {state}", memory.get(place, 0), carried[state])
    for t, values in enumerate(equations.values):
        found = memory.gradients(plan.input_gradients, t) + memory.gradients(plan.map_gradients, t)
        found += [(f"p {name}", memory.get(place, t)) for name, place in plan.vector_gradients]
        expected = [(f"x {name}", values[n]) for (op, name), n in schedule.adjoint.leaves if op == "input"]
        expected += [(f"R {u.name}", values[u.cotangent] * values[u.operand]) for u in schedule.adjoint.maps]
        expected += [(f"p {name}", values[n]) for (op, name), n in schedule.adjoint.leaves if op == "vector"]
        for name in {name for name, _ in (*found, *expected)}:
            _expect(plan, f"the gradient of {name} at step {t}", _sum(found, name), _sum(expected, name))


class _Equations:
    """What the equations of a schedule say: the numbers of all nodes, step by step."""

    def __init__(self, schedule: Schedule, drawn: _Draw) -> None:
        self.schedule, self.drawn, self.values = schedule, drawn, list[Values]()
        cell, states = schedule.cell, {s: drawn(f"state {s}") for s in schedule.cell.states}
        for t in range(STEPS):
            leaves: Leaves = {("state", state): value for state, value in states.items()}
            leaves |= {("input", name): drawn(f"input {name} {t}") for name in cell.graph.names("input")}
            self.values.append([])
            self._evaluate(t, leaves, schedule.adjoint.forward)
            states = {state: self.values[t][cell.graph.result(state)] for state in cell.states}

    def pulled_back(self) -> dict[str, float]:
        """Add the numbers of the backward equations; the cotangents of the first states."""
        cell, adjoint = self.schedule.cell, self.schedule.adjoint
        carried = {state: self.drawn(f"cotangent {state}") for state in cell.states}
        for t in reversed(range(STEPS)):
            leaves: Leaves = {("cotangent", state): value for state, value in carried.items()}
            own = ("cotangent", cell.output_state or OUTPUT)
            leaves[own] = leaves.get(own, 0.0) + self.drawn(f"cotangent {t}")
            self._evaluate(t, leaves, len(adjoint.nodes))
            found = {state: adjoint.leaf("state", state) for state in cell.states}
            carried = {state: 0.0 if n is None else self.values[t][n] for state, n in found.items()}
        return carried

    def _evaluate(self, t: int, leaves: Leaves, end: int) -> None:
        values = self.values[t]
        for node in self.schedule.nodes[len(values) : end]:
            operands = [values[arg] for arg in node.args]
            match node.op:
                case "constant":
                    values.append(node.value)
                case "vector":
                    values.append(self.drawn(f"vector {node.name}"))
                case "map":
                    values.append(self.drawn(f"map {node.name}") * operands[0])
                case "transposed":
                    products = zip(node.name.split(), operands, strict=True)
                    values.append(sum(self.drawn(f"map {name}") * d for name, d in products))
                case "input" | "state" | "cotangent":
                    values.append(leaves[node.op, node.name])
                case _:
                    values.append(_value(node.op, operands))


class _Memory:
    """What lies in the columns of every block: vectors, each from one column to another, as one number."""

    def __init__(self, plan: Plan, drawn: _Draw) -> None:
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
        """The widths of what recurrent maps give."""
        return {node.name: self.plan.widths[n] for n, node in iterate(self.plan.nodes, "map")}

    def put(self, place: Place, t: int, value: float) -> None:
        """One vector at a place; what lies in any of its columns is lost."""
        vectors = self._row(place, t)
        for low, high in [span for span in vectors if span[0] < place.high and place.low < span[1]]:
            del vectors[low, high]
        vectors[place.low, place.high] = value

    def get(self, place: Place, t: int) -> float:
        """The vector at a place."""
        vectors = self._row(place, t)
        if (place.low, place.high) not in vectors:
            there = ", ".join(f"{low} to {high}" for low, high in sorted(vectors)) or "nothing"
            self._refuse(f"{place} is read at step {t}, where {there} is")
        return vectors[place.low, place.high]

    def put_state(self, state: str, t: int, value: float) -> None:
        """A state before a step."""
        width = next(b.columns for b in self.plan.blocks if b.state == state and b.kind is Kind.NEW)
        self.vectors[state, t] = {(0, width): value}

    def get_state(self, state: str, t: int) -> float:
        """A state before a step."""
        [value] = self.vectors.get((state, t), {(0, 0): math.nan}).values()
        return value

    def run(self, phase: str, calls: Iterable[Call], steps: Sequence[int]) -> None:
        """The calls, each at all of the steps before the next one."""
        if phase == "pull_before":
            self.chunk_start = steps[0]
        for call in calls:
            self._look_in_place(phase, call)
            for t in steps:
                self._run(call, t)

    def gradients(self, products: Iterable[Product], t: int) -> list[tuple[str, float]]:
        """What each product comes to at a step: an input's cotangent, or a map's cotangent times its operand."""
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
                values = [_value(call.op, [each[i] for each in operands]) for i in range(call.count)]
        for out, value in zip(outs, values, strict=True):
            self.put(out, t, value)

    def _operands(self, place: Place, outs: Sequence[Place], t: int) -> Values:
        """An operand of every node of a call: a part of the place for each, or the whole for all."""
        width, own = place.high - place.low, outs[0].high - outs[0].low
        if len(outs) == 1 or width in (1, own):
            return [self.get(place, t)] * len(outs)
        return [self.get(part, t) for part in _parted(place, [own] * len(outs))]

    def _beside(self, place: Place, out: Place, t: int) -> list[Place]:
        """Where the vectors at a place come to lie when the whole of it is copied."""
        spans = sorted(s for s in self._row(place, t) if place.low <= s[0] and s[1] <= place.high)
        return _parted(out, [high - low for low, high in spans]) if len(spans) > 1 else [out]

    def _look_in_place(self, phase: str, call: Call) -> None:
        """Refuse a call that reads what it has written over."""
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
        _refuse(self.plan, why)


@dataclass(frozen=True)
class _Draw:
    """Numbers of either sign for leaves and maps, by name: the same in each draw, others in another."""

    number: int

    def __call__(self, name: str) -> float:
        return _number(self.number, name)


@lru_cache(maxsize=1024)
def _number(draw: int, name: str) -> float:
    rng = random.Random(f"{draw} {name}")
    return rng.choice((-1, 1)) * rng.uniform(0.3, 1.3)


def _refuse(plan: Plan, why: str) -> NoReturn:
    raise WrongPlan(f"the plan of {plan.schedule.cell.name}", "it must compute the cell's equations", why,
                    f"report it with the cell:\n{plan.schedule.cell}")  # fmt: skip


def _expect(plan: Plan, what: str, got: float, expected: float) -> None:
    if not math.isclose(got, expected, rel_tol=CLOSE, abs_tol=CLOSE):
        _refuse(plan, f"{what} comes to {got}, and the equations to {expected}")


def _value(op: str, operands: Sequence[float]) -> float:
    """What a primitive comes to: by its own laws where plans are rewritten by them, else by any function."""
    return _LAWS[op](*operands) if op in _LAWS else _any(op, *operands)


def _any(op: str, *operands: float) -> float:
    return math.sin(zlib.crc32(op.encode()) % 997 + sum((i + 1.37) * a for i, a in enumerate(operands)))


def _exp(a: float) -> float:
    """A bounded stand-in, so that no number is too large; the logistic function has the laws of the real one by it."""
    return math.exp(math.sin(a))


def _sigmoid(a: float) -> float:
    return 1 / (1 + _exp(-a))


_LAWS: dict[str, Callable[..., float]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b if abs(b) > SMALL else a * b,
    "negate": lambda a: -a,
    "exp": _exp,
    "sigmoid": _sigmoid,
    "tanh": lambda a: 2 * _sigmoid(2 * a) - 1,
    "spread": lambda a, like: a,
    "zero": lambda: 0.0,
    "lerp": lambda a, b, w: a + w * (b - a),
    "addcmul": lambda a, b, c: a + b * c,
    "subcmul": lambda a, b, c: a - b * c,
}


def _parted(place: Place, widths: Sequence[int]) -> list[Place]:
    """Places of these widths, one after the other."""
    parts, low = [], place.low
    for width in widths:
        parts.append(Place(place.block, low, low + width))
        low += width
    return parts


def _moved(place: Place, origin: Place, to: Place) -> Place:
    return Place(to.block, to.low + place.low - origin.low, to.low + place.high - origin.low)


def _addition(to: Place, what: Place) -> Call:
    return Call("add", (to, what), to)


def _sum(found: Iterable[tuple[str, float]], name: str) -> float:
    return sum(value for other, value in found if other == name)
