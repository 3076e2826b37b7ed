"""Policies inside the recurrence: they change the cotangents of the states between one step and the step before.

A policy belongs to a layer and has two gradient hooks. `carry` changes the cotangents on the edge from step t back to
step t-1, for t = 1..T-1, before the output cotangent of step t-1 is added. It never acts on the edges of the initial
and the final state. `total` changes the cotangents after that sum. Steps are counted for each row in processing order,
from its last reset. Norms are taken for each row, over features.
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

__all__ = ["HOOKS", "STEP", "ClipStateByNorm", "ClipStateByValue", "Cut", "Recurrence", "Truncated", "counts",
           "reads_step", "trace_hook", "trace_seam"]  # fmt: skip

STEP = ""
"""The name of the step index among the arguments of a hook; no state can have it."""

HOOKS = ("carry", "total")
"""The gradient hooks, by the names of a policy's methods."""

Cotangents = Mapping[str, Any]
"""The cotangent of each state, by name."""


class Recurrence:
    """A policy inside the recurrence; a hook that it does not override changes nothing.

    `step` is the index of the step in processing order, a number; in a call with resets the index within each row's
    part. Hooks are written in the primitives.
    """

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """The cotangents on the edge into `step`, before the output cotangent of the step before is added."""
        return cotangents

    def total(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """The cotangents of the states after `step`, output cotangent included."""
        return cotangents


@dataclass(frozen=True)
class Truncated(Recurrence):
    """Cuts the edges into the steps k, 2k, 3k, ...: gradients flow within chunks of k steps, values flow on.

    Williams and Peng (1990), section 4, with both of their lengths equal. Like every policy that uses the step index,
    it refuses a run of more steps than the precision can count exactly: 256 in bf16, 2,048 in f16. Raises NetworkError
    where `steps` is no whole number of at least 1.
    """

    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise NetworkError("Truncated(steps)", "steps must be a whole number of at least 1", shown(self.steps),
                               "give the number of steps over which gradients flow")  # fmt: skip

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros on the edge into every k-th step."""
        inside = remainder(step, self.steps) > 0
        return {state: where(inside, cotangent, 0.0) for state, cotangent in cotangents.items()}


@dataclass(frozen=True)
class Cut(Recurrence):
    """Cuts every edge of the given states, of all if None: no gradient passes through them to the step before.

    Values flow on, and so do the gradients of other states. Raises NetworkError where `states` are no names.
    """

    states: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check_states(self)

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros for the given states."""
        return {**cotangents, **{state: 0.0 * step for state in _chosen(self, cotangents)}}


@dataclass(frozen=True)
class ClipStateByValue(Recurrence):
    """Clips every entry of the states' gradients dL/dh_t to +-limit at every step; NaN stays NaN.

    It clips the given states, all if None. After Graves (2013), section 2.1, who clips inside the gates. Raises
    NetworkError where `limit` is below 0, or `states` are no names.
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
    """Scales each row's gradient dL/dh_t of a state to the norm `limit` at every step where its norm is greater.

    It clips the given states, all if None; `joint` takes one norm over them all. A norm must be strictly greater, and
    no epsilon is added. A norm of 0 changes nothing; one that is not finite makes the row's gradient NaN. Raises
    NetworkError where `limit` is below 0, or `states` are no names.
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
        raise NetworkError(call, "states must be a tuple of names of states, or None for all", shown(names),
                           "write ('h',)")


def _chosen(policy: Any, cotangents: Cotangents) -> tuple[str, ...]:
    """The states that a policy changes."""
    unknown = sorted(set(policy.states or ()) - set(cotangents))
    if unknown:
        raise NetworkError(f"{type(policy).__name__}(states)", f"states must be among {', '.join(cotangents)}",
                           ", ".join(unknown), "give names of states of the layer's cell")  # fmt: skip
    return tuple(cotangents) if policy.states is None else policy.states


@lru_cache(maxsize=64)
def trace_hook(policy: Recurrence, hook: str, states: tuple[str, ...]) -> Graph | None:
    """The graph of one hook, or None where it changes nothing.

    It has the scalar `STEP`, and an argument and a result for each state, under its name.
    """
    builder = GraphBuilder()
    given = {state: builder.vector("argument", state) for state in states}
    with reading(f"{type(policy).__name__}.{hook}"):
        result = getattr(policy, hook)(builder.vector("scalar", STEP), given)
        if all(result[state] is given[state] for state in states):
            return None
        return builder.graph({state: builder.index(result[state]) for state in states})


trace_seam = trace_hook
"""The former name of `trace_hook`."""


def reads_step(policy: Recurrence, states: tuple[str, ...]) -> bool:
    """Whether a hook of a policy reads the step index at all."""
    graphs = (trace_hook(policy, hook, states) for hook in HOOKS)
    return any(graph is not None and graph.names("scalar") for graph in graphs)


def counts(policy: Recurrence, states: tuple[str, ...]) -> bool:
    """Whether a policy depends on the step index: whether it compares the index or takes a remainder of it."""
    return any(graph is not None and _compares(graph) for graph in (trace_hook(policy, s, states) for s in HOOKS))


def _compares(graph: Graph) -> bool:
    moving = descendants(graph.nodes, [index for index, node in iterate(graph.nodes, "scalar") if node.name == STEP])
    return any(graph.nodes[index].op in ("remainder", "greater", "greater_equal") for index in moving)
