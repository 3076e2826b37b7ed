"""A map held to a spectral norm, by an update rule.

Rules know no products of matrices. A product with a vector is one entry by entry and a sum over one axis, which is what
power iteration needs: `total_in(W * v)` is W v, `total_out(W * u)` is u' W.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.control.limits import check_limit
from rnnspec.control.rule import ToNumpy, UpdateRule
from rnnspec.errors import NetworkError
from rnnspec.primitives import sqrt, total, total_in, total_out, where
from rnnspec.showing import shown
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["HoldSpectralNorm"]


@dataclass(frozen=True)
class HoldSpectralNorm(UpdateRule):
    """Holds the rule that follows: maps of a kind, recurrent ones if it is "U", are then scaled to a spectral norm.

    Where the estimate of the largest singular value is greater than the limit, the map is multiplied by the limit over
    it. The estimate is that of power iteration on the map after its update, a number of `iterations` each step from
    the right singular vector that the state carries (Miyato et al., 2018, algorithm 1): never above the true value,
    and near it once the map moves little between steps. So the true norm may exceed the limit, most in the first
    steps. A norm of 0 changes nothing; one that is not finite leaves the map as the rule made it.
    """

    rule: UpdateRule
    limit: float = 1.0
    kind: str = "U"
    iterations: int = 1

    def __post_init__(self) -> None:
        check_limit("HoldSpectralNorm", limit=self.limit)
        if not isinstance(self.rule, UpdateRule) or self.rule.outermost:
            raise NetworkError("HoldSpectralNorm(rule)", "it must hold an update rule, or a chain that ends in one",
                               shown(self.rule), "write ScaleLoss outermost")  # fmt: skip
        if self.kind not in ("U", "W"):
            raise NetworkError("HoldSpectralNorm(kind)", "kind must be U or W", shown(self.kind), "choose one")
        if type(self.iterations) is not int or self.iterations < 1:
            raise NetworkError("HoldSpectralNorm(iterations)", "iterations must be a whole number of at least 1",
                               shown(self.iterations), "give one")  # fmt: skip

    def init(self, params: Tree) -> Tree:
        """The rule's state, and for every map that is held a row vector of norm 1, drawn by the map's name."""
        held = ((name, w) for name, w in leaves(params) if f".{self.kind}." in name)
        return {"rule": self.rule.init(params), "right": {name: _drawn(name, int(w.shape[1])) for name, w in held}}

    def update(self, gradients: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        changes, kept = self.rule.update(gradients, state["rule"], params)
        right = dict(state["right"])

        def projected(name: str, change: Any, w: Any) -> Any:
            if name not in right:
                return change
            moved = w + change
            right[name], norm = self._iterated(moved, right[name])
            finite = float("inf") > norm
            scale = where(finite, where(norm > self.limit, self.limit / norm, 1.0), 1.0)
            return where(scale < 1.0, moved * scale - w, change)

        return named_map(projected, changes, params), {"rule": kept, "right": right}

    def verify(self, state: Tree, to_numpy: ToNumpy) -> None:
        self.rule.verify(state["rule"], to_numpy)

    def _iterated(self, w: Any, v: Any) -> tuple[Any, Any]:
        """The right singular vector after some iterations, and the norm of the map at it."""
        for _ in range(self.iterations):
            u = _unit(total_in(w * v), total_in(w * v))
            v = _unit(total_out(w * u), v)
        return v, sqrt(total(total_in(w * v) * total_in(w * v)))


def _unit(a: Any, instead: Any) -> Any:
    """A vector of norm 1, and something else where it has none."""
    norm = sqrt(total(a * a))
    return where(norm > 0.0, where(float("inf") > norm, a / norm, instead), instead)


def _drawn(name: str, width: int) -> Any:
    v = np.random.default_rng(zlib.crc32(name.encode())).normal(size=(1, width))
    return v / np.linalg.norm(v)
