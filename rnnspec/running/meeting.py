"""The reads of a chunk and its writes, where each key has a decay of its own, and where all keys have one.

Where all keys have one decay, the decays between all steps are found alone, and multiply the products of queries and
keys.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from rnnspec.contract.arrays import Array, Arrays
from rnnspec.running.halves import Halves, Met, turned

__all__ = ["ByKey", "ByNumber", "Meeting"]

Streams = tuple[Array, Array, Array]
"""Queries (..., steps, reads, key), keys (..., steps, writes, key), and the decay (..., steps, 1, key or 1)."""


class Meeting(Protocol):
    """How reads and writes of a chunk meet."""

    def join(self, given: Streams) -> Met:
        """The chunk of all steps."""

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array
    ) -> Streams:
        """The cotangents of the streams, from those of what `join` returns."""


@dataclass(frozen=True)
class ByKey:
    """Each key decays by itself."""

    halves: Halves

    def join(self, given: Streams) -> Met:
        return self.halves.join(*given)

    def pull(
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array
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
        self, given: Streams, met: Met, products: Array, queries: Array, keys: Array, decay: Array
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
        *lead, steps, each, width = a.shape
        return self.arrays.reshape(a, (*lead, steps * each, width))
