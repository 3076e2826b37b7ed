"""What the reads of a chunk find of its writes, with a decay of each key in between, by halves.

A read at step i finds `sum over k of query_i[k] key_j[k] decay[k]` of a write at step j, with the product of the decays
in between. A chunk is two halves. Its first half reads nothing of the second one; the second half reads the first one
across the boundary: its queries times the decays since the boundary, by keys times the decays up to there. So decays
are multiplied and never divided by, and all of it is products of matrices. The halves are found in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays

__all__ = ["Boundary", "Halves", "Met", "turned"]


@dataclass(frozen=True)
class Boundary:
    """The second half's queries and the first half's keys at their boundary, and the decays through both halves."""

    queries: Array
    keys: Array
    decays: tuple[Array, Array]


@dataclass(frozen=True)
class Met:
    """A chunk of steps; its reads and writes are in order of time.

    `products` (..., reads, writes) say how much of each write a read finds. `queries` (..., reads, key) read the state
    at the chunk's beginning, `keys` (..., writes, key) write to that at its end, and `decay` (..., 1, key) is that of
    the whole chunk, None where nothing decays. `boundaries` are those of all halves, of single steps first.
    """

    products: Array
    queries: Array
    keys: Array
    decay: Array | None
    boundaries: tuple[Boundary, ...]


@dataclass(frozen=True)
class Halves:
    """Joins steps to chunks, whose number of steps is a power of 2.

    The first `before` reads of each step read the state before the step; others read it after the step, so that they
    find what it writes.
    """

    arrays: Arrays
    before: int

    def join(self, queries: Array, keys: Array, decay: Array) -> Met:
        """The chunk of all steps: `queries` (..., steps, reads, key), `keys` (..., steps, writes, key), and `decay`
        (..., steps, 1, key)."""
        multiply, boundaries = self.arrays.functions["multiply"], []
        products, queries = self._own(queries, keys), self._after(queries, decay)
        while decay.shape[-3] > 1:
            both, written, decays = (self._pairs(a) for a in (queries, keys, decay))
            late, early = both[..., 1, :, :], written[..., 0, :, :]
            one, other = decays[..., 0, :, :], decays[..., 1, :, :]
            boundaries.append(Boundary(late, early, (one, other)))
            across = self.arrays.matmul(late, turned(self.arrays, early))
            products = self._square(self._pairs(products), across)
            unit = self.arrays.functions["add"](self.arrays.zeros(tuple(one.shape)), self.arrays.scalar(1.0))
            queries = self._rows(multiply(both, self._two(unit, one)))
            keys = self._rows(multiply(written, self._two(other, unit)))
            decay = multiply(one, other)
        products, queries, keys, decay = (a[..., 0, :, :] for a in (products, queries, keys, decay))
        return Met(products, queries, keys, decay, tuple(boundaries))

    def pull(
        self, met: Met, given: tuple[Array, Array, Array], products: Array, queries: Array, keys: Array, decay: Array
    ) -> tuple[Array, Array, Array]:
        """The cotangents of what `join` was given, queries, keys and decay, from those of `met`."""
        add, multiply, matmul = self.arrays.functions["add"], self.arrays.functions["multiply"], self.arrays.matmul
        products, queries, keys, decay = (a[..., None, :, :] for a in (products, queries, keys, decay))
        for at in reversed(met.boundaries):
            one, other = at.decays
            reads, writes = at.queries.shape[-2], at.keys.shape[-2]
            across = products[..., reads:, :writes]
            late, early = queries[..., reads:, :], keys[..., :writes, :]
            through = (add(self._summed(multiply(late, at.queries)), multiply(decay, other)),
                       add(self._summed(multiply(early, at.keys)), multiply(decay, one)))  # fmt: skip
            late = add(matmul(across, at.keys), multiply(late, one))
            early = add(matmul(turned(self.arrays, across), at.queries), multiply(early, other))
            products = self._steps(products[..., :reads, :writes], products[..., reads:, writes:])
            queries = self._steps(queries[..., :reads, :], late)
            keys = self._steps(early, keys[..., writes:, :])
            decay = self._steps(*through)
        return self._pull_own(given, products, queries, keys, decay)

    def _own(self, queries: Array, keys: Array) -> Array:
        """What reads find of the writes of their own step (..., steps, reads, writes)."""
        late = queries[..., self.before :, :]
        met = self.arrays.functions["multiply"](late[..., :, None, :], keys[..., None, :, :])
        found = self.arrays.sum(met, (-1,), False)
        if not self.before:
            return found
        none = self.arrays.zeros((*found.shape[:-2], self.before, found.shape[-1]))
        return self.arrays.concatenate([none, found], -2)

    def _after(self, queries: Array, decay: Array) -> Array:
        """The queries of the state before the step."""
        late = self.arrays.functions["multiply"](queries[..., self.before :, :], decay)
        return self.arrays.concatenate([queries[..., : self.before, :], late], -2) if self.before else late

    def _pull_own(
        self, given: tuple[Array, Array, Array], products: Array, queries: Array, keys: Array, decay: Array
    ) -> tuple[Array, Array, Array]:
        add, multiply, matmul = self.arrays.functions["add"], self.arrays.functions["multiply"], self.arrays.matmul
        query, key, factor = given
        n = self.before
        found, late = products[..., n:, :], queries[..., n:, :]
        keys = add(keys, matmul(turned(self.arrays, found), query[..., n:, :]))
        decay = add(decay, self._summed(multiply(late, query[..., n:, :])))
        late = add(multiply(late, factor), matmul(found, key))
        queries = self.arrays.concatenate([queries[..., :n, :], late], -2) if n else late
        return queries, keys, decay

    def _summed(self, a: Array) -> Array:
        """The sum over reads or writes, as a product: XLA sums over an axis that is not the last one slowly."""
        ones = self.arrays.functions["add"](self.arrays.zeros((1, a.shape[-2])), self.arrays.scalar(1.0))
        return self.arrays.matmul(ones, a)

    def _pairs(self, a: Array) -> Array:
        """Each two side by side: (..., pairs, 2, rows, columns)."""
        *lead, blocks, rows, columns = a.shape
        return self.arrays.reshape(a, (*lead, blocks // 2, 2, rows, columns))

    def _rows(self, pairs: Array) -> Array:
        """The rows of each two below each other."""
        *lead, two, rows, columns = pairs.shape
        return self.arrays.reshape(pairs, (*lead, two * rows, columns))

    def _two(self, first: Array, second: Array) -> Array:
        return self.arrays.concatenate([first[..., None, :, :], second[..., None, :, :]], -3)

    def _steps(self, first: Array, second: Array) -> Array:
        """The inverse of `_pairs`, for two parts."""
        *lead, blocks, rows, columns = first.shape
        return self.arrays.reshape(self._two(first, second), (*lead, 2 * blocks, rows, columns))

    def _square(self, pairs: Array, across: Array) -> Array:
        none = self.arrays.zeros(tuple(across.shape))
        above = self.arrays.concatenate([pairs[..., 0, :, :], none], -1)
        return self.arrays.concatenate([above, self.arrays.concatenate([across, pairs[..., 1, :, :]], -1)], -2)


def turned(arrays: Arrays, a: Array) -> Array:
    """The matrices with rows and columns exchanged."""
    rank = len(a.shape)
    return arrays.permute(a, (*range(rank - 2), rank - 1, rank - 2))
