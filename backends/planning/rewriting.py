"""The logistic function as a hyperbolic tangent, with its half folded into the maps.

sigmoid(a) = tanh(a / 2) / 2 + 1 / 2, exactly; a half is a power of two, so that scaled maps lose nothing, and gates of
either activation become one call.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.graph import Node
from rnnspec.schedule import Phases, Schedule

__all__ = ["Rewritten", "rewrite"]

HALF = 0.5


@dataclass(frozen=True)
class Rewritten:
    """The nodes of a schedule, and its forward phases, without a sigmoid that runs forward.

    An `input`, `map` or `vector` node whose value is 1/2 stands for half of itself.
    """

    nodes: tuple[Node, ...]
    forward: Phases


def rewrite(plan: Schedule) -> Rewritten:
    """The schedule with its forward sigmoids rewritten; every node keeps its index and its value."""
    return _Rewriting(plan).result()


class _Rewriting:
    def __init__(self, plan: Schedule) -> None:
        self.nodes = list(plan.nodes)
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
            bent = self.add(Node("tanh", (self.half(self.nodes[n].args[0], phase),)), phase)
            self.nodes[n] = Node(
                "add", (self.add(Node("multiply", (bent, self.number(HALF))), phase), self.number(HALF))
            )
        phases = {name: tuple(n for n, p in self.phases.items() if p == name) for name in ("before", "step", "after")}
        return Rewritten(tuple(self.nodes), Phases(**phases))

    def half(self, n: int, phase: str) -> int:
        """Half of a node: folded into its maps where nobody else reads them."""
        node = self.nodes[n]
        if self.readers.get(n, 0) == 1 and n in self.phases:
            where = self.phases[n]
            if node.op == "add":
                del self.phases[n]
                return self.add(Node("add", (self.half(node.args[0], where), self.half(node.args[1], where))), where)
            if node.op in ("input", "map"):
                del self.phases[n]
                return self.add(Node(node.op, node.args, node.name, HALF), where)
            if node.op == "multiply" and self.nodes[node.args[0]].op == "vector":
                del self.phases[n]
                return self.add(Node("multiply", (self.half(node.args[0], where), node.args[1])), where)
        if node.op == "vector":
            return self.add(Node("vector", (), node.name, HALF), None)
        return self.add(Node("multiply", (n, self.number(HALF))), phase)

    def number(self, value: float) -> int:
        known = (n for n, node in enumerate(self.nodes) if node.op == "constant" and node.value == value)
        found = next(known, None)
        return self.add(Node("constant", value=value), None) if found is None else found

    def add(self, node: Node, phase: str | None) -> int:
        self.nodes.append(node)
        if phase:
            self.phases[len(self.nodes) - 1] = phase
        return len(self.nodes) - 1
