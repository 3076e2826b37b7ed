"""The paired rule: the verdict on two contestants from rounds of interleaved times.

Each round times every contestant once, in random order, so that a slow moment of the machine affects all. The estimate
is the median of the logarithms of the rounds' ratios, with a bootstrap interval. Each round times the subject twice
(A/A'): where the two differ, the machine is noisy, and only a larger difference counts.

>>> judge([1.0] * 9, [1.0] * 9, [2.0] * 9).verdict
'faster'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["DELTA", "Paired", "judge"]

DELTA = 0.05
"""The largest relative difference that counts as equal."""

RESAMPLES, COVERAGE = 2000, 0.95


@dataclass(frozen=True)
class Paired:
    """The ratio of the subject's time to the other's, its interval, and the verdict."""

    ratio: float
    low: float
    high: float
    verdict: str


def judge(subject: Sequence[float], again: Sequence[float], other: Sequence[float], delta: float = DELTA) -> Paired:
    """The verdict on rounds of times; `again` is the subject's second time of each round.

    The machine is noisy where the interval of A/A' excludes 1 or is wider than `delta`. A difference must then exceed
    `delta` by the distance of A/A' from 1, and no verdict is "equal". Neither is one whose interval is wider than
    `delta` on both sides.
    """
    edge = np.log1p(delta)
    a, a2, b = (np.log(np.asarray(times, dtype=float)) for times in (subject, again, other))
    low, high = _interval((a + a2) / 2 - b)
    self_low, self_high = _interval(a - a2)
    noisy = not self_low <= 0 <= self_high or self_high - self_low > edge
    beyond = edge + max(-self_low, self_high) if noisy else edge
    if low > beyond:
        verdict = "slower"
    elif high < -beyond:
        verdict = "faster"
    elif noisy or high - low > 2 * edge:
        verdict = "inconclusive"
    else:
        verdict = "equal"
    return Paired(float(np.exp(np.median((a + a2) / 2 - b))), float(np.exp(low)), float(np.exp(high)), verdict)


def _interval(logs: np.ndarray) -> tuple[float, float]:
    """The bootstrap interval of the median; rounds are resampled."""
    rounds = np.random.default_rng(0).integers(0, len(logs), (RESAMPLES, len(logs)))
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(np.median(logs[rounds], axis=1), (tail, 1 - tail))
    return float(low), float(high)
