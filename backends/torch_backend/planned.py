"""The verified plan of a cell in calls of PyTorch."""

from __future__ import annotations

from functools import lru_cache

from backends.planning.aliases import unstopped
from backends.planning.plan import Plan
from backends.planning.planner import laid_out
from backends.planning.verification import verify
from backends.torch_backend.fusion import fused
from backends.torch_backend.scratch import in_scratch
from backends.torch_backend.summands import summed
from rnnspec.derivation.schedule import Schedule

__all__ = ["planned"]


@lru_cache(maxsize=64)
def planned(schedule: Schedule, widths: tuple[tuple[str, int], ...], small: bool = True) -> Plan:
    """The plan of a schedule, with equations and products in as few calls as PyTorch has for them.

    In a `small` network calls take longer than the memory that saves some of them.

    Raises WrongPlan where a fault in joining calls makes it compute something else than the schedule.
    """
    found = in_scratch(summed(laid_out(fused(unstopped(schedule)), widths), small))
    verify(found, schedule)
    return found
