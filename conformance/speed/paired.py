"""The paired rule: the verdict on two contestants from rounds of interleaved times.

Each round times every contestant once, in random order, so that a slow moment of the machine affects all. The estimate
is the median of the logarithms of the rounds' ratios, with a bootstrap interval. Each round times the subject twice
(A/A'): where the two differ, the machine is noisy, and only a larger difference counts.

Where the verdict is inconclusive, the rule also says how many more rounds it needs at least. The interval of a median
narrows as one over the square root of the number of rounds, while the estimate stays where it is. So the spread of the
rounds says after how many of them the estimate is clear of 1, or the interval narrow enough for "equal". Few rounds
tell a spread badly, so that the rule takes the least one that chi squared allows.

>>> judge([1.0] * 9, [1.0] * 9, [2.0] * 9).verdict
'faster'
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["DELTA", "Paired", "judge", "moved_by_the_machine"]

DELTA = 0.05
"""The largest relative difference that counts as equal."""

RESAMPLES, COVERAGE = 2000, 0.95


@dataclass(frozen=True)
class Paired:
    """The ratio of the subject's time to the other's, its interval, the verdict, and how many rounds it needs more at
    least."""

    ratio: float
    low: float
    high: float
    verdict: str
    more: int = 0


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
    middle = float(np.median((a + a2) / 2 - b))
    found = Paired(float(np.exp(middle)), float(np.exp(low)), float(np.exp(high)), verdict)
    if verdict != "inconclusive":
        return found
    needed = len(a) * _least(len(a)) / _share((a + a2) / 2 - b, a - a2, float(edge)) ** 2
    return replace(found, more=max(0, math.ceil(needed) - len(a)))


def _share(logs: np.ndarray, own: np.ndarray, edge: float) -> float:
    """The part of their present widths to which the intervals must narrow before a verdict is possible.

    `own` are those of A/A', which must become narrower than the edge, or leave the difference clear of it.
    """
    away, half, noise = abs(float(np.median(logs))), _half(logs), _half(own)
    if half + noise == 0:
        return 1.0
    return min(1.0, max((away - edge) / (half + noise), edge / max(half, 2 * noise)))


def _half(logs: np.ndarray) -> float:
    """Half the width of the interval of the median, if the numbers are normal and have the same median deviation.

    The bootstrap's own interval of few rounds is as wide as their spikes, which are soon outnumbered.
    """
    sigma = 1.4826 * float(np.median(np.abs(logs - np.median(logs))))
    return 1.96 * math.sqrt(math.pi / 2) * sigma / math.sqrt(len(logs))


def _least(rounds: int) -> float:
    """The smallest variance over the one that so many rounds show, with a confidence of 97.5 %.

    A median tells as much of normal numbers as a mean of 2 / pi as many.
    """
    from scipy.special import chdtri  # noqa: PLC0415  # slow to import, and not always used

    freedom = max(1.0, 2 / math.pi * (rounds - 1))
    return float(freedom / chdtri(freedom, (1 - COVERAGE) / 2))


def moved_by_the_machine(subject: Sequence[float], again: Sequence[float], floor: Sequence[float]) -> bool:
    """Whether most of the variance between the subject's two times of a round is the machine's.

    The floor is always the same products, so that only the machine changes its time. Its variance is taken from one
    round to the next: what is slower than a round moves both times of the subject alike.
    """
    a, a2, f = (np.log(np.asarray(times, dtype=float)) for times in (subject, again, floor))
    return _squared(np.diff(f)) >= _squared(a - a2) / 2


def _squared(differences: np.ndarray) -> float:
    """The square of their typical size; a median, since one spike is no noise."""
    return float(np.median(np.abs(differences))) ** 2


def _interval(logs: np.ndarray) -> tuple[float, float]:
    """The bootstrap interval of the median; rounds are resampled."""
    rounds = np.random.default_rng(0).integers(0, len(logs), (RESAMPLES, len(logs)))
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(np.median(logs[rounds], axis=1), (tail, 1 - tail))
    return float(low), float(high)
