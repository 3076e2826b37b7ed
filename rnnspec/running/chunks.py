"""A matrix state by chunks: products of matrices within each chunk, and the state carried from chunk to chunk.

`S' = diag(decay) S + sum of outer(key, value)`, with reads `query @ S` before or after the step. Within a chunk the
reads are `queries @ S + products @ values` for the S at its beginning. With a feedback, values are
`value + feedback * reads`, so that they are `own + through @ S`, by the triangular system of the chunk.
The pullback of the states is the same recurrence, turned around.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.running.halves import Halves, Met, turned
from rnnspec.running.meeting import ByKey, ByNumber, Meeting, Undecayed
from rnnspec.running.triangular import System, solve, solve_turned, system

__all__ = ["ChunkScan", "Given", "Groups", "Ran"]


@dataclass(frozen=True)
class Given:
    """The streams of all chunks: queries (chunks, ..., steps, reads, key), keys (chunks, ..., steps, writes, key),
    decay (chunks, ..., steps, 1, key or 1) or None, values (chunks, ..., steps, writes, value), and the feedback
    (chunks, ..., steps, writes, fed) or None. Cotangents of them are in the same shapes."""

    queries: Array
    keys: Array
    decay: Array | None
    values: Array
    feedback: Array | None

    @property
    def met(self) -> tuple[Array, Array, Array | None]:
        """The streams that say how reads and writes meet."""
        return self.queries, self.keys, self.decay

    def part(self, low: int, high: int) -> Given:
        """The streams of some chunks."""
        decay, fed = (None if a is None else a[low:high] for a in (self.decay, self.feedback))
        return Given(self.queries[low:high], self.keys[low:high], decay, self.values[low:high], fed)


@dataclass(frozen=True)
class Ran:
    """A run: the reads (chunks, ..., steps, reads, value), the last state, and what the pullback needs."""

    reads: Array
    last: Array
    given: Given
    met: Met
    system: System | None
    written: Array
    through: Array | None
    starts: Array


@dataclass(frozen=True)
class ChunkScan:
    """Runs chunks. The first `before` reads of each step are before it, and the first `fed` of them feed back."""

    arrays: Arrays
    before: int
    fed: int

    def run(self, given: Given, state: Array) -> Ran:
        """The reads and the last state, from `state` (..., key, value)."""
        add, matmul = self.arrays.functions["add"], self.arrays.matmul
        met = self._meeting(given).join(given.met)
        own, through, found = self._flat(given.values), None, None
        values = self._decaying(met)
        if given.feedback is not None:
            writes = given.keys.shape[-2]
            found = system(self.arrays, self._fed(given.feedback, self._apart(given, met.products)), writes)
            own = solve(self.arrays, found, own)
            through = solve(self.arrays, found, self._fed(given.feedback, self._apart(given, met.queries)))
            values |= {"vectors": own, "read": through, "written": turned(self.arrays, met.keys)}
        else:
            values["own"] = matmul(turned(self.arrays, met.keys), own)
        chained, last = self._chain(values, state, reverse=False)
        starts, own = chained["start"], chained.get("vectors", own)
        reads = add(matmul(met.queries, starts), matmul(met.products, own))
        return Ran(self._apart(given, reads), last, given, met, found, own, through, starts)

    def pull(self, ran: Ran, reads: Array, last: Array) -> tuple[Given, Array]:
        """The cotangents of the streams and of the first state, from those of the reads and of the last state."""
        arrays, met, given = self.arrays, ran.met, ran.given
        matmul, found = arrays.matmul, self._flat(reads)
        written, feedback = matmul(turned(arrays, met.products), found), None
        values = self._decaying(met) | {"own": matmul(turned(arrays, met.queries), found)}
        if ran.through is not None:
            values |= {"vectors": written, "read": met.keys, "written": turned(arrays, ran.through)}
        chained, first = self._chain(values, last, reverse=True)
        ends = chained["start"]
        if ran.system is None:
            written = arrays.functions["add"](written, matmul(met.keys, ends))
        else:
            written = solve_turned(arrays, ran.system, chained["vectors"])
            feedback, found = self._feedback(ran, written, reads)
        products = matmul(found, turned(arrays, ran.written))
        queries = matmul(found, turned(arrays, ran.starts))
        keys = matmul(ran.written, turned(arrays, ends))
        streams = self._meeting(given).pull(given.met, met, products, queries, keys, self._of_decay(ran, ends))
        return Given(*streams, arrays.reshape(written, tuple(given.values.shape)), feedback), first

    def _meeting(self, given: Given) -> Meeting:
        halves = Halves(self.arrays, self.before)
        if given.decay is None:
            return Undecayed(self.arrays, halves)
        return ByNumber(self.arrays, halves) if given.decay.shape[-1] == 1 else ByKey(halves)

    def _decaying(self, met: Met) -> Values:
        return {} if met.decay is None else {"decay": turned(self.arrays, met.decay)}

    def _of_decay(self, ran: Ran, ends: Array) -> Array | None:
        """The cotangent of a chunk's decay of each key, from those of the states at its end."""
        if ran.met.decay is None:
            return None
        kept = self.arrays.functions["multiply"](ends, ran.starts)
        return turned(self.arrays, self.arrays.sum(kept, (-1,), True))

    def _feedback(self, ran: Ran, written: Array, reads: Array) -> tuple[Array, Array]:
        """The cotangents of the feedback, and of all reads with what reaches them through the values."""
        given, fed, f = ran.given, self.fed, self.arrays.functions
        values = self.arrays.reshape(written, tuple(given.values.shape))
        own = self.arrays.matmul(values, turned(self.arrays, ran.reads[..., :fed, :]))
        back = self.arrays.matmul(turned(self.arrays, given.feedback), values)
        first = f["add"](reads[..., :fed, :], back)
        return own, self._flat(self.arrays.concatenate([first, reads[..., fed:, :]], -2))

    def _fed(self, feedback: Array, queries: Array) -> Array:
        """The feedback times what the fed reads are made of: (chunks, ..., writes of all steps, columns)."""
        product = self.arrays.functions["multiply"](feedback[..., None], queries[..., None, : self.fed, :])
        return self._flat(self.arrays.sum(product, (-2,), False))

    def _chain(self, values: Values, state: Array, reverse: bool) -> tuple[Values, Array]:
        """The states from which the chunks start, and the last one: `S' = decay S + own + written (vectors + read S)`.

        The vectors in parentheses are found with the states, where there are any.
        """
        add, multiply, matmul = self.arrays.functions["add"], self.arrays.functions["multiply"], self.arrays.matmul

        def body(carried: Values, now: Values, t: Any) -> tuple[Values, Values]:
            begun = carried["state"]
            new, kept = multiply(now["decay"], begun) if "decay" in now else begun, {"start": begun}
            if "own" in now:
                new = add(new, now["own"])
            if "read" in now:
                kept["vectors"] = add(now["vectors"], matmul(now["read"], begun))
                new = add(new, matmul(now["written"], kept["vectors"]))
            return {"state": new}, kept

        last, kept = self.arrays.scan(body, {"state": state}, values, next(iter(values.values())).shape[0], reverse)
        return kept, last["state"]

    def _flat(self, a: Array) -> Array:
        """Reads or writes of all steps in one axis."""
        *lead, steps, each, width = a.shape
        return self.arrays.reshape(a, (*lead, steps * each, width))

    def _apart(self, given: Given, a: Array) -> Array:
        """Reads of all steps by step."""
        *lead, _, width = a.shape
        steps, reads = given.queries.shape[-3:-1]
        return self.arrays.reshape(a, (*lead, steps, reads, width))


