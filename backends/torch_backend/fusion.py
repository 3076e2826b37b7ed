"""Equations in the words that PyTorch has for them: `a + b * c` is one call, and so is `(1 - w) * a + w * b`.

PyTorch blends by `a + w * (b - a)`, which is NaN where a and b are one infinity. So a cell whose own equations can make
an infinity of finite numbers keeps its blends as they are written.

A product that the backward equations read as well leaves the loop, and is computed over all time after it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import lru_cache

from rnnspec.derivation.adjoint import Adjoint
from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import Node, ancestors
from rnnspec.tracing.ranks import is_scalar

__all__ = ["forward_only", "fused"]

JOINED = {"add": "addcmul", "subtract": "subcmul"}
POLES = ("divide", "exp", "log")
"""What can make an infinity of finite numbers that are not large."""


@lru_cache(maxsize=256)
def forward_only(plan: Schedule) -> Schedule:
    """The schedule of a run without a pullback, which keeps nothing for one."""
    count = plan.adjoint.forward
    return Schedule(plan.cell, Adjoint(plan.nodes[:count], count, (), ()), plan.forward, Phases((), (), ()))


def fused(plan: Schedule) -> Schedule:
    """The same schedule with fewer nodes; the remaining nodes keep their index and value."""
    phase_of = {
        n: (side, name)
        for side, phases in (("forward", plan.forward), ("backward", plan.backward))
        for name in ("before", "step", "after")
        for n in getattr(phases, name)
    }
    roots = [n for _, n in plan.cell.graph.results] + [n for _, n in plan.adjoint.leaves]
    roots += [n for use in plan.adjoint.maps for n in (use.cotangent, use.operand)]
    readers = Counter(arg for n in phase_of for arg in plan.nodes[n].args) + Counter(roots)
    nodes = list(plan.nodes)
    is_finite = not any(node.op in POLES for node in plan.cell.graph.nodes)
    for n in phase_of:
        nodes[n] = (is_finite and _blended(nodes, readers, n)) or _joined(nodes, readers, phase_of, n) or nodes[n]
    live = ancestors(nodes, roots)
    saved = {arg for n in phase_of if phase_of[n][0] == "backward" and n in live for arg in nodes[n].args}
    fed = ancestors(nodes, [plan.cell.graph.result(state) for state in plan.cell.states])
    needed = ancestors(nodes, [*roots, *saved])
    step = tuple(n for n in plan.forward.step if n in fed)
    late = {*plan.forward.after, *plan.forward.step} - set(step)
    forward = Phases(plan.forward.before, step, tuple(n for n in sorted(late) if n in needed))
    backward = Phases(*(tuple(n for n in phase if n in live) for phase in
                        (plan.backward.before, plan.backward.step, plan.backward.after)))  # fmt: skip
    return Schedule(plan.cell, replace(plan.adjoint, nodes=tuple(nodes)), forward, backward)


def _blended(nodes: list[Node], readers: Counter[int], n: int) -> Node | None:
    """`(1 - w) * a + w * b`, as the blend of a and b by w."""
    if nodes[n].op != "add" or not all(nodes[arg].op == "multiply" and readers[arg] == 1 for arg in nodes[n].args):
        return None
    for one, other in (nodes[n].args, nodes[n].args[::-1]):
        for rest, a in (nodes[one].args, nodes[one].args[::-1]):
            if nodes[rest].op != "subtract" or nodes[nodes[rest].args[0]] != Node("constant", value=1.0):
                continue
            w = nodes[rest].args[1]
            if w in nodes[other].args and not any(is_scalar(nodes, arg) for arg in (a, w, *nodes[other].args)):
                b = nodes[other].args[1] if nodes[other].args[0] == w else nodes[other].args[0]
                return Node("lerp", (a, b, w))
    return None


def _joined(nodes: list[Node], readers: Counter[int], phase_of: dict[int, tuple[str, str]], n: int) -> Node | None:
    """`a + b * c` or `a - b * c`, where the product is computed in the same phase and read by nothing else."""
    if nodes[n].op not in JOINED:
        return None
    pairs = [nodes[n].args, nodes[n].args[::-1]] if nodes[n].op == "add" else [nodes[n].args]
    for a, product in pairs:
        alone = nodes[product].op == "multiply" and readers[product] == 1
        if alone and phase_of.get(product) == phase_of[n] and not any(
            is_scalar(nodes, arg) for arg in (a, *nodes[product].args)
        ):
            return Node(JOINED[nodes[n].op], (a, *nodes[product].args))
    return None
