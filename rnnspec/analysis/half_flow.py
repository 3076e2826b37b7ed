"""How gradients flow through one half of a layer: numbers for each step and row, and what they come to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["HalfFlow", "median"]

Array = Any
NOTEWORTHY = 3.0
"""Powers of ten from which on a product of Jacobians vanishes or explodes."""


@dataclass(frozen=True)
class HalfFlow:
    """One half of a layer, in processing order; NaN where a row has no such step.

    `norms[state]` (time, batch) is the norm over features of dL/ds_t as the policy of the layer lets it through.
    `jacobians` (time, rows) is the largest singular value of ds_t/ds_{t-1}, all states side by side, and `products`
    (time + 1, rows) the base-10 logarithm of that of ds_T/ds_{T-k}, T being the row's end: of the equations alone.
    `horizon` is the number of steps in which the product falls by the factor e, inf where it does not fall. `trusted`
    is the number of steps before rounding errors, eight of the precision's unit roundoff at each step, have grown to a
    tenth of the state of the first row for which they do; all steps, if for none.
    """

    place: str
    norms: Mapping[str, Array]
    jacobians: Array
    products: Array
    horizon: float
    trusted: int

    @property
    def steps(self) -> int:
        """The steps of the longest row."""
        return int(np.isfinite(self.jacobians).any(1).sum())

    @property
    def verdict(self) -> str:
        """Whether gradients vanish, explode or carry."""
        far = median(self.products)[self.steps]
        return "vanish" if far < -NOTEWORTHY else "explode" if far > NOTEWORTHY else "carry"


def median(values: Array) -> Array:
    """Over the rows that have the step; NaN where none has."""
    there = np.isfinite(values).any(1) | np.isinf(values).any(1)
    found = np.full(len(values), np.nan)
    found[there] = np.nanmedian(values[there], 1)
    return found