@dataclass(frozen=True)
class Groups:
    """Runs groups of `size` chunks one after the other, whose values then stay in the cache."""

    scan: ChunkScan
    size: int

    def run(self, given: Given, state: Array) -> tuple[Array, Array, list[Ran]]:
        """The reads, the last state, and the runs of all groups."""
        ran: list[Ran] = []
        for low in range(0, given.keys.shape[0], self.size):
            ran.append(self.scan.run(given.part(low, low + self.size), state))
            state = ran[-1].last
        return self._joined([each.reads for each in ran]), state, ran

    def pull(self, ran: list[Ran], reads: Array, last: Array) -> tuple[Given, Array]:
        """The cotangents of the streams and of the first state."""
        found: list[Given] = []
        for i, each in reversed(list(enumerate(ran))):
            given, last = self.scan.pull(each, reads[i * self.size : (i + 1) * self.size], last)
            found.insert(0, given)
        fed = None if found[0].feedback is None else self._joined([g.feedback for g in found])
        queries, keys = self._joined([g.queries for g in found]), self._joined([g.keys for g in found])
        decay = None if found[0].decay is None else self._joined([g.decay for g in found])
        return Given(queries, keys, decay, self._joined([g.values for g in found]), fed), last

    def _joined(self, parts: Sequence[Array]) -> Array:
        return parts[0] if len(parts) == 1 else self.scan.arrays.concatenate(parts, 0)
