"""Schedules for XLA: the phase of each equation, the products of maps, and the layout of values in a step."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import descendants, iterate
from rnnspec.tracing.ranks import MATRIX

__all__ = ["apart", "under_xla"]

FEW, WIDE = 32, 256
"""Up to this number of rows, and from this width on, each map is its own product, by `make arrangements`."""

WIDE_FOR_ONE = 384
"""From this width on the maps of a single row are products of their own, by `make choices`."""

LARGE = 1_500_000
"""From this size of all recurrent maps on, counted with the widest state, more rows run on columns. By `make
arrangements` four maps of 512 are too small, and three of 768 are large enough."""

VERY_LARGE = 3_000_000
"""From this size on few rows run on columns too: three maps of 1,024."""


def under_xla(plan: Schedule, rows: int, width: int) -> Schedule:
    """The schedule for XLA: for several rows, everything that depends on time runs in the step, input maps included.

    XLA fuses the elementwise functions of a step into its products, where they cost almost nothing. Before the loop
    they would need fresh memory, which costs more than the larger product. A single row is faster with its products
    before the loop, since a step reads every number of a map for one multiplication. A cell without recurrent maps has
    no products to fuse into, and keeps its schedule.

    A few rows through wide maps are faster the less a step reads: the input maps run before the loop, and each map is
    its own product, whose result is read in one piece. So is a single row through wider ones. More rows through large
    recurrent maps are faster on columns, where the product reads the maps without transposing them; so are few rows
    through very large ones.

    With heads everything runs in the step as well, and each map is its own product, since XLA would join the cotangents
    of all heads number by number. A cell with matrices keeps its schedule.
    """
    maps = len(list(iterate(plan.nodes, "map")))
    if not maps or MATRIX in plan.ranks:
        return plan
    if rows == 1:
        return apart(plan) if width >= WIDE_FOR_ONE and plan.cell.heads is None else plan
    if plan.cell.heads is not None:
        return _heads(plan)
    size = maps * width * width
    if rows <= FEW and width >= WIDE and size < VERY_LARGE:
        return apart(plan)
    return _columns(plan) if size >= LARGE else _in_the_step(plan)


@lru_cache(maxsize=256)
def _heads(plan: Schedule) -> Schedule:
    """The schedule with everything in the step, and a product for each map."""
    return replace(_in_the_step(plan), packed=False)


@lru_cache(maxsize=256)
def _columns(plan: Schedule) -> Schedule:
    """The schedule with everything in the step, a product for each map, and forward steps on columns."""
    return replace(_in_the_step(plan), packed=False, columns=True)


@lru_cache(maxsize=256)
def apart(plan: Schedule) -> Schedule:
    """The schedule with a product for each map, and input maps before the loop."""
    forward = Phases(plan.forward.before, tuple(sorted((*plan.forward.step, *plan.forward.after))), ())
    return replace(plan, forward=forward, backward=_in_the_step(plan).backward, packed=False)


@lru_cache(maxsize=256)
def _in_the_step(plan: Schedule) -> Schedule:
    nodes = plan.nodes
    moving = descendants(nodes, [i for op in ("x", "input", "state", "cotangent") for i, _ in iterate(nodes, op)])
    moving |= {i for i, _ in iterate(nodes, "input")}

    def moved(phases: Phases) -> Phases:
        everything = (*phases.before, *phases.step, *phases.after)
        return Phases(
            before=tuple(i for i in phases.before if i not in moving),
            step=tuple(sorted(i for i in everything if i in moving)),
            after=(),
        )

    return replace(plan, forward=moved(plan.forward), backward=moved(plan.backward))
