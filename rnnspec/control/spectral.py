"""An update rule that keeps maps within a spectral norm.

Rules have no matrix products. Power iteration needs products with vectors only, which are elementwise products and sums
over one axis: `total_in(W * v)` is W v, `total_out(W * u)` is u' W.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.control.limits import check_limit
from rnnspec.control.rule import ToNumpy, UpdateRule
from rnnspec.errors import NetworkError
from rnnspec.primitives import sqrt, total_in, total_out, where
from rnnspec.showing import shown
from rnnspec.tree import Tree, leaves, named_map

__all__ = ["HoldSpectralNorm"]


@dataclass(frozen=True)
class HoldSpectralNorm(UpdateRule):
    """Wraps an update rule, and scales maps of one kind ("U" is recurrent, "W" is input) after each update.

    Where the estimate of a map's largest singular value is above the limit, the map is multiplied by limit / estimate.
    The estimate takes `iterations` steps of power iteration on the updated map, from the right singular vector in the
    state (Miyato et al., 2018, algorithm 1). It is never above the true value, and near it once the map changes little
    between steps; so the true norm may exceed the limit, most in the first steps. Each head's map has a norm of its
    own. A norm of 0 changes nothing; one that is not finite leaves the map as the wrapped rule made it. Raises
    NetworkError where an argument is not valid.
    """

    rule: UpdateRule
    limit: float = 1.0
    kind: str = "U"
    iterations: int = 1

    def __post_init__(self) -> None:
        check_limit("HoldSpectralNorm", limit=self.limit)
        if not isinstance(self.rule, UpdateRule) or self.rule.outermost:
            raise NetworkError("HoldSpectralNorm(rule)", "rule must be an update rule, or a chain that ends in one",
                               shown(self.rule), "give one; write ScaleLoss outermost")  # fmt: skip
        if self.kind not in ("U", "W"):
            raise NetworkError("HoldSpectralNorm(kind)", "kind must be U or W", shown(self.kind), "choose one of them")
        if type(self.iterations) is not int or self.iterations < 1:
            raise NetworkError("HoldSpectralNorm(iterations)", "iterations must be a whole number of at least 1",
                               shown(self.iterations), "give 1 or more")  # fmt: skip

    def init(self, params: Tree) -> Tree:
        """The wrapped rule's state, and for every map of the kind, or of each head, a row vector of norm 1.

        The map's name seeds the draw.
        """
        held = ((name, w) for name, w in leaves(params) if f".{self.kind}." in name)
        return {"rule": self.rule.init(params), "right": {name: _drawn(name, tuple(w.shape)) for name, w in held}}

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
        """The right singular vector after the iterations, and the estimate of the norm."""
        for _ in range(self.iterations):
            u = _unit(total_in(w * v), total_in(w * v))
            v = _unit(total_out(w * u), v)
        return v, _norm(total_in(w * v))


def _unit(a: Any, instead: Any) -> Any:
    """The vector scaled to norm 1, or `instead` where that is not possible."""
    norm = _norm(a)
    return where(norm > 0.0, where(float("inf") > norm, a / norm, instead), instead)


def _norm(a: Any) -> Any:
    """The norm of a row or column, one for each head."""
    return sqrt(total_out(total_in(a * a)))


def _drawn(name: str, shape: tuple[int, ...]) -> Any:
    v = np.random.default_rng(zlib.crc32(name.encode())).normal(size=(*shape[:-2], 1, shape[-1]))
    return v / np.linalg.norm(v, axis=-1, keepdims=True)
