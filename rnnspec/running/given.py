"""Where the features of what a cell reads of an input stand, in a layer without maps for them."""

from __future__ import annotations

from rnnspec.tracing.cell import Cell

__all__ = ["place", "width"]


def place(cell: Cell, name: str) -> slice:
    """The features of an x.name, or of `x` itself under the name "x", which are all of them where there are maps."""
    low = 0
    for other, features in cell.given or ():
        if other == name:
            return slice(low, low + features)
        low += features
    return slice(None)


def width(cell: Cell, name: str, features: int) -> int:
    """The number of these features, of so many features of the inputs."""
    found = place(cell, name)
    return features if found.stop is None else found.stop - found.start
