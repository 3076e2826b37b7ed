"""When a cell's equations run under XLA: all that depends on time within the step."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from rnnspec.graph import descendants, iterate
from rnnspec.schedule import Phases, Schedule

__all__ = ["stepwise"]


def stepwise(plan: Schedule, rows: int | None) -> Schedule:
    """The schedule with all that depends on time in the step, the input maps among it, for several rows.

    XLA fuses a step's elementwise functions into its products, where they cost next to nothing; kept over all time
    they cost fresh memory, which is dearer than the larger product. A single row gains more from that: in its steps
    every number of a map is read for one multiplication. A cell without recurrent maps has nothing to fuse them into,
    and stays as it is.
    """
    return plan if rows == 1 else _in_the_step(plan)


@lru_cache(maxsize=256)
def _in_the_step(plan: Schedule) -> Schedule:
    nodes = plan.nodes
    if not any(iterate(nodes, "map")):
        return plan
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
