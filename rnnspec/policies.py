"""Gradient policies of two kinds: on finished gradients, and inside the recurrence.

A policy on finished gradients treats each named map, bias and vector as one vector. A norm is over one map
(`ClipByNorm`), over all maps (`ClipByGlobalNorm`), or over one unit (`ClipByUnitNorm`): a row of a map `(out, in)`, an
element of a bias or vector `(out)`. A policy clips where a norm is strictly greater than the limit. It adds no
epsilon, unless it has an argument of that name. A norm of 0 changes nothing for any limit. A norm that is not finite
makes the gradients that it covers NaN, so that the fault shows.

A policy inside the recurrence belongs to a layer and has two gradient hooks. `carry` changes the cotangents on the edge
from step t back to step t-1, for t = 1..T-1, before the output cotangent of step t-1 is added. It never acts on the
edges of the initial and the final state. `total` changes the cotangents after that sum. Steps are counted for each row
in processing order, from its last reset. Norms are taken for each row, over features.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rnnspec.control.finite import RaiseNonFinite, ScaleLoss, SkipNonFinite, ZeroNonFinite
from rnnspec.control.limits import check_limit, scale_within
from rnnspec.control.recurrence import ClipStateByNorm, ClipStateByValue, Cut, Recurrence, Truncated
from rnnspec.control.rule import Rule
from rnnspec.primitives import maximum, minimum, sqrt, total, total_in
from rnnspec.tree import Tree, leaves, tree_map

__all__ = ["ClipByGlobalNorm", "ClipByNorm", "ClipByUnitNorm", "ClipByValue", "ClipStateByNorm",
           "ClipStateByValue", "Cut", "RaiseNonFinite", "Recurrence", "ScaleLoss", "SkipNonFinite", "Truncated",
           "ZeroNonFinite"]  # fmt: skip


@dataclass(frozen=True)
class ClipByValue(Rule):
    """Clips every entry to +-limit; NaN stays NaN. Mikolov (2012), section 3.2.2.

    Raises NetworkError where `limit` is below 0.
    """

    limit: float

    def __post_init__(self) -> None:
        check_limit("ClipByValue", limit=self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: maximum(minimum(g, self.limit), -self.limit), gradients), state


@dataclass(frozen=True)
class ClipByNorm(Rule):
    """Scales each map to the norm `limit` where its norm is greater. Raises NetworkError where `limit` is below 0."""

    limit: float

    def __post_init__(self) -> None:
        check_limit("ClipByNorm", limit=self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: g * scale_within(sqrt(total(g * g)), self.limit), gradients), state


@dataclass(frozen=True)
class ClipByGlobalNorm(Rule):
    """Scales all maps together to the norm `limit` where their norm is greater: Pascanu et al. (2013), algorithm 1.

    `reduce` sums a scalar over the shards of a distributed gradient; None is for a gradient without shards. Raises
    NetworkError where `limit` is below 0.
    """

    limit: float
    reduce: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        check_limit("ClipByGlobalNorm", limit=self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        squares = functools.reduce(operator.add, (total(g * g) for _, g in leaves(gradients)))
        everywhere = squares if self.reduce is None else squares.apply("reduce", squares, self.reduce)
        scale = scale_within(sqrt(everywhere), self.limit)
        return tree_map(lambda g: g * scale, gradients), state


@dataclass(frozen=True)
class ClipByUnitNorm(Rule):
    """Scales each unit's gradient to the norm `ratio` * max(norm of its weights, epsilon) where its norm is greater.

    Brock et al. (2021), equation 3. A unit is a row of a map `(out, in)`, or an element of a bias or vector. `epsilon`
    lets weights of 0 change. Weights with a norm of NaN make the unit's gradient NaN; an infinite norm changes nothing.
    Raises NetworkError where an argument is below 0.
    """

    ratio: float
    epsilon: float = 1e-3

    def __post_init__(self) -> None:
        check_limit("ClipByUnitNorm", ratio=self.ratio, epsilon=self.epsilon)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        def clipped(g: Any, w: Any) -> Any:
            limit = self.ratio * maximum(sqrt(total_in(w * w)), self.epsilon)
            return g * scale_within(sqrt(total_in(g * g)), limit)

        return tree_map(clipped, gradients, params), state
