"""Where the rows of one layer in one direction start afresh."""

from __future__ import annotations

from typing import NamedTuple

from rnnspec.contract.arrays import Array

__all__ = ["Resets"]


class Resets(NamedTuple):
    """The steps of a layer in one direction that start from zeros, in processing order, or from learned states.

    Learned states are `initial` among the parameters of the layer, where it has them.

    `here` (time, batch, 1) is true at such a step, and false after a row's end. `steps` (time, batch, 1) is the index
    of each step since the last reset, a number in the backend's precision; None where no policy reads it.
    """

    here: Array
    steps: Array | None
