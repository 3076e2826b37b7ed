"""Gradient control, in two kinds: on finished gradients, and inside the recurrence.

On finished gradients, every map and bias of the canonical partition is one vector. A norm is over one map
(`ClipByNorm`), over all of them (`ClipByGlobalNorm`), or over one unit (`ClipByUnitNorm`): a row of a map `(out, in)`,
an element of a bias or vector `(out)`. It clips when it is strictly greater than the limit; there is no epsilon but
the one that a policy names; a norm of 0 changes nothing, whatever the limit; a norm that is not finite makes the
gradients it governs NaN, so that nothing is silently lost.

Inside the recurrence a policy belongs to a layer. Its seam `carry` acts on the edge into step t, for t = 1..T-1 counted
per row in processing order, before that step's output cotangent is added, and never on the edges of the initial and
final state. Its seam `total` acts after it is added. Norms are per row, over features.
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
    """Every entry is held within +-limit; NaN stays NaN. Mikolov (2012), section 3.2.2."""

    limit: float

    def __post_init__(self) -> None:
        check_limit("ClipByValue", limit=self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: maximum(minimum(g, self.limit), -self.limit), gradients), state


@dataclass(frozen=True)
class ClipByNorm(Rule):
    """Each map by itself is scaled to the norm `limit` where its norm is greater."""

    limit: float

    def __post_init__(self) -> None:
        check_limit("ClipByNorm", limit=self.limit)

    def init(self, params: Tree) -> Tree:
        return ()

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        return tree_map(lambda g: g * scale_within(sqrt(total(g * g)), self.limit), gradients), state


@dataclass(frozen=True)
class ClipByGlobalNorm(Rule):
    """All maps together are scaled to the norm `limit` where theirs is greater: Pascanu et al. (2013), algorithm 1.

    `reduce` sums a scalar over the shards of a distributed gradient; without it the gradients here are all there are.
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
    """Each unit's gradient is scaled to `ratio` times max(its weights' norm, epsilon): Brock et al. (2021), equation 3.

    A unit is a row of a map, with its weights `(in)`, or an element of a bias or vector. `epsilon` lets weights of 0
    move. A norm of weights that is NaN makes the unit's gradient NaN, an infinite one leaves it.
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
