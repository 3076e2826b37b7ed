"""The key of a call's noise: a seed, and where the rows and steps of the call stand among all."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnspec.errors import ArgumentError
from rnnspec.showing import shown

__all__ = ["Key"]

MOST = 2**63
"""The number that rows and steps stay below."""


@dataclass(frozen=True)
class Key:
    """What the noise of a call depends on: `seed`, and the absolute numbers of the call's first row and first step.

    A mask depends on the seed, its place in the network, its row and its step, and on nothing else. So the parts of a
    batch have the masks of the whole if each says its first `row`, and so have windows that each say their first
    `step`. Use another seed for each update. Raises ArgumentError where a number is no whole number of at least 0, or
    row or step is 2^63 or more.

    >>> Key(7).at(row=32)
    Key(seed=7, row=32, step=0)
    """

    seed: int
    row: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if type(number) is not int or number < 0 or (name != "seed" and number >= MOST):
                raise ArgumentError("Key(...)", f"{name} must be a whole number of at least 0", shown(number),
                                    "write Key(seed), such as the number of the update")  # fmt: skip

    def at(self, row: int = 0, step: int = 0) -> Key:
        """The key of a part of the call that begins so many rows and steps later."""
        return replace(self, row=self.row + row, step=self.step + step)
