"""The laws in the order in which they tell most, so that a run that is cut short has asked the best ones.

The first law is the one that detects the most known faults; each next one detects the most of those that no law before
it detects. Where none is left, the order begins again with all faults and the laws that remain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from conformance.findings.known import read
from conformance.registry import Property

__all__ = ["ordered", "telling"]


def telling(laws: Iterable[Property]) -> tuple[Property, ...]:
    """The laws, by the faults of the last self-test."""
    by_id, faults = {law.id: law for law in laws}, read()
    detects = {id: sum(1 << i for i, fault in enumerate(faults) if id in fault.laws) for id in by_id}
    return tuple(by_id[id] for id in ordered(detects))


def ordered(detects: Mapping[str, int]) -> list[str]:
    """The ids, each with the faults that it detects as bits of a number; of two equal ones the lesser id comes first.

    >>> ordered({"a": 0b0001, "b": 0b0110, "c": 0b0111, "d": 0b1000})
    ['c', 'd', 'b', 'a']
    """
    left, found = dict(sorted(detects.items())), list[str]()
    unseen = every = _all(left.values())
    while left:
        if not any(unseen & bits for bits in left.values()):
            unseen = every = _all(left.values()) & every
        best = max(left, key=lambda id: (unseen & left[id]).bit_count())
        unseen &= ~left.pop(best)
        found.append(best)
    return found


def _all(bits: Iterable[int]) -> int:
    found = 0
    for each in bits:
        found |= each
    return found
