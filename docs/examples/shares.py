"""The rows of a batch, shared out over workers, and what the workers found, put together again.

Each function takes a backend; one that is not across workers has all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import rnnspec
from rnnspec.tree import filled, flat, tree_map


def is_first(be: rnnspec.Backend) -> bool:
    """Whether this worker is the one that prints and writes files."""
    return be.group is None or be.group.rank == 0


def own(be: rnnspec.Backend) -> slice:
    """Which of the rows are this worker's."""
    return slice(None) if be.group is None else slice(be.group.rank, None, be.group.size)


def total(be: rnnspec.Backend, number: float, count: int) -> tuple[float, int]:
    """The sums of a number and of a count over all workers."""
    if be.group is None:
        return number, count
    (found,), (counted,) = be.group.sum([be.from_numpy(np.array(number))], [count])
    return float(found), counted


def whole(be: rnnspec.Backend, rows: int, state: Any) -> Any:
    """The state of all rows as NumPy arrays, from each worker's own rows: the sum with zeros for those of others."""
    state = be.to_numpy(state)
    if be.group is None:
        return state

    def placed(part: np.ndarray) -> Any:
        among = np.zeros((rows, *part.shape[1:]), part.dtype)
        among[own(be)] = part
        return be.from_numpy(among)

    found, _ = be.group.sum([placed(part) for part in flat(state)], [])
    return be.to_numpy(filled(state, found))


def part(be: rnnspec.Backend, state: Any) -> Any:
    """The state of this worker's rows, from that of all."""
    return be.asarray(tree_map(lambda rows: rows[own(be)], state))
