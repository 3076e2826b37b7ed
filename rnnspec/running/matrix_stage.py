"""A stage of one matrix state: its streams of all steps in chunks, its reads, and the cotangents of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rnnspec.contract.arrays import Array, Arrays, Values
from rnnspec.derivation.parallel import Chunks
from rnnspec.derivation.schedule import Schedule
from rnnspec.running.chunks import ChunkScan, Given, Groups, Ran
from rnnspec.running.halves import turned
from rnnspec.running.marks import Marks
from rnnspec.tracing.graph import iterate
from rnnspec.tracing.ranks import VECTOR

__all__ = ["MatrixStage"]

Valued = Callable[[int, Values], Array]
"""The value of a node over all steps, with all axes."""


@dataclass(frozen=True)
class MatrixStage:
    """Runs chunks of `chunk` steps, a power of 2, among the values of a schedule's nodes.

    Chunks run in groups of at most `at_once` numbers of a stream, or all together where it is None.
    """

    arrays: Arrays
    plan: Schedule
    marks: Marks
    steps: int
    chunk: int
    at_once: int | None

    @property
    def chunks(self) -> int:
        """The number of chunks."""
        return -(-self.steps // self.chunk)

    def run(self, stage: Chunks, values: Values, state: Array, valued: Valued) -> tuple[Array, list[Ran]]:
        """Add the reads of all steps to `values`; return the last state, and the runs of groups of chunks."""
        given = self._given(stage, values, state, valued)
        reads, last, groups = self._groups(stage, given.keys).run(given, self._inner(stage, state))
        leaves = {node.name: index for index, node in iterate(self.plan.cell.graph.nodes, "state")}
        values |= {leaves[read.leaf]: self._over_time(reads[..., i, :])
                   for i, read in enumerate(stage.reads) if read.leaf in leaves}  # fmt: skip
        return self._inner(stage, last), groups

    def pull(
        self, stage: Chunks, ran: list[Ran], values: Values, leaves: Mapping[str, int | None], carried: Array,
        valued: Valued,
    ) -> tuple[dict[str, Array], Array]:
        """The cotangents of the streams by name, and of the first state, from those of the reads' leaves in `values`
        and of the last state."""
        *lead, _, width = ran[0].reads.shape[1:]
        none = self.arrays.zeros((self.chunks, *lead, width))
        reads = [none if index is None else self._in_chunks(self.marks.real(VECTOR, valued(index, values)))
                 for index in (leaves[read.leaf] for read in stage.reads)]  # fmt: skip
        groups = self._groups(stage, ran[0].given.keys)
        found, first = groups.pull(ran, self._beside(reads), self._inner(stage, carried))
        decay: Array = found.decay
        streams = {stage.decay: (decay[..., 0, :], True)} if stage.decay else {}
        streams |= {name: (found.keys[..., j, :], False) for j, name in enumerate(stage.keys)}
        streams |= {name: (found.values[..., j, :], False) for j, name in enumerate(stage.values) if name}
        streams |= {read.query: (found.queries[..., i, :], i < stage.before) for i, read in enumerate(stage.reads)}
        fed: Array = found.feedback
        streams |= {name: (fed[..., j, i : i + 1], False) for (j, i), name in stage.feedback}
        cotangents = {name: self._cotangent(name, a, values, valued, stops) for name, (a, stops) in streams.items()}
        return cotangents, self._inner(stage, first)

    def _groups(self, stage: Chunks, keys: Array) -> Groups:
        """Groups of chunks of at most `at_once` numbers of a stream; all chunks where it is None."""
        size = self.chunks if self.at_once is None else max(1, self.at_once // math.prod(keys.shape[1:]))
        return Groups(ChunkScan(self.arrays, stage.before, stage.fed), size)

    def _inner(self, stage: Chunks, state: Array) -> Array:
        """The state with keys along its rows, or back."""
        return state if stage.keys_are_rows else turned(self.arrays, state)

    def _given(self, stage: Chunks, values: Values, state: Array, valued: Valued) -> Given:
        *lead, keys, width = self._inner(stage, state).shape

        def stream(name: str | None, size: int) -> Array:
            return self._stream(name, (*lead, size), values, valued)

        queries = [stream(read.query, keys) for read in stage.reads]
        queries = [self.marks.going_on(VECTOR, a) if i < stage.before else a for i, a in enumerate(queries)]
        written = [stream(name, keys) for name in stage.keys]
        own = [stream(name, width) for name in stage.values]
        fed = {pair: stream(name, 1) for pair, name in stage.feedback}
        none = self.arrays.zeros((self.steps, *lead, 1)) if fed else None
        feedback = [[self._in_chunks(fed.get((j, i), none)) for i in range(stage.fed)] for j in range(len(written))]
        return Given(
            self._beside(map(self._in_chunks, queries)), self._beside(map(self._in_chunks, written)),
            self._decay(stage, lead, values, valued),
            self._beside(map(self._in_chunks, own)),
            self._beside([self.arrays.concatenate(row, -1) for row in feedback]) if fed else None,
        )  # fmt: skip

    def _stream(self, name: str | None, shape: Sequence[int], values: Values, valued: Valued) -> Array:
        """A stream of all steps, zeros at padded ones, as wide as keys or values are."""
        none = self.arrays.zeros((self.steps, *shape))
        if name is None:
            return none
        a = self.marks.real(VECTOR, valued(self.plan.cell.graph.result(name), values))
        return a if a.shape[-1] == shape[-1] else self.arrays.functions["add"](none, a)

    def _decay(self, stage: Chunks, lead: Sequence[int], values: Values, valued: Valued) -> Array | None:
        """The decay in chunks, 1 at padded steps and 0 at resets; None where every state is kept as it is."""
        if stage.decay is None and self.marks.resets is None:
            return None
        if stage.decay is None:
            a = self.arrays.functions["add"](self.arrays.zeros((self.steps, *lead, 1)), self.arrays.scalar(1.0))
        else:
            a = valued(self.plan.cell.graph.result(stage.decay), values)
        return self._in_chunks(self.marks.real(VECTOR, self.marks.going_on(VECTOR, a), 1.0), 1.0)[..., None, :]

    def _cotangent(self, name: str, a: Array, values: Values, valued: Valued, stops: bool) -> Array:
        """The cotangent of a stream over time: 0 where the stream is not read, and at resets where it `stops`."""
        width = valued(self.plan.cell.graph.result(name), values).shape[-1]
        over_time = self._over_time(a)
        over_time = over_time if over_time.shape[-1] == width else self.arrays.sum(over_time, (-1,), True)
        over_time = self.marks.going_on(VECTOR, over_time) if stops else over_time
        return self.marks.real(VECTOR, over_time)

    def _beside(self, streams: Iterable[Array]) -> Array:
        """Streams of one kind, with an axis for them before the last."""
        return self.arrays.concatenate([a[..., None, :] for a in streams], -2)

    def _in_chunks(self, a: Array, pad: float = 0.0) -> Array:
        """(time, ..., width) as (chunks, ..., steps, width), padded at the end."""
        shape, missing = tuple(a.shape[1:]), self.chunks * self.chunk - self.steps
        if missing:
            rest = self.arrays.functions["add"](self.arrays.zeros((missing, *shape)), self.arrays.scalar(pad))
            a = self.arrays.concatenate([a, rest], 0)
        cut = self.arrays.reshape(a, (self.chunks, self.chunk, *shape))
        inner = len(shape) + 1
        return self.arrays.permute(cut, (0, *range(2, inner), 1, inner))

    def _over_time(self, a: Array) -> Array:
        """The inverse of `_in_chunks`."""
        inner = len(a.shape) - 1
        cut = self.arrays.permute(a, (0, inner - 1, *range(1, inner - 1), inner))
        return self.arrays.reshape(cut, (self.chunks * self.chunk, *cut.shape[2:]))[: self.steps]
