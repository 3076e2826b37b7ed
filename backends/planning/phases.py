"""When a cell's equations run under XLA, which of its maps are one product, and how values lie in a step."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rnnspec.derivation.schedule import Phases, Schedule
from rnnspec.tracing.graph import descendants, iterate

__all__ = ["apart", "under_xla"]

FEW, WIDE = 32, 256
"""Up to so many rows, and from such a width on, maps come apart: most calls are quicker so, by `make arrangements`."""

LARGE = 1_500_000
"""From so many numbers on, were all recurrent maps as wide as the widest state, more rows run on columns: by `make
arrangements` four maps of 512 are too few, and three of 768 are not."""


def under_xla(plan: Schedule, rows: int, width: int) -> Schedule:
    """The schedule for XLA: for several rows all that depends on time is in the step, the input maps among it.

    XLA fuses a step's elementwise functions into its products, where they cost next to nothing; kept over all time
    they cost fresh memory, which is dearer than the larger product. A single row gains more from that: in its steps
    every number of a map is read for one multiplication. A cell without recurrent maps has nothing to fuse them into,
    and stays as it is.

    A few rows through wide maps, though, are the faster the less is read in a step: the input maps run before the
    loop, and every map is a product of its own, whose result is read in one piece, not in slices of rows. With more
    rows, and large recurrent maps, a product of the maps as they are and of columns, one for a row, is quicker than
    one of rows and the maps transposed.
    """
    maps = len(list(iterate(plan.nodes, "map")))
    if rows == 1 or not maps:
        return plan
    if rows <= FEW and width >= WIDE:
        return apart(plan)
    return _columns(plan) if maps * width * width >= LARGE else _in_the_step(plan)


@lru_cache(maxsize=256)
def _columns(plan: Schedule) -> Schedule:
    """The schedule with all in the step, every map a product of its own, and the forward steps on columns."""
    return replace(_in_the_step(plan), packed=False, columns=True)


@lru_cache(maxsize=256)
def apart(plan: Schedule) -> Schedule:
    """The schedule with every map a product of its own, and those of the inputs before the loop."""
    forward = Phases(plan.forward.before, tuple(sorted((*plan.forward.step, *plan.forward.after))), ())
    return replace(plan, forward=forward, backward=_in_the_step(plan).backward, packed=False)


@lru_cache(maxsize=256)
def _in_the_step(plan: Schedule) -> Schedule:
    nodes = plan.nodes
    moving = descendants(nodes, [i for op in ("input", "state", "cotangent") for i, _ in iterate(nodes, op)])
    moving |= {i for i, _ in iterate(nodes, "input")}

    def moved(phases: Phases) -> Phases:
        everything = (*phases.before, *phases.step, *phases.after)
        return Phases(
            before=tuple(i for i in phases.before if i not in moving),
            step=tuple(sorted(i for i in everything if i in moving)),
            after=(),
        )

    return replace(plan, forward=moved(plan.forward), backward=moved(plan.backward))
