"""Policies inside the recurrence: what becomes of the cotangents of the states between one step and the next.

A policy belongs to a layer. Its seam `carry` acts on the edge into step t, for t = 1..T-1 counted per row in
processing order, before that step's output cotangent is added, and never on the edges of the initial and final state.
Its seam `total` acts after it is added. Norms are per row, over features.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rnnspec.control.limits import check_limit, scale_within
from rnnspec.errors import NetworkError
from rnnspec.primitives import maximum, minimum, reading, remainder, sqrt, total, where
from rnnspec.showing import shown
from rnnspec.tracing.graph import Graph, GraphBuilder, descendants, iterate

__all__ = ["SEAMS", "STEP", "ClipStateByNorm", "ClipStateByValue", "Cut", "Recurrence", "Truncated", "counts",
           "trace_seam"]  # fmt: skip

STEP = ""
"""The name of the step's index among the arguments of a seam; no state can have it."""

SEAMS = ("carry", "total")
"""Where a policy acts, by the names of its methods."""

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

    Williams and Peng (1990), section 4, with both of their lengths equal. More steps than a precision counts by ones,
    256 in bf16 and 2,048 in f16, are refused, as by every policy that asks which step it is.
    """

    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise NetworkError("Truncated(steps)", "steps must be a whole number of at least 1", shown(self.steps),
                               "give the number of steps over which gradients flow")  # fmt: skip

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros into every k-th step."""
        inside = remainder(step, self.steps) > 0
        return {state: where(inside, cotangent, 0.0) for state, cotangent in cotangents.items()}


@dataclass(frozen=True)
class Cut(Recurrence):
    """Cuts every edge of the given states, of all if None: no gradient passes to the step before through them.

    Values flow on, and the other states' gradients.
    """

    states: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_states(self)

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros for the states."""
        return {**cotangents, **{state: 0.0 * step for state in _chosen(self, cotangents)}}


@dataclass(frozen=True)
class ClipStateByValue(Recurrence):
    """Every entry of dL/dh_t, and of each other state's, is held within +-limit at every step; NaN stays NaN.

    Of the given states, of all if None. After Graves (2013), section 2.1, who clips inside the gates.
    """

    limit: float
    states: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_limit("ClipStateByValue", limit=self.limit)
        _check_states(self)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Entry by entry."""
        chosen = _chosen(self, cotangents)
        return {**cotangents, **{s: maximum(minimum(cotangents[s], self.limit), -self.limit) for s in chosen}}


@dataclass(frozen=True)
class ClipStateByNorm(Recurrence):
    """Each row's dL/dh_t, and each other state's, is scaled to the norm `limit` at every step where it is greater.

    Of the given states, of all if None; `joint` takes one norm over them all. It clips when the norm is strictly
    greater, without an epsilon; a norm of 0 changes nothing, and one that is not finite makes its row's gradient NaN.
    """

    limit: float
    states: tuple[str, ...] | None = None
    joint: bool = False

    def __post_init__(self) -> None:
        check_limit("ClipStateByNorm", limit=self.limit)
        _check_states(self)

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Row by row."""
        chosen = _chosen(self, cotangents)
        squares = {s: total(cotangents[s] * cotangents[s]) for s in chosen}
        if self.joint:
            squares = dict.fromkeys(chosen, functools.reduce(operator.add, squares.values()))
        return {**cotangents, **{s: cotangents[s] * scale_within(sqrt(squares[s]), self.limit) for s in chosen}}


def _check_states(policy: Any) -> None:
    names, call = policy.states, f"{type(policy).__name__}(states)"
    if names is not None and not (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
        raise NetworkError(call, "states must be names of states, or None for all", shown(names), "write ('h',)")


def _chosen(policy: Any, cotangents: Cotangents) -> tuple[str, ...]:
    """The states that a policy is about."""
    unknown = sorted(set(policy.states or ()) - set(cotangents))
    if unknown:
        raise NetworkError(f"{type(policy).__name__}(states)", f"states must be among {', '.join(cotangents)}",
                           ", ".join(unknown), "name states of the layer's cell")  # fmt: skip
    return tuple(cotangents) if policy.states is None else policy.states


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


def counts(policy: Recurrence, states: tuple[str, ...]) -> bool:
    """Whether what a policy does depends on which step it is: whether it compares the step's index, or divides it."""
    return any(graph is not None and _compares(graph) for graph in (trace_seam(policy, s, states) for s in SEAMS))


def _compares(graph: Graph) -> bool:
    moving = descendants(graph.nodes, [index for index, node in iterate(graph.nodes, "scalar") if node.name == STEP])
    return any(graph.nodes[index].op in ("remainder", "greater", "greater_equal") for index in moving)
