"""Rewriting of sigmoids into tanh or exp, with the factor of the argument folded into the maps.

sigmoid(a) = tanh(a / 2) / 2 + 1 / 2 = 1 / (1 + exp(-a)). Factors are powers of two, so that scaled maps are exact. With
tanh, gates of both activations are one call; exp takes less time for each element.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import Node

__all__ = ["Logistic", "Rewritten", "rewrite"]


class Logistic(Enum):
    """The form of a forward sigmoid; the value is the factor of its argument."""

    TANGENT = 0.5
    EXPONENTIAL = -1.0


@dataclass(frozen=True)
class Rewritten:
    """The nodes of a schedule, and its forward phases, without a sigmoid that runs forward.

    An `input`, `map` or `vector` node with a value stands for itself times that value.
    """

    nodes: tuple[Node, ...]
    forward: Phases


def rewrite(plan: Schedule, form: Logistic) -> Rewritten:
    """The schedule with its forward sigmoids rewritten; every node keeps its index and its value."""
    return _Rewriting(plan, form).result()


class _Rewriting:
    def __init__(self, plan: Schedule, form: Logistic) -> None:
        self.nodes, self.form = list(plan.nodes), form
        self.phases = {n: name for name in ("before", "step", "after") for n in getattr(plan.forward, name)}
        self.readers: dict[int, int] = {}
        live = [*self.phases, *plan.backward.before, *plan.backward.step, *plan.backward.after]
        for n in live:
            for arg in self.nodes[n].args:
                self.readers[arg] = self.readers.get(arg, 0) + 1
        for n in [index for _, index in plan.cell.graph.results] + [use.operand for use in plan.adjoint.maps]:
            self.readers[n] = self.readers.get(n, 0) + 1

    def result(self) -> Rewritten:
        for n in [n for n in self.phases if self.nodes[n].op == "sigmoid"]:
            phase = self.phases[n]
            make = {Logistic.TANGENT: self.by_tangent, Logistic.EXPONENTIAL: self.by_exponential}[self.form]
            self.nodes[n] = make(self.scaled(self.nodes[n].args[0], phase), phase)
        phases = {name: tuple(n for n, p in self.phases.items() if p == name) for name in ("before", "step", "after")}
        return Rewritten(tuple(self.nodes), Phases(**phases))

    def by_tangent(self, a: int, phase: str) -> Node:
        """tanh(a) / 2 + 1 / 2."""
        bent, half = self.add(Node("tanh", (a,)), phase), self.number(0.5)
        return Node("add", (self.add(Node("multiply", (bent, half)), phase), half))

    def by_exponential(self, a: int, phase: str) -> Node:
        """1 / (exp(a) + 1)."""
        one = self.number(1.0)
        grown = self.add(Node("exp", (a,)), phase)
        return Node("divide", (one, self.add(Node("add", (grown, one)), phase)))

    def scaled(self, n: int, phase: str) -> int:
        """A node times the factor, which is folded into its maps where no other node reads them."""
        node, factor = self.nodes[n], self.form.value
        if self.readers.get(n, 0) == 1 and n in self.phases:
            where = self.phases[n]
            if node.op == "add":
                del self.phases[n]
                return self.add(Node("add", tuple(self.scaled(arg, where) for arg in node.args)), where)
            if node.op in ("input", "map"):
                del self.phases[n]
                return self.add(Node(node.op, node.args, node.name, factor), where)
            if node.op == "multiply" and self.nodes[node.args[0]].op == "vector":
                del self.phases[n]
                return self.add(Node("multiply", (self.scaled(node.args[0], where), node.args[1])), where)
        if node.op == "vector":
            return self.add(Node("vector", (), node.name, factor), None)
        return self.add(Node("multiply", (n, self.number(factor))), phase)

    def number(self, value: float) -> int:
        known = (n for n, node in enumerate(self.nodes) if node.op == "constant" and node.value == value)
        found = next(known, None)
        return self.add(Node("constant", value=value), None) if found is None else found

    def add(self, node: Node, phase: str | None) -> int:
        self.nodes.append(node)
        if phase:
            self.phases[len(self.nodes) - 1] = phase
        return len(self.nodes) - 1
