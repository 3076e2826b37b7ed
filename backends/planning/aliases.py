"""A stopped value is the value itself: what reads it reads the value, so that it takes no call of its own.

Only a new state or an output that is a stopped value stays, as a copy.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import iterate

__all__ = ["unstopped"]


@lru_cache(maxsize=256)
def unstopped(plan: Schedule) -> Schedule:
    """The same schedule without the stopped values that are no result; the remaining nodes keep their index."""
    root = list(range(len(plan.nodes)))
    for n, node in iterate(plan.nodes, "stop"):
        root[n] = root[node.args[0]]
    if root == list(range(len(plan.nodes))):
        return plan
    nodes = tuple(replace(node, args=tuple(root[arg] for arg in node.args)) for node in plan.nodes)
    maps = tuple(replace(use, operand=root[use.operand]) for use in plan.adjoint.maps)
    results = {n for _, n in plan.cell.graph.results}

    def kept(phase: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n for n in phase if root[n] == n or n in results)

    forward = Phases(*(kept(phase) for phase in (plan.forward.before, plan.forward.step, plan.forward.after)))
    return replace(plan, adjoint=replace(plan.adjoint, nodes=nodes, maps=maps), forward=forward)
