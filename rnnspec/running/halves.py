"""What the reads of a chunk find of its writes: products of queries, keys and the decays between them, by halves.

A read at step i finds `sum over k of query_i[k] key_j[k] decay[k]` of a write at step j, with the product of the decays
in between. A chunk is two halves. Its first half reads nothing of the second one; the second half reads the first one
across the boundary: its queries times the decays since the boundary, by keys times the decays up to there. So decays
are multiplied and never divided by, and all of it is products of matrices. The halves are found in the same way.

Where the values of writes depend on reads, the inverse of that triangular system is found by halves as well.
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
    the whole chunk. `solved` (..., writes, writes) is the inverse of the system of the feedback, None without feedback.
    `boundaries` are those of all halves, of single steps first.
    """

    products: Array
    queries: Array
    keys: Array
    decay: Array
    solved: Array | None
    boundaries: tuple[Boundary, ...]


@dataclass(frozen=True)
class Halves:
    """Joins steps to chunks, whose number of steps is a power of 2.

    The first `before` reads of each step read the state before the step; others read it after the step, so that they
    find what it writes. The first `fed` reads feed back into the values of writes.
    """

    arrays: Arrays
    before: int
    fed: int

    def join(self, queries: Array, keys: Array, decay: Array, feedback: Array | None) -> Met:
        """The chunk of all steps: `queries` (..., steps, reads, key), `keys` (..., steps, writes, key), `decay`
        (..., steps, 1, key or 1), and `feedback` (..., steps, writes, fed), the numbers times reads in values."""
        multiply, boundaries = self.arrays.functions["multiply"], []
        products, queries = self._own(queries, keys), self._after(queries, decay)
        solved = None if feedback is None else self._unit(feedback)
        while decay.shape[-3] > 1:
            (first, late), (early, rest), (one, other) = (self._pairs(a) for a in (queries, keys, decay))
            boundaries.append(Boundary(late, early, (one, other)))
            across = self.arrays.matmul(late, turned(self.arrays, early))
            if solved is not None:
                solved = self._solved(solved, self._fed_across(feedback, across))
            products = self._square(*self._pairs(products), across)
            queries = self._joined(first, multiply(late, one))
            keys = self._joined(multiply(early, other), rest)
            decay = multiply(one, other)
        products, queries, keys, decay = (a[..., 0, :, :] for a in (products, queries, keys, decay))
        return Met(products, queries, keys, decay, None if solved is None else solved[..., 0, :, :], tuple(boundaries))

    def pull(
        self, met: Met, given: tuple[Array, Array, Array], products: Array, queries: Array, keys: Array, decay: Array
    ) -> tuple[Array, Array, Array]:
        """The cotangents of what `join` was given, queries, keys and decay, from those of `met`, but for `solved`."""
        add, multiply, matmul = self.arrays.functions["add"], self.arrays.functions["multiply"], self.arrays.matmul
        products, queries, keys, decay = (a[..., None, :, :] for a in (products, queries, keys, decay))
        for at in reversed(met.boundaries):
            one, other = at.decays
            reads, writes = at.queries.shape[-2], at.keys.shape[-2]
            across = products[..., reads:, :writes]
            late, early = queries[..., reads:, :], keys[..., :writes, :]
            late_cotangent = add(matmul(across, at.keys), multiply(late, one))
            early_cotangent = add(matmul(turned(self.arrays, across), at.queries), multiply(early, other))
            through = (add(self._to(one, multiply(late, at.queries)), multiply(decay, other)),
                       add(self._to(other, multiply(early, at.keys)), multiply(decay, one)))  # fmt: skip
            products = self._steps(products[..., :reads, :writes], products[..., reads:, writes:])
            queries = self._steps(queries[..., :reads, :], late_cotangent)
            keys = self._steps(early_cotangent, keys[..., writes:, :])
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
        decay = add(decay, self._to(factor, multiply(late, query[..., n:, :])))
        late = add(multiply(late, factor), matmul(found, key))
        queries = self.arrays.concatenate([queries[..., :n, :], late], -2) if n else late
        return queries, keys, decay

    def _to(self, decay: Array, a: Array) -> Array:
        """The sum over reads or writes, and over keys where they have one decay."""
        return self.arrays.sum(a, (-2,) if decay.shape[-1] == a.shape[-1] else (-2, -1), True)

    def _pairs(self, a: Array) -> tuple[Array, Array]:
        """The first and the second of each two."""
        *lead, blocks, rows, columns = a.shape
        halves = self.arrays.reshape(a, (*lead, blocks // 2, 2, rows, columns))
        return halves[..., 0, :, :], halves[..., 1, :, :]

    def _steps(self, first: Array, second: Array) -> Array:
        """The inverse of `_pairs`."""
        *lead, blocks, rows, columns = first.shape
        both = self.arrays.concatenate([first[..., None, :, :], second[..., None, :, :]], -3)
        return self.arrays.reshape(both, (*lead, 2 * blocks, rows, columns))

    def _joined(self, first: Array, second: Array) -> Array:
        return self.arrays.concatenate([first, second], -2)

    def _square(self, first: Array, second: Array, across: Array) -> Array:
        none = self.arrays.zeros(tuple(across.shape))
        above = self.arrays.concatenate([first, none], -1)
        return self._joined(above, self.arrays.concatenate([across, second], -1))

    def _unit(self, feedback: Array) -> Array:
        *lead, writes, _ = feedback.shape
        one = self.arrays.one_hot(self.arrays.steps(writes), writes)
        return self.arrays.functions["add"](self.arrays.zeros((*lead, writes, writes)), one)

    def _fed_across(self, feedback: Array, across: Array) -> Array:
        """How the second half's values depend on the first half's: (..., blocks, writes, writes)."""
        *lead, steps, writes, fed = feedback.shape
        blocks, reads, early = across.shape[-3:]
        half = steps // (2 * blocks)
        own = self.arrays.reshape(feedback, (*lead, blocks, 2, half, writes, fed))[..., 1, :, :, :]
        found = self.arrays.reshape(across, (*lead, blocks, half, reads // half, early))[..., : self.fed, :]
        product = self.arrays.functions["multiply"](own[..., None], found[..., None, :, :])
        return self.arrays.reshape(self.arrays.sum(product, (-2,), False), (*lead, blocks, half * writes, early))

    def _solved(self, solved: Array, across: Array) -> Array:
        first, second = self._pairs(solved)
        below = self.arrays.matmul(second, self.arrays.matmul(across, first))
        return self._square(first, second, below)


def turned(arrays: Arrays, a: Array) -> Array:
    """The matrices with rows and columns exchanged."""
    rank = len(a.shape)
    return arrays.permute(a, (*range(rank - 2), rank - 1, rank - 2))
