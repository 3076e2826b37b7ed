"""The planner: lays a cell out for every order in which its maps can stand side by side, and keeps the best.

The order decides how few calls serve the maps, so all orders are tried where they are few.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import TypeVar

from backends.planning.layout import Layout
from backends.planning.plan import Plan
from backends.planning.rewriting import Logistic
from backends.planning.verification import verify
from rnnspec.schedule import Schedule
from rnnspec.tree import Tree

__all__ = ["laid_out", "plan", "widths"]

MOST_ORDERED = 5
"""How many maps are tried in all orders; more keep the order of their names."""

T = TypeVar("T")


@lru_cache(maxsize=64)
def plan(schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None = None) -> Plan:
    """The plan of `laid_out`, verified: a fault of the planner's raises WrongPlan, and never gives wrong numbers."""
    found = laid_out(schedule, widths, logistic)
    verify(found, schedule)
    return found


def laid_out(schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None = None) -> Plan:
    """The plan with the fewest calls over the orders of the maps and of their cotangents.

    Sigmoids run forward by `logistic`; as they are, where the library that is called has them at less cost.
    """
    maps, deltas = _orders(schedule, _alike(widths), logistic)
    return Layout(schedule, dict(widths), maps, logistic).pull(deltas).finished()


@lru_cache(maxsize=64)
def _orders(
    schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The best order of the maps, and that of their cotangents."""
    names = sorted({node.name for node in schedule.nodes if node.op in ("input", "map")})
    laid = {order: Layout(schedule, dict(widths), order, logistic) for order in _tried(names)}
    maps = min(laid, key=lambda order: laid[order].cost)
    deltas = _tried(laid[maps].deltas())
    pulled = {order: Layout(schedule, dict(widths), maps, logistic).pull(order) for order in deltas}
    return maps, min(pulled, key=lambda order: pulled[order].pull_cost)


def _tried(items: list[T]) -> list[tuple[T, ...]]:
    return list(permutations(items)) if len(items) <= MOST_ORDERED else [tuple(items)]


def _alike(widths: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """The same with small numbers for the widths: how many calls there are depends on which of them are equal, or 1."""
    numbers = {width: 2 + place for place, width in enumerate(dict.fromkeys(w for _, w in widths if w != 1))}
    return tuple((name, numbers.get(width, 1)) for name, width in widths)


def widths(params: Tree, state: Tree) -> tuple[tuple[str, int], ...]:
    """The widths of everything in a cell, read off its arrays."""
    found = {f"x.{name}": a.shape[0] for name, a in params["W"].items()}
    found |= {f"p.{name}": a.shape[0] for name, a in params["p"].items()}
    found |= {f"R.{name}": a.shape[0] for name, a in params["U"].items()}
    found |= {f"{name}.R": a.shape[1] for name, a in params["U"].items()}
    return tuple(sorted((found | {name: a.shape[1] for name, a in state.items()}).items()))
