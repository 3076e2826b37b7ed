"""The reads of a chunk and its writes, where each key has a decay of its own, where all keys have one, and without.

Where all keys have one decay, the decays between all steps are found alone, and multiply the products of queries and
keys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.running.halves import Halves, Met, turned

__all__ = ["ByKey", "ByNumber", "Meeting", "Undecayed"]

Streams = tuple[Array, Array, Array | None]
"""Queries (..., steps, reads, key), keys (..., steps, writes, key), and the decay (..., steps, 1, key or 1) or None."""


class Meeting(Protocol):
    """How reads and writes of a chunk meet."""

    def join(self, given: Streams) -> Met:
        """The chunk of all steps."""

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array | None
    ) -> Streams:
        """The cotangents of the streams, from those of what `join` returns."""


@dataclass(frozen=True)
class ByKey:
    """Each key decays by itself."""

    halves: Halves

    def join(self, given: Streams) -> Met:
        return self.halves.join(*given)

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array | None
    ) -> Streams:
        return self.halves.pull(met, given, products, queries, keys, decay)


@dataclass(frozen=True)
class ByNumber:
    """All keys decay by one number."""

    arrays: Arrays
    halves: Halves

    def join(self, given: Streams) -> Met:
        query, key, decay = given
        multiply, queries, keys = self.arrays.functions["multiply"], self._flat(query), self._flat(key)
        decays = self.halves.join(*self._ones(query, key), decay)
        products = multiply(self.arrays.matmul(queries, turned(self.arrays, keys)), decays.products)
        return replace(decays, products=products, queries=multiply(queries, decays.queries),
                       keys=multiply(keys, decays.keys))  # fmt: skip

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array | None
    ) -> Streams:
        query, key, factor = given
        f, matmul = self.arrays.functions, self.arrays.matmul
        rows, columns = self._flat(query), self._flat(key)
        ones = self._ones(query, key)
        decays = self.halves.join(*ones, factor)
        reached = f["multiply"](products, decays.products)
        between = f["multiply"](products, matmul(rows, turned(self.arrays, columns)))
        since = self.arrays.sum(f["multiply"](queries, rows), (-1,), True)
        until = self.arrays.sum(f["multiply"](keys, columns), (-1,), True)
        _, _, own = self.halves.pull(decays, (*ones, factor), between, since, until, self._summed(decay))
        queries = f["add"](matmul(reached, columns), f["multiply"](queries, decays.queries))
        keys = f["add"](matmul(turned(self.arrays, reached), rows), f["multiply"](keys, decays.keys))
        return self.arrays.reshape(queries, tuple(query.shape)), self.arrays.reshape(keys, tuple(key.shape)), own

    def _ones(self, query: Array, key: Array) -> tuple[Array, Array]:
        """Queries and keys of one feature that is 1."""
        one = self.arrays.scalar(1.0)
        zeros = (self.arrays.zeros((*a.shape[:-1], 1)) for a in (query, key))
        queries, keys = (self.arrays.functions["add"](a, one) for a in zeros)
        return queries, keys

    def _summed(self, decay: Array) -> Array:
        return decay if decay.shape[-1] == 1 else self.arrays.sum(decay, (-1,), True)

    def _flat(self, a: Array) -> Array:
        return _flat(self.arrays, a)


@dataclass(frozen=True)
class Undecayed:
    """Nothing decays: a read finds all earlier writes alike, and the decay and its cotangent are None."""

    arrays: Arrays
    halves: Halves

    def join(self, given: Streams) -> Met:
        queries, keys = _flat(self.arrays, given[0]), _flat(self.arrays, given[1])
        products = self.arrays.matmul(queries, turned(self.arrays, keys))
        return Met(self.arrays.functions["multiply"](products, self._earlier(given)), queries, keys, None, ())

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array | None
    ) -> Streams:
        add, matmul = self.arrays.functions["add"], self.arrays.matmul
        reached = self.arrays.functions["multiply"](products, self._earlier(given))
        found = add(queries, matmul(reached, met.keys)), add(keys, matmul(turned(self.arrays, reached), met.queries))
        query, key = (self.arrays.reshape(d, tuple(a.shape)) for d, a in zip(found, given[:2], strict=True))
        return query, key, None

    def _earlier(self, given: Streams) -> Array:
        """1 where a read finds a write, and 0 for others (reads, writes)."""
        (*_, steps, reads, _), (*_, writes, _) = given[0].shape, given[1].shape
        one, zeros = self.arrays.scalar(1.0), self.arrays.zeros
        ones = (self.arrays.functions["add"](zeros((steps, each, 1)), one) for each in (reads, writes, 1))
        return self.halves.join(*ones).products


def _flat(arrays: Arrays, a: Array) -> Array:
    """The reads or writes of all steps in one axis."""
    *lead, steps, each, width = a.shape
    return arrays.reshape(a, (*lead, steps * each, width))
