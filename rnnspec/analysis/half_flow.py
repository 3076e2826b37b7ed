"""The gradient flow through one half of a layer: numbers for each step and row, and a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["HalfFlow", "median"]

Array = Any
NOTEWORTHY = 3.0
"""The powers of ten beyond which a product of Jacobians vanishes or explodes."""


@dataclass(frozen=True)
class HalfFlow:
    """The gradient flow of one half of a layer, in processing order; NaN where a row has no such step.

    `norms[state]` (time, batch) is the norm over features of dL/ds_t under the layer's policy. `jacobians` (time, rows)
    is the largest singular value of ds_t/ds_{t-1} with all states concatenated. `products` (time + 1, rows) is log10 of
    the largest singular value of ds_T/ds_{T-k}, where T is the row's end. Jacobians and products ignore the policy.
    `horizon` is the number of steps in which the product falls by the factor e, inf where it does not fall. `trusted`
    is the number of steps before rounding errors reach a tenth of the state in any row, or of all steps if they never
    do; each step is taken to add eight units of roundoff.
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
    """The median over the rows that have the step; NaN where none has."""
    there = np.isfinite(values).any(1) | np.isinf(values).any(1)
    found = np.full(len(values), np.nan)
    found[there] = np.nanmedian(values[there], 1)
    return found
