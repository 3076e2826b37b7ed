"""Policies inside the recurrence: what becomes of the cotangents of the states between one step and the next.

A policy belongs to a layer. Its seam `carry` acts on the edge into step t, for t = 1..T-1 counted per row in
processing order, before that step's output cotangent is added, and never on the edges of the initial and final state.
Its seam `total` acts after it is added. Norms are per row, over features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.graph import Graph, GraphBuilder
from rnnspec.primitives import reading, remainder, where

__all__ = ["STEP", "Recurrence", "Truncated", "trace_seam"]

STEP = ""
"""The name of the step's index among the arguments of a seam; no state can have it."""

Cotangents = Mapping[str, Any]
"""The cotangent of each state, by name."""


class Recurrence:
    """A policy inside the recurrence; the seams that it does not write let cotangents through.

    `step` is the index of the step in processing order, a number of one feature.
    """

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """What passes the edge into `step`, before the output cotangent of the step before is added."""
        return cotangents

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """What reaches the state after `step`, its output cotangent included."""
        return cotangents


@dataclass(frozen=True)
class Truncated(Recurrence):
    """Cuts the edges into the steps k, 2k, 3k, ...: gradients flow within chunks of k steps, values flow on.

    Williams and Peng (1990), section 4, with both of their lengths equal.
    """

    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise NetworkError("Truncated(steps)", "steps must be a whole number of at least 1", repr(self.steps),
                               "give the number of steps over which gradients flow")  # fmt: skip

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros into every k-th step."""
        inside = remainder(step, self.steps) > 0
        return {state: where(inside, cotangent, 0.0) for state, cotangent in cotangents.items()}


@lru_cache(maxsize=64)
def trace_seam(policy: Recurrence, seam: str, states: tuple[str, ...]) -> Graph | None:
    """The graph of one seam, or None where it lets cotangents through.

    Scalar `STEP`, arguments and results under the names of the states.
    """
    builder = GraphBuilder()
    given = {state: builder.vector("argument", state) for state in states}
    with reading(f"{type(policy).__name__}.{seam}"):
        result = getattr(policy, seam)(builder.vector("scalar", STEP), given)
        if all(result[state] is given[state] for state in states):
            return None
        return builder.graph({state: builder.index(result[state]) for state in states})
