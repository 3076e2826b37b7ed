"""The planner: lays a cell out for every order in which its maps can stand side by side, and keeps the best.

The order of the maps decides the number of calls, so the planner tries all orders where they are few. Maps of different
widths are never one call, so that only the order among maps of one width counts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from itertools import chain, permutations, product
from math import factorial, prod
from typing import TypeVar

from backends.planning.aliases import unstopped
from backends.planning.layout import Layout
from backends.planning.plan import Plan
from backends.planning.rewriting import Logistic
from backends.planning.verification import verify
from rnnspec.derivation.schedule import Schedule
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["laid_out", "plan", "plans", "widths"]

MOST_ORDERS = 120
"""The most orders that are tried; with more, maps keep the order of their names."""

UNPLANNED = ("transposed", "outer", "matmul")
"""The operations that the planner has no calls for."""

T = TypeVar("T")


@lru_cache(maxsize=256)
def plans(cell: Cell) -> bool:
    """Whether the planner lays the cell out.

    The generic lowering runs a cell that has heads or matrices, turns a map around, or is given its x.name. It also
    runs a cell without a state, for which a program, which saves calls in the loop over time, has nothing to save.
    """
    by_hand = cell.heads is not None or cell.given is not None or not cell.states
    return not by_hand and not any(node.op in UNPLANNED for node in cell.graph.nodes)


@lru_cache(maxsize=64)
def plan(schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None = None) -> Plan:
    """The verified plan of `laid_out`; raises WrongPlan where the planner made a wrong one."""
    found = laid_out(unstopped(schedule), widths, logistic)
    verify(found, schedule)
    return found


def laid_out(schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None = None) -> Plan:
    """The plan with the fewest calls over the orders of the maps and of their cotangents.

    `logistic` says how sigmoids run forward; None calls the library's own sigmoid.
    """
    maps, deltas = _orders(schedule, _alike(widths), logistic)
    return Layout(schedule, dict(widths), maps, logistic).pulled(deltas).finished()


@lru_cache(maxsize=64)
def _orders(
    schedule: Schedule, widths: tuple[tuple[str, int], ...], logistic: Logistic | None
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The best order of the maps, and that of their cotangents."""
    sizes = dict(widths)
    names = sorted({node.name for node in schedule.nodes if node.op in ("input", "map")})
    orders = _tried(names, lambda name: (sizes.get(f"x.{name}", 0), sizes.get(f"R.{name}", 0)))
    laid = {order: Layout(schedule, sizes, order, logistic) for order in orders}
    maps = min(laid, key=lambda order: laid[order].cost)
    best = laid[maps]
    deltas = _tried(best.deltas(), lambda n: best.e.widths[n])
    pulled = {order: best.pulled(order) for order in deltas}
    return maps, min(pulled, key=lambda order: pulled[order].pull_cost)


def _tried(items: list[T], width: Callable[[T], Hashable]) -> list[tuple[T, ...]]:
    """The orders in which items of one width stand side by side."""
    alike: dict[Hashable, list[T]] = {}
    for item in items:
        alike.setdefault(width(item), []).append(item)
    if prod(factorial(len(group)) for group in alike.values()) > MOST_ORDERS:
        return [tuple(items)]
    return [tuple(chain.from_iterable(order)) for order in product(*map(permutations, alike.values()))]


def _alike(widths: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """The widths as small numbers: the number of calls depends only on which widths are equal, or 1."""
    numbers = {width: 2 + place for place, width in enumerate(dict.fromkeys(w for _, w in widths if w != 1))}
    return tuple((name, numbers.get(width, 1)) for name, width in widths)


def widths(params: Tree, state: Tree, features: int) -> tuple[tuple[str, int], ...]:
    """The widths of everything in a cell, read off its arrays, and that of `x`."""
    found = [("x", features), *((f"x.{name}", a.shape[0]) for name, a in params["W"].items())]
    found += [(f"p.{name}", a.shape[0]) for name, a in params["p"].items()]
    for name, a in params["U"].items():
        rows, columns = a.shape
        found += (f"R.{name}", rows), (f"{name}.R", columns)
    found += [(name, a.shape[1]) for name, a in state.items()]
    return tuple(sorted(found))
