"""The arrays of a plan for one batch size and up to a number of steps, and the views that calls are bound to.

In a batch of several rows each place of a block is a separate array, so that a call for one gate or for three reads
contiguous memory. Blocks that enter products keep their places side by side in every row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_backend.functions import FUNCTIONS
from backends.planning.emission import Block, Call, Kind, Place
from backends.planning.plan import PRODUCTS, Plan

__all__ = ["Bound", "BoundCall", "Workspace", "aligned", "first_rows"]

Array = NDArray[Any]
BoundCall = tuple[Callable[..., Any], tuple[Any, ...]]
"""A NumPy call with its operands."""
Bound = list[BoundCall]

CHUNK_BYTES = 1 << 18
"""The most bytes of the factors of one chunk of backward steps, which should stay in the cache of one core."""

STRIP_BYTES = 1 << 18
"""The most bytes of its widest array that a call touches. Large batches run a strip of rows at a time, so that the
cache still holds the results of one call when the next one reads them."""

LINE = 64
"""The bytes of a line of the cache."""


class Workspace:
    """Preallocated arrays, one for each block; a state's blocks before and after a step share one, a step apart."""

    def __init__(self, plan: Plan, inputs: int, capacity: int, batch: int, dtype: Any) -> None:
        self.plan, self.capacity, self.batch, self.dtype = plan, capacity, batch, np.dtype(dtype)
        columns = sum(block.columns for block in plan.blocks if block.kind is Kind.CHUNK) or 1
        self.chunk = max(1, min(capacity, CHUNK_BYTES // (batch * columns * self.dtype.itemsize)))
        widest = max(block.columns for block in plan.blocks) * self.dtype.itemsize
        self.strip = max(1, STRIP_BYTES // widest)
        self.numbers = {plan.places[n] for n, node in enumerate(plan.nodes) if node.op == "constant"}
        self.history: dict[str, Array] = {}
        self.arrays = [self._allocate(block) for block in plan.blocks]
        self.x = aligned((capacity, batch, inputs + 1), self.dtype)
        self.x[..., -1] = 1
        self.packs = {key: aligned(shape, self.dtype) for key, shape in self._pack_shapes().items()}
        for n, node in enumerate(plan.nodes):
            if node.op == "constant":
                self.arrays[plan.places[n].block][...] = node.value

    @cached_property
    def bytes(self) -> int:
        """The memory that the arrays take."""
        return sum(a.nbytes for a in (*self.arrays, self.x))

    def bind(self, calls: Sequence[Call], when: int | slice, chunk_start: int = 0) -> Bound:
        """The calls, bound to the views of one step or of a range of steps; factors are those since `chunk_start`."""
        return [self._bind(call, when, chunk_start) for call in calls]

    def in_strips(self, calls: Bound, rowed: Sequence[tuple[bool, ...]]) -> Bound:
        """The same calls a strip of rows at a time, wherever no product needs all rows."""
        if self.strip >= self.batch:
            return calls
        found: Bound = []
        for is_product, group in groupby(
            zip(calls, rowed, strict=True), lambda pair: pair[0][0] in (np.ndarray.dot, FUNCTIONS["map"])
        ):
            run = list(group)
            if is_product:
                found += [call for call, _ in run]
                continue
            for low in range(0, self.batch, self.strip):
                found += _some_rows(
                    [call for call, _ in run], [flags for _, flags in run], slice(low, low + self.strip)
                )
        return found

    def rowed(self, calls: Sequence[Call]) -> list[tuple[bool, ...]]:
        """Of every call's bound operands, whether they have rows."""
        found = []
        for call in calls:
            rowed = [self.plan.blocks[p.block].kind is not Kind.FIXED for p in (*call.operands, call.out)]
            if call.op in PRODUCTS:
                rowed.insert(-1, False)
            found.append(tuple(rowed))
        return found

    def view(self, place: Place, when: int | slice, chunk_start: int = 0) -> Array:
        """The array at a place, in one step or over a range of them; places that lie apart are its first axis."""
        array, block = self.arrays[place.block], self.plan.blocks[place.block]
        if place in self.numbers:
            return array.reshape(())
        if not self.is_apart(block):
            array = array[self._index(block, when, chunk_start)]
            return array if place.high - place.low == block.columns else array[..., place.low : place.high]
        first, last = place.low // block.width, place.high // block.width
        which = first if last - first == 1 else slice(first, last)
        return array[which, *self._index(block, when, chunk_start)]

    def set_aside(self, steps: int) -> list[Array]:
        """Copies of the arrays over time, for the first steps."""
        return [np.array(a) for a in self._over_time(steps)]

    def put_back(self, steps: int, kept: list[Array]) -> None:
        """What was set aside, where it was."""
        for a, copy in zip(self._over_time(steps), kept, strict=True):
            np.copyto(a, copy)

    def _over_time(self, steps: int) -> list[Array]:
        blocks = zip(self.plan.blocks, self.arrays, strict=True)
        own = [a[:, :steps] if self.is_apart(b) else a[:steps] for b, a in blocks if b.kind is Kind.TIME]
        return [self.x[:steps], *own, *(a[: steps + 1] for a in self.history.values())]

    def is_apart(self, block: Block) -> bool:
        """Whether each place is a separate array, which a batch of one row does not need."""
        return self.batch > 1 and 0 < block.width < block.columns and not block.joined and block.kind is not Kind.FIXED

    def _allocate(self, block: Block) -> Array:
        if block.kind in (Kind.OLD, Kind.NEW):
            if block.state not in self.history:
                self.history[block.state] = aligned((self.capacity + 1, self.batch, block.columns), self.dtype)
            return self.history[block.state][:-1] if block.kind is Kind.OLD else self.history[block.state][1:]
        axes = {Kind.TIME: (self.capacity, self.batch), Kind.CHUNK: (self.chunk, self.batch), Kind.STEP: (self.batch,)}
        shape = (*axes.get(block.kind, ()), block.columns)
        if self.is_apart(block):
            shape = (block.columns // block.width, *shape[:-1], block.width)
        return aligned(shape, np.dtype(bool) if block.condition else self.dtype)

    def _pack_shapes(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        """`map` packs are (in, out), to multiply with; `transposed` packs are (out, in)."""
        plan = self.plan
        phases = (plan.before, plan.step, plan.after, plan.pull_before, plan.pull_step, plan.pull_after)
        products = (call for phase in phases for call in phase if call.op in PRODUCTS)
        return {(c.op, c.maps): (c.operands[0].high - c.operands[0].low, c.out.high - c.out.low) for c in products}

    def _bind(self, call: Call, when: int | slice, chunk_start: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        places = (*call.operands, call.out)
        views = [self.view(place, when, chunk_start) for place in places]
        if call.op in PRODUCTS:
            views.insert(-1, self.packs[call.op, call.maps])
            if views[-1].ndim == 2 and all(view.flags.c_contiguous for view in views):
                return np.ndarray.dot, tuple(views)  # quicker to call than matmul, but it copies strided operands
        elif call.count > 1:
            axes = 2 if isinstance(when, slice) else 1
            views = [self._beside(v, p, call, axes) for v, p in zip(views, places, strict=True)]
        return FUNCTIONS[call.op], tuple(views)

    def _beside(self, view: Array, place: Place, call: Call, axes: int) -> Array:
        """A view of a call for several nodes, with an axis for the nodes: of length 1 where they share the place.

        It is the first axis where places lie apart, and else the last but one.
        """
        if view.ndim == 0:
            return view
        count, block = call.count, self.plan.blocks[place.block]
        width = (call.out.high - call.out.low) // count
        shared = place.high - place.low != count * width
        if self.batch == 1:
            return view[..., None, :] if shared else view.reshape(*view.shape[:-1], count, width)
        if shared:
            return view[None]
        if block.kind is Kind.FIXED:
            return view.reshape(count, *(1,) * axes, width)
        return view if self.is_apart(block) else np.moveaxis(view.reshape(*view.shape[:-1], count, width), -2, 0)

    @staticmethod
    def _index(block: Block, when: int | slice, chunk_start: int) -> tuple[int | slice, ...]:
        if block.kind in (Kind.STEP, Kind.FIXED):
            return ()
        if block.kind is Kind.CHUNK:
            return (slice(0, when.stop - when.start) if isinstance(when, slice) else when - chunk_start,)
        return (when,)


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that begin at a line of the cache: a product of one row by a matrix off it takes up to a quarter longer."""
    size = math.prod(shape) * dtype.itemsize
    raw = np.zeros(size + LINE, np.uint8)
    start = -raw.ctypes.data % LINE
    return raw[start : start + size].view(dtype).reshape(shape)


def first_rows(calls: Bound, rowed: Sequence[tuple[bool, ...]], count: int) -> Bound:
    """The same calls on the first `count` rows."""
    return _some_rows(calls, rowed, slice(0, count)) if count else []


def _some_rows(calls: Bound, rowed: Sequence[tuple[bool, ...]], which: slice) -> Bound:
    return [
        (function, tuple(v[..., which, :] if has_rows else v for v, has_rows in zip(views, flags, strict=True)))
        for (function, views), flags in zip(calls, rowed, strict=True)
    ]
