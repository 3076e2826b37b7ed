"""Gradient control, in two kinds: on finished gradients, and inside the recurrence.

On finished gradients, every map and bias of the canonical partition is one vector. A norm is over one map
(`ClipByNorm`) or over all of them (`ClipByGlobalNorm`); it clips when it is strictly greater than the limit; there is
no epsilon; a norm of 0 changes nothing, whatever the limit; a norm that is not finite makes the gradients it governs
NaN, so that nothing is silently lost.

Inside the recurrence a policy belongs to a layer. Its seam `carry` acts on the edge into step t, for t = 1..T-1 counted
per row in processing order, before that step's output cotangent is added, and never on the edges of the initial and
final state. Its seam `total` acts after it is added. Norms are per row, over features.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rnnspec.errors import NetworkError
from rnnspec.graph import Graph, GraphBuilder
from rnnspec.primitives import Expression, maximum, minimum, reading, remainder, sqrt, total, where
from rnnspec.rule import Rule
from rnnspec.showing import shown
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["ClipByGlobalNorm", "ClipByNorm", "ClipByValue", "Recurrence", "Truncated"]

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
            raise NetworkError("Truncated(steps)", "steps must be a whole number of at least 1", shown(self.steps),
                               "give the number of steps over which gradients flow")  # fmt: skip

    def carry(self, step: Any, cotangents: Cotangents) -> Cotangents:
        """Zeros into every k-th step."""
        inside = remainder(step, self.steps) > 0
        return {state: where(inside, cotangent, 0.0) for state, cotangent in cotangents.items()}


@dataclass(frozen=True)
class ClipByValue(Rule):
    """Every entry is held within +-limit; NaN stays NaN. Mikolov (2012), section 3.2.2."""

    limit: float

    def __post_init__(self) -> None:
        _check_limit("ClipByValue", self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: maximum(minimum(g, self.limit), -self.limit), gradients), state


@dataclass(frozen=True)
class ClipByNorm(Rule):
    """Each map by itself is scaled to the norm `limit` where its norm is greater."""

    limit: float

    def __post_init__(self) -> None:
        _check_limit("ClipByNorm", self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: g * _scale(sqrt(total(g * g)), self.limit), gradients), state


@dataclass(frozen=True)
class ClipByGlobalNorm(Rule):
    """All maps together are scaled to the norm `limit` where theirs is greater: Pascanu et al. (2013), algorithm 1.

    `reduce` sums a scalar over the shards of a distributed gradient; without it the gradients here are all there are.
    """

    limit: float
    reduce: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        _check_limit("ClipByGlobalNorm", self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        squares = functools.reduce(operator.add, (total(g * g) for _, g in leaves(gradients)))
        everywhere = squares if self.reduce is None else squares.apply("reduce", squares, self.reduce)
        scale = _scale(sqrt(everywhere), self.limit)
        return tree_map(lambda g: g * scale, gradients), state


def _scale(norm: Expression, limit: float) -> Any:
    finite = float("inf") > norm
    return where(finite, where(norm > limit, limit / norm, 1.0), float("nan"))


def _check_limit(policy: str, limit: float) -> None:
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit >= 0:
        raise NetworkError(f"{policy}(limit)", "the limit must be a number of at least 0", shown(limit), "give one")


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
