"""Widths from the shapes of tensors: each axis is a sum of widths, and together the axes say what each width is.

>>> solved([(["x", "h"], 8), (["h", "h"], 6)])
{'h': 3, 'x': 5}
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Sum", "solved"]

Sum = tuple[Sequence[str], int]
"""The names of the widths along an axis, and its length; the empty name is a width of one."""


def solved(sums: Sequence[Sum]) -> dict[str, int]:
    """The widths that the sums determine one after the other; where sums contradict one another, the first counts."""
    found = {"": 1}
    left = list(sums)
    while left:
        single = next((i for i, (labels, _) in enumerate(left) if len({*labels} - found.keys()) <= 1), None)
        if single is None:
            break
        labels, total = left.pop(single)
        for name in {*labels} - found.keys():
            rest = total - sum(found.get(label, 0) for label in labels)
            found[name] = max(1, rest // list(labels).count(name))
    return {name: width for name, width in found.items() if name}
