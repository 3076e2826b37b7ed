"""Trees of arrays as a worker gives them: each array under a dotted name."""

from __future__ import annotations

import numpy as np

from rnnspec.tree import leaves


def named(place, tree):
    """The arrays of a tree, under names that start with that of a place."""
    return {f"{place}.{name}": np.asarray(array) for name, array in leaves(tree)}


def part(found, place):
    """The arrays under a dotted name, without it."""
    return {name.removeprefix(place).removeprefix("."): array for name, array in found.items()
            if f"{name}.".startswith(f"{place}.")}  # fmt: skip
