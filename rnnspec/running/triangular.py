"""The inverse of `1 - M` for a matrix M that is 0 on and above its diagonal of blocks, by halves.

`[[1 - A, 0], [-B, 1 - D]]` has the inverse `[[A', 0], [D' B A', D']]` with the inverses of its halves. No step divides.
"""

from __future__ import annotations

from rnnspec.contract.arrays import Array, Arrays

__all__ = ["inverse"]


def inverse(arrays: Arrays, matrix: Array, block: int) -> Array:
    """The inverse of 1 minus each matrix (..., rows, rows), whose number of blocks is a power of 2."""
    *lead, rows, _ = matrix.shape
    one = arrays.one_hot(arrays.steps(block), block)
    found = arrays.functions["add"](arrays.zeros((*lead, rows // block, block, block)), one)
    while block < rows:
        halves = arrays.reshape(found, (*lead, rows // (2 * block), 2, block, block))
        first, second = halves[..., 0, :, :], halves[..., 1, :, :]
        below = arrays.matmul(second, arrays.matmul(_below(arrays, matrix, block), first))
        above = arrays.concatenate([first, arrays.zeros(tuple(first.shape))], -1)
        found = arrays.concatenate([above, arrays.concatenate([below, second], -1)], -2)
        block *= 2
    return found[..., 0, :, :]


def _below(arrays: Arrays, matrix: Array, block: int) -> Array:
    """The blocks (..., pairs, block, block) in which the second of each two blocks meets the first."""
    firsts = range(0, matrix.shape[-1], 2 * block)
    found = [matrix[..., None, low + block : low + 2 * block, low : low + block] for low in firsts]
    return found[0] if len(found) == 1 else arrays.concatenate(found, -3)
