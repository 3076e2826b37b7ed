"""Triangular systems `(1 - M) X = B`, for matrices M that are 0 on and above their diagonal of blocks.

A few rows at a time are found from those before them, with the inverse of their own small system. The inverse of a
whole system would be one product, but it loses as many digits as the system has terms that cancel.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.running.halves import turned

__all__ = ["System", "solve", "solve_turned", "system"]

FEW = 8
"""The blocks of rows whose system is inverted: fewer lose fewer digits, and more are fewer products."""


@dataclass(frozen=True)
class System:
    """The matrices M (..., rows, rows), and the inverses (..., parts, some, some) of the systems of some rows each."""

    matrix: Array
    inner: Array

    @property
    def parts(self) -> list[tuple[int, slice]]:
        """The parts by number, with their rows."""
        some = self.inner.shape[-1]
        return [(i, slice(i * some, (i + 1) * some)) for i in range(self.matrix.shape[-1] // some)]


def system(arrays: Arrays, matrix: Array, block: int) -> System:
    """The systems of matrices in a number of blocks that is a power of 2, each of so many rows."""
    some = min(FEW * block, matrix.shape[-1])
    parts = [matrix[..., None, low : low + some, low : low + some] for low in range(0, matrix.shape[-1], some)]
    return System(matrix, _inverse(arrays, _joined(arrays, parts, -3), block))


def solve(arrays: Arrays, given: System, right: Array) -> Array:
    """X (..., rows, columns) of `(1 - M) X = right`."""
    found: list[Array] = []
    for i, rows in given.parts:
        own = right[..., rows, :]
        if found:
            before = arrays.matmul(given.matrix[..., rows, : rows.start], _joined(arrays, found, -2))
            own = arrays.functions["add"](own, before)
        found.append(arrays.matmul(given.inner[..., i, :, :], own))
    return _joined(arrays, found, -2)


def solve_turned(arrays: Arrays, given: System, right: Array) -> Array:
    """X of the systems with rows and columns exchanged, from the last rows to the first."""
    found: list[Array] = []
    for i, rows in reversed(given.parts):
        own = right[..., rows, :]
        if found:
            after = turned(arrays, given.matrix[..., rows.stop :, rows])
            own = arrays.functions["add"](own, arrays.matmul(after, _joined(arrays, found, -2)))
        found.insert(0, arrays.matmul(turned(arrays, given.inner[..., i, :, :]), own))
    return _joined(arrays, found, -2)


def _joined(arrays: Arrays, parts: list[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else arrays.concatenate(parts, axis)


def _inverse(arrays: Arrays, matrix: Array, block: int) -> Array:
    """The inverse of 1 minus each matrix, by halves: below the diagonal it is that of the second half times what lies
    below times that of the first."""
    *lead, rows, _ = matrix.shape
    one = arrays.one_hot(arrays.steps(block), block)
    found = arrays.functions["add"](arrays.zeros((*lead, rows // block, block, block)), one)
    while block < rows:
        halves = arrays.reshape(found, (*lead, rows // (2 * block), 2, block, block))
        first, second = halves[..., 0, :, :], halves[..., 1, :, :]
        below = arrays.matmul(second, arrays.matmul(_between(arrays, matrix, block), first))
        above = arrays.concatenate([first, arrays.zeros(tuple(first.shape))], -1)
        found = arrays.concatenate([above, arrays.concatenate([below, second], -1)], -2)
        block *= 2
    return found[..., 0, :, :]


def _between(arrays: Arrays, matrix: Array, block: int) -> Array:
    """The blocks (..., pairs, block, block) in which the second of each two blocks meets the first."""
    firsts = range(0, matrix.shape[-1], 2 * block)
    found = [matrix[..., None, low + block : low + 2 * block, low : low + block] for low in firsts]
    return _joined(arrays, found, -3)
