"""The equations of a schedule on numbers: one for each vector, drawn for leaves and computed for the rest."""

from __future__ import annotations

import math
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rnnspec.derivation.schedule import Schedule
from rnnspec.tracing.cell import OUTPUT

__all__ = ["STEPS", "Draw", "Equations", "value"]

STEPS = 3
"""A first step, one in between, and a last step."""
SMALL = 0.25
"""The smallest divisor, so that quotients stay small; those of rewritten plans are larger."""

Values = list[float]
Leaves = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Draw:
    """Random numbers of either sign for leaves and maps by name, equal within one draw."""

    number: int

    def __call__(self, name: str) -> float:
        return _number(self.number, name)


@lru_cache(maxsize=1024)
def _number(draw: int, name: str) -> float:
    rng = random.Random(f"{draw} {name}")
    return rng.choice((-1, 1)) * rng.uniform(0.3, 1.3)


class Equations:
    """The numbers of all nodes of a schedule, whose widths are given, step by step."""

    def __init__(self, schedule: Schedule, drawn: Draw, widths: Sequence[int]) -> None:
        self.schedule, self.drawn, self.widths, self.values = schedule, drawn, widths, list[Values]()
        cell, states = schedule.cell, {s: drawn(f"state {s}") for s in schedule.cell.states}
        for t in range(STEPS):
            leaves: Leaves = {("state", state): value for state, value in states.items()}
            leaves |= {("input", name): drawn(f"input {name} {t}") for name in cell.graph.names("input")}
            self.values.append([])
            self._evaluate(t, leaves, schedule.adjoint.forward)
            states = {state: self.values[t][cell.graph.result(state)] for state in cell.states}

    def pulled_back(self) -> dict[str, float]:
        """Add the numbers of the backward equations, and return the cotangents of the initial states."""
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
                case "width":
                    values.append(float(self.widths[node.args[0]]))
                case "vector":
                    values.append(self.drawn(f"vector {node.name}"))
                case "map":
                    values.append(self.drawn(f"map {node.name}") * operands[0])
                case "transposed":
                    products = zip(node.name.split(), operands, strict=True)
                    values.append(sum(self.drawn(f"map {name}") * d for name, d in products))
                case "x":
                    values.append(self.drawn(f"x {t}"))
                case "input" | "state" | "cotangent":
                    values.append(leaves[node.op, node.name])
                case _:
                    values.append(value(node.op, operands))


def value(op: str, operands: Sequence[float]) -> float:
    """The number of a primitive: with its algebraic laws where plans are rewritten by them, else any function."""
    return _LAWS[op](*operands) if op in _LAWS else _any(op, *operands)


def _any(op: str, *operands: float) -> float:
    return math.sin(zlib.crc32(op.encode()) % 997 + sum((i + 1.37) * a for i, a in enumerate(operands)))


def _exp(a: float) -> float:
    """A bounded replacement of exp, with which the logistic function keeps the laws of the real one."""
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
    "number": lambda a: a,
    "stop": lambda a: a,
    "zero": lambda: 0.0,
    "lerp": lambda a, b, w: a + w * (b - a),
    "addcmul": lambda a, b, c: a + b * c,
    "subcmul": lambda a, b, c: a - b * c,
}
