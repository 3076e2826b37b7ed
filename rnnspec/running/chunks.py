"""A matrix state by chunks: products of matrices within each chunk, and the state carried from chunk to chunk.

`S' = diag(decay) S + sum of outer(key, value)`, with reads `query @ S` before or after the step. Within a chunk the
reads are `queries @ S + products @ values` for the S at its beginning. With a feedback, values are
`value + feedback * reads`, so that they are `own + through @ S`, by the inverse of the chunk's triangular system.
The pullback of the states is the same recurrence, turned around.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.running.halves import Halves, Met, turned

__all__ = ["ChunkScan", "Given", "Ran"]


@dataclass(frozen=True)
class Given:
    """The streams of all chunks: queries (chunks, ..., steps, reads, key), keys (chunks, ..., steps, writes, key),
    decay (chunks, ..., steps, 1, key or 1), values (chunks, ..., steps, writes, value), and the feedback
    (chunks, ..., steps, writes, fed) or None. Cotangents of them are in the same shapes."""

    queries: Array
    keys: Array
    decay: Array
    values: Array
    feedback: Array | None


@dataclass(frozen=True)
class Ran:
    """A run: the reads (chunks, ..., steps, reads, value), the last state, and what the pullback needs."""

    reads: Array
    last: Array
    given: Given
    met: Met
    written: Array
    through: Array | None
    starts: Array


@dataclass(frozen=True)
class ChunkScan:
    """Runs chunks with reads in the order that `Halves` asks for."""

    arrays: Arrays
    halves: Halves

    def run(self, given: Given, state: Array) -> Ran:
        """The reads and the last state, from `state` (..., key, value)."""
        add, matmul = self.arrays.functions["add"], self.arrays.matmul
        met = self.halves.join(given.queries, given.keys, given.decay, given.feedback)
        own, through = self._flat(given.values), None
        written = turned(self.arrays, met.keys)
        values: Values = {"decay": turned(self.arrays, met.decay)}
        if met.solved is not None:
            own = matmul(met.solved, own)
            through = matmul(met.solved, self._fed(given.feedback, self._apart(given, met.queries)))
            values["through"] = matmul(written, through)
        values["own"] = matmul(written, own)
        starts, last = self._chain(values, state, reverse=False)
        if through is not None:
            own = add(own, matmul(through, starts))
        reads = add(matmul(met.queries, starts), matmul(met.products, own))
        return Ran(self._apart(given, reads), last, given, met, own, through, starts)

    def pull(self, ran: Ran, reads: Array, last: Array) -> tuple[Given, Array]:
        """The cotangents of the streams and of the first state, from those of the reads and of the last state."""
        arrays, met, given = self.arrays, ran.met, ran.given
        add, multiply, matmul = arrays.functions["add"], arrays.functions["multiply"], arrays.matmul
        found = self._flat(reads)
        written = matmul(turned(arrays, met.products), found)
        values: Values = {"decay": turned(arrays, met.decay), "own": matmul(turned(arrays, met.queries), found)}
        if ran.through is not None:
            back = turned(arrays, ran.through)
            values["own"] = add(values["own"], matmul(back, written))
            values["through"] = matmul(back, met.keys)
        ends, first = self._chain(values, last, reverse=True)
        written, feedback = add(written, matmul(met.keys, ends)), None
        if met.solved is not None:
            written = matmul(turned(arrays, met.solved), written)
            feedback, found = self._feedback(ran, written, reads)
        products = matmul(found, turned(arrays, ran.written))
        queries = matmul(found, turned(arrays, ran.starts))
        keys = matmul(ran.written, turned(arrays, ends))
        kept = turned(arrays, arrays.sum(multiply(ends, ran.starts), (-1,), True))
        decay = kept if met.decay.shape[-1] == kept.shape[-1] else arrays.sum(kept, (-1,), True)
        whole = (given.queries, given.keys, given.decay)
        streams = self.halves.pull(met, whole, products, queries, keys, decay)
        return Given(*streams, arrays.reshape(written, tuple(given.values.shape)), feedback), first

    def _feedback(self, ran: Ran, written: Array, reads: Array) -> tuple[Array, Array]:
        """The cotangents of the feedback, and of all reads with what reaches them through the values."""
        given, fed, f = ran.given, self.halves.fed, self.arrays.functions
        values = self.arrays.reshape(written, tuple(given.values.shape))
        own = self.arrays.matmul(values, turned(self.arrays, ran.reads[..., :fed, :]))
        back = self.arrays.matmul(turned(self.arrays, given.feedback), values)
        first = f["add"](reads[..., :fed, :], back)
        return own, self._flat(self.arrays.concatenate([first, reads[..., fed:, :]], -2))

    def _fed(self, feedback: Array, queries: Array) -> Array:
        """The feedback times what the fed reads are made of: (chunks, ..., writes of all steps, key)."""
        product = self.arrays.functions["multiply"](feedback[..., None], queries[..., None, : self.halves.fed, :])
        return self._flat(self.arrays.sum(product, (-2,), False))

    def _chain(self, values: Values, state: Array, reverse: bool) -> tuple[Array, Array]:
        """The states from which the chunks start, and the last one."""
        f = self.arrays.functions

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            new = f["add"](f["multiply"](now["decay"], carried["state"]), now["own"])
            if "through" in now:
                new = f["add"](new, self.arrays.matmul(now["through"], carried["state"]))
            return {"state": new}, {"start": carried["state"]}

        last, starts = self.arrays.scan(body, {"state": state}, values, values["own"].shape[0], reverse)
        return starts["start"], last["state"]

    def _flat(self, a: Array) -> Array:
        """Reads or writes of all steps in one axis."""
        *lead, steps, each, width = a.shape
        return self.arrays.reshape(a, (*lead, steps * each, width))

    def _apart(self, given: Given, a: Array) -> Array:
        """Reads of all steps by step."""
        *lead, _, width = a.shape
        steps, reads = given.queries.shape[-3:-1]
        return self.arrays.reshape(a, (*lead, steps, reads, width))
