"""Gains: what makes a drawn network remember, one factor and one shift for each parameter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.tree import Tree, named_map

__all__ = ["Gain", "gained", "parts"]

Array = Any


@dataclass(frozen=True)
class Gain:
    """The change of the parameter with a dotted name, such as `layers.0.forward.b.f`.

    A map or a vector is `factor` times what was drawn. A recurrent map is `factor` times the orthogonal map nearest to
    what was drawn, plus `shift` times the identity. A bias or a vector grows by `shift` in the first half of its units;
    the others stay as they were drawn, so that their gates open and close.
    """

    name: str
    factor: float = 1.0
    shift: float = 0.0


def gained(params: Tree, gains: Sequence[Gain]) -> Tree:
    """The parameters with these gains; one without a gain is as it was drawn."""
    known = {gain.name: gain for gain in gains}

    def changed(name: str, drawn: Array) -> Array:
        if name not in known:
            return drawn
        base, unit = parts(name, drawn)
        return known[name].factor * base + known[name].shift * unit

    return named_map(changed, params)


def parts(name: str, drawn: Array) -> tuple[Array, Array]:
    """What a gain multiplies by its factor, and what by its shift."""
    kind = name.split(".")[-2]
    if kind == "U":
        left, _, right = np.linalg.svd(drawn, full_matrices=False)
        return left @ right, np.broadcast_to(np.eye(*drawn.shape[-2:]), drawn.shape)
    width = drawn.shape[-1]
    first = np.broadcast_to(np.arange(width) < (width + 1) // 2, drawn.shape)
    return drawn, np.where((kind != "W") & first, 1.0, 0.0)
