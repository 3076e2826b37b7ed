"""Places within others: what two of them share, and where a part goes when the whole moves."""

from __future__ import annotations

from backends.planning.emission import Place

__all__ = ["moved", "overlap", "width", "within"]


def width(place: Place) -> int:
    """The number of columns."""
    return place.high - place.low


def within(place: Place, whole: Place) -> bool:
    """Whether a place is a part of another, or all of it."""
    return place.block == whole.block and whole.low <= place.low and place.high <= whole.high


def overlap(one: Place, other: Place) -> bool:
    """Whether two places share a column."""
    return one.block == other.block and one.low < other.high and other.low < one.high


def moved(place: Place, origin: Place, to: Place) -> Place:
    """Where a part of `origin` lies once that has moved; any other place stays."""
    if not within(place, origin):
        return place
    return Place(to.block, to.low + place.low - origin.low, to.low + place.high - origin.low)
