"""One worker's window of a sequence: what a call of a backend on that window is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.errors import ArgumentError, LengthsError, ShapeError
from rnnspec.noise.key import Key
from rnnspec.showing import shown
from rnnspec.workers.exchange import Calls, Exchange

__all__ = ["Window", "window"]


@dataclass(frozen=True)
class Window:
    """The steps from `start` to `end` of a sequence of `total` steps, with `inputs` of those steps.

    `ends` (batch,) are the lengths of the rows in the whole sequence, None where all rows are whole.
    """

    start: int
    end: int
    total: int
    inputs: Array
    ends: np.ndarray[Any, Any] | None
    resets: Any
    key: Key | None

    @property
    def batch(self) -> int:
        """The number of rows."""
        return int(self.inputs.shape[1])

    @property
    def lengths(self) -> np.ndarray[Any, Any] | None:
        """How many of each row's steps lie in the window."""
        return None if self.ends is None else np.clip(self.ends - self.start, 0, self.end - self.start)

    @property
    def more(self) -> dict[str, Any]:
        """The arguments of lengths, resets and noise; what a call does not have is left out."""
        key = None if self.key is None else self.key.at(step=self.start)
        given = {"lengths": self.lengths, "resets": self.resets, "key": key}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def rows(self) -> np.ndarray[Any, Any]:
        """The length (batch,) of each row in the whole sequence."""
        return np.full(self.batch, self.total) if self.ends is None else self.ends

    @property
    def last(self) -> np.ndarray[Any, Any]:
        """True (batch, 1) for the rows whose last step lies in the window."""
        return ((self.start < self.rows) & (self.rows <= self.end))[:, None]

    def placed(self, own: Array) -> np.ndarray[Any, Any]:
        """What has the window's steps, among zeros at the steps of the others."""
        found = np.zeros((self.total, *own.shape[1:]), own.dtype)
        found[self.start : self.end] = own
        return found


def window(
    exchange: Exchange, inputs: Any, lengths: Any, resets: Any, key: Key | None, check: Callable[[int], None]
) -> Window:
    """This worker's window: it begins where the windows of the lower ranks end.

    `check` looks at what else the call was given, for this number of rows.
    """
    call, rank = exchange.call, exchange.group.rank

    def sizes() -> list[int]:
        if key is not None and not isinstance(key, Key):
            raise ArgumentError(call, "key must be a Key, or None", shown(key), "write rnnspec.Key(seed)")
        if len(getattr(inputs, "shape", ())) < 2:
            raise ShapeError(call, "inputs must be (time, batch, feature), or class numbers (time, batch)",
                             shown(inputs), "give the steps of this worker's window")  # fmt: skip
        check(int(inputs.shape[1]))
        return [int(inputs.shape[0]), int(inputs.shape[1])]

    steps, rows = zip(*exchange.gathered(sizes, 2), strict=True)
    if len(set(rows)) > 1:
        raise ShapeError(call, "every worker must have the window of the same rows", f"{[*rows]} rows by rank",
                         "give each worker all rows, and a window of their steps")  # fmt: skip
    start, total = sum(steps[:rank]), sum(steps)
    ends = None if lengths is None else exchange.each(lambda: _ends(call, exchange.backend, lengths, total))
    return Window(start, start + steps[rank], total, inputs, ends, resets, key)


def _ends(call: str, backend: Calls, lengths: Any, total: int) -> np.ndarray[Any, Any]:
    host: np.ndarray[Any, Any] = backend.to_numpy({"lengths": lengths})["lengths"]
    wrong = [int(row) for row in np.flatnonzero((host < 0) | (host > total))]
    if wrong and host.dtype.kind in "iu":
        raise LengthsError(call, f"lengths must be between 0 and {total}, the steps of all windows",
                           f"{host[wrong[0]]} in row {wrong[0]}", "give the lengths of the whole rows")  # fmt: skip
    return host

