"""What arithmetic the oracle counts in: exact up to its dtype, or perturbed as a declared precision rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["EXACT", "EXTENDED", "Arithmetic", "Kinks"]


@dataclass
class Kinks:
    """What a calculation met on its way: conditions that runs decided differently, and its largest number."""

    undecided: int = 0
    largest: float = 0.0


@dataclass(frozen=True)
class Arithmetic:
    """The oracle's dtype, and how many perturbed runs of which rounding there are beside run 0.

    `unit` is the unit roundoff of stored numbers, `accumulator` that of sums, `function` the error of an elementary
    function in units of its range, all of the precision that is simulated. `seed` draws the perturbations.
    """

    dtype: Any = np.float64
    runs: int = 0
    unit: float = 0.0
    accumulator: float = 0.0
    function: float = 0.0
    seed: int = 0
    kinks: Kinks = field(default_factory=Kinks, compare=False)


EXACT = Arithmetic()
EXTENDED = Arithmetic(np.longdouble)
"""80-bit numbers on x86: to judge float64 by."""
