"""A plan bound to arrays: one layer's workspace, its lists of NumPy calls, and the runs through them.

A program is a flat list of `(function, operands)`, bound once to views of preallocated arrays and replayed at every
call. Rows are sorted by length, longest first, so that the rows which have a step are the first ones: a ragged batch
runs on shrinking views, and padding is never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_backend.emission import Block, Call, Kind, Place
from backends.numpy_backend.functions import FUNCTIONS
from backends.numpy_backend.plan import Plan, Product
from rnnspec.arrays import NumpyArrays
from rnnspec.graph import Graph
from rnnspec.lowering import evaluate_graph
from rnnspec.policies import STEP
from rnnspec.tree import Tree

__all__ = ["Rows", "Workspace"]

Array = NDArray[Any]
Bound = list[tuple[Callable[..., Any], tuple[Any, ...]]]

CHUNK_BYTES = 1 << 18
"""What a chunk of the factors of the backward loop may take: it should stay in the cache of one core."""


TRANSPOSED_ROWS = 64
"""How many rows of a map are transposed at a time; 64 was the fastest of 16 to 128 for maps of 64 to 1024 columns."""


class Rows:
    """The order of the rows, longest first, and how many of them have each step."""

    def __init__(self, steps: int, batch: int, lengths: Array | None) -> None:
        self.lengths = None if lengths is None or bool((lengths == steps).all()) else lengths
        self.counts: Sequence[int] = [batch] * steps
        if self.lengths is not None:
            self.order = np.argsort(-self.lengths, kind="stable")
            self.sorted_lengths = self.lengths[self.order]
            self.inverse = np.argsort(self.order, kind="stable")
            self.counts = [int(n) for n in (self.lengths[None, :] > np.arange(steps)[:, None]).sum(1)]

    def sort(self, a: Array, axis: int) -> Array:
        """Rows in the order of the program."""
        return a if self.lengths is None else a.take(self.order, axis)

    def unsort(self, a: Array, axis: int) -> Array:
        """Rows in the caller's order, in memory of their own."""
        return a.copy() if self.lengths is None else a.take(self.inverse, axis)

    def clear(self, a: Array) -> None:
        """Zeros where no row has a step; `a` is (time, batch, ...) in the program's order."""
        if self.lengths is not None:
            for t, n in enumerate(self.counts):
                a[t, n:] = 0


class Workspace:
    """The arrays of one layer for one batch size and up to `capacity` steps, and the calls bound to them."""

    def __init__(self, plan: Plan, inputs: int, capacity: int, batch: int, dtype: Any) -> None:
        self.plan, self.capacity, self.batch, self.dtype = plan, capacity, batch, np.dtype(dtype)
        columns = sum(b.columns for b in plan.blocks if b.kind is Kind.CHUNK) or 1
        self.chunk = max(1, min(capacity, CHUNK_BYTES // (batch * columns * self.dtype.itemsize)))
        self.arrays = self._allocate()
        self.x = np.ones((capacity, batch, inputs + 1), self.dtype)
        self.steps: list[Bound] = []
        self.pull_steps: list[Bound] = []
        self.pull_chunks: list[Bound] = []
        self.maps: dict[tuple[str, ...], Array] = {}
        self.scales = {name: node.value or 1.0 for node in plan.nodes if node.op == "map" for name in [node.name]}
        self.numbers = {plan.places[n] for n, node in enumerate(plan.nodes) if node.op == "constant"}
        self.pull_calls = self._with_output_cotangent()
        self.rowed, self.pull_rowed = self._rowed(plan.step), self._rowed(self.pull_calls)
        self._lay_constants()
        self._lay_maps()

    @property
    def bytes(self) -> int:
        """The memory that the arrays take."""
        return sum(a.nbytes for a in self.arrays) + self.x.nbytes

    # Forward.

    def forward(self, params: Tree, inputs: Array, state: Tree, rows: Rows) -> tuple[Array, dict[str, Array]]:
        """Outputs and final state, in the caller's order of rows."""
        steps = inputs.shape[0]
        self._take_parameters(params)
        self.x[:steps, :, :-1] = rows.sort(inputs, 1)
        for name, array in state.items():
            self.history[name][0] = rows.sort(array, 0)
        self._input_product(params, steps)
        _replay(self._bound(self.plan.before, slice(0, steps), 0))
        while len(self.steps) < steps:
            t = len(self.steps)
            self.steps.append(self._bound(self.plan.step, t, t))
        for t, n in enumerate(rows.counts):
            _replay(self.steps[t] if n == self.batch else _first_rows(self.steps[t], self.rowed, n))
        _replay(self._bound(self.plan.after, slice(0, steps), 0))
        outputs = self._whole(self.plan.output, steps)
        outputs = rows.unsort(np.broadcast_to(outputs, (steps, self.batch, outputs.shape[-1])), 1)
        if rows.lengths is not None:
            outputs[np.arange(steps)[:, None] >= rows.lengths[None, :]] = 0
        return outputs, {name: self._final(name, steps, rows) for name in state}

    def _final(self, state: str, steps: int, rows: Rows) -> Array:
        history = self.history[state]
        if rows.lengths is None:
            return history[steps].copy()
        return rows.unsort(history[rows.sorted_lengths, np.arange(self.batch)], 0)

    def _input_product(self, params: Tree, steps: int) -> None:
        if not self.plan.inputs:
            return
        block = self.plan.inputs[0][2].block
        packed = np.empty((self.plan.blocks[block].columns, self.x.shape[-1]), self.dtype)
        x, apart = _flat(self.x[:steps]), self._is_apart(self.plan.blocks[block])
        for name, scale, place in self.plan.inputs:
            maps = packed[place.low : place.high]
            np.multiply(params["W"][name], self.dtype.type(scale), maps[:, :-1])
            np.multiply(params["b"][name], self.dtype.type(scale), maps[:, -1])
            if apart:
                np.matmul(x, maps.T, out=_flat(self._whole(place, steps)))
        if not apart:
            np.matmul(x, packed.T, out=_flat(self.arrays[block][:steps]))

    # Backward.

    def backward(
        self, params: Tree, cotangent: Array, state_cotangent: Tree, rows: Rows, seams: dict[str, Graph | None]
    ) -> tuple[Tree, Array, dict[str, Array]]:
        """The cotangents of the parameters, the inputs and the initial state, in the caller's order of rows."""
        steps = cotangent.shape[0]
        self._whole(self.plan.output_cotangent, steps)[...] = rows.sort(cotangent, 1)
        for name, array in state_cotangent.items():
            self.arrays[self.plan.carried[name].block][...] = rows.sort(array, 0)
        for low in reversed(range(0, steps, self.chunk)):
            _replay(self._chunk_calls(low, min(steps, low + self.chunk)))
            for t in reversed(range(low, min(steps, low + self.chunk))):
                self._pull_step(t, rows.counts[t], seams)
        _replay(self._bound(self.plan.pull_after, slice(0, steps), 0))
        own, inputs = self._gradients(params, steps, rows)
        first = {name: rows.unsort(self.arrays[place.block], 0) for name, place in self.plan.carried.items()}
        return own, inputs, first

    def _chunk_calls(self, low: int, high: int) -> Bound:
        if high - low < self.chunk:
            return self._bound(self.plan.pull_before, slice(low, high), low)
        index = low // self.chunk
        while len(self.pull_chunks) <= index:
            start = len(self.pull_chunks) * self.chunk
            self.pull_chunks.append(self._bound(self.plan.pull_before, slice(start, start + self.chunk), start))
        return self.pull_chunks[index]

    def _pull_step(self, t: int, n: int, seams: dict[str, Graph | None]) -> None:
        while len(self.pull_steps) <= t:
            u = len(self.pull_steps)
            self.pull_steps.append(self._bound(self.pull_calls, u, u - u % self.chunk))
        calls = self.pull_steps[t] if n == self.batch else _first_rows(self.pull_steps[t], self.pull_rowed, n)
        if seams["total"] is None:
            _replay(calls)
        else:
            received = len(self.pull_calls) - len(self.plan.pull_step)
            _replay(calls[:received])
            self._control(seams["total"], t, n)
            _replay(calls[received:])
        if seams["carry"] is not None and t > 0:
            self._control(seams["carry"], t, n)

    def _with_output_cotangent(self) -> tuple[Call, ...]:
        """The calls of a backward step, after the output's cotangent is added where the output is a state."""
        state = self.plan.schedule.cell.output_state
        if state is None:
            return self.plan.pull_step
        place = self.plan.carried[state]
        return Call("add", (place, self.plan.output_cotangent), place), *self.plan.pull_step

    def _control(self, seam: Graph, t: int, n: int) -> None:
        carried = {name: self.arrays[place.block][:n] for name, place in self.plan.carried.items()}
        arrays = NumpyArrays(self.dtype)
        found = evaluate_graph(arrays, seam, {**carried, STEP: arrays.as_scalar(t)})
        for name, array in carried.items():
            array[...] = found[name]

    def _gradients(self, params: Tree, steps: int, rows: Rows) -> tuple[Tree, Array]:
        own: dict[str, dict[str, Array]] = {kind: {} for kind in params}
        x = self.x[:steps]
        inputs = None
        for product in self.plan.input_gradients:
            delta = self._cotangents(product, steps, rows)
            found = np.matmul(_flat(delta).T, _flat(x))
            for name, part in _split(found, product.names, params["W"]):
                own["W"][name] = part[:, :-1].copy()
                own["b"][name] = part[:, -1].copy()
            rows_of_maps = np.concatenate([params["W"][name] for name in product.names])
            part = np.matmul(_flat(delta), rows_of_maps).reshape(steps, self.batch, -1)
            inputs = part if inputs is None else inputs + part
        for product in self.plan.map_gradients:
            delta, operand = self._cotangents(product, steps, rows), self._operand(product, steps, rows)
            for name, part in _split(np.matmul(_flat(delta).T, _flat(operand)), product.names, params["U"]):
                own["U"][name] = own["U"][name] + part if name in own["U"] else part
        for name, place in self.plan.vector_gradients:
            delta = self._whole(place, steps)
            rows.clear(delta)
            own["p"][name] = delta.reshape(-1, delta.shape[-1]).sum(0)
        for kind, maps in params.items():
            own[kind] |= {name: np.zeros_like(a) for name, a in maps.items() if name not in own[kind]}
        if inputs is None:
            inputs = np.zeros((steps, self.batch, x.shape[-1] - 1), self.dtype)
        return own, inputs if rows.lengths is None else rows.unsort(inputs, 1)

    def _cotangents(self, product: Product, steps: int, rows: Rows) -> Array:
        delta = self._whole(product.cotangents, steps)
        rows.clear(delta)
        return delta

    def _operand(self, product: Product, steps: int, rows: Rows) -> Array:
        assert product.operand is not None
        operand = self._whole(product.operand, steps)
        if operand.ndim == 1:
            return np.broadcast_to(operand, (steps, self.batch, operand.shape[-1]))
        rows.clear(operand)
        return operand

    # Binding.

    def _allocate(self) -> list[Array]:
        self.history: dict[str, Array] = {}
        sizes = {Kind.TIME: (self.capacity, self.batch), Kind.CHUNK: (self.chunk, self.batch), Kind.STEP: (self.batch,), Kind.FIXED: ()}
        arrays = []
        for block in self.plan.blocks:
            if block.kind in (Kind.OLD, Kind.NEW):
                shape = (self.capacity + 1, self.batch, block.columns)
                history = self.history.setdefault(block.state, np.zeros(shape, self.dtype))
                arrays.append(history[:-1] if block.kind is Kind.OLD else history[1:])
            else:
                places = (block.columns // block.width,) if self._is_apart(block) else ()
                shape = (*places, *sizes[block.kind], block.width if places else block.columns)
                arrays.append(np.zeros(shape, bool if block.condition else self.dtype))
        return arrays

    def _lay_constants(self) -> None:
        for n, node in enumerate(self.plan.nodes):
            if node.op == "constant":
                self.arrays[self.plan.places[n].block][...] = node.value

    def _lay_maps(self) -> None:
        """Room for every pack of recurrent maps: `map` packs (in, out) to multiply with, `transposed` (out, in)."""
        shapes = {}
        for call in (*self.plan.before, *self.plan.step, *self.plan.after):
            if call.op == "map":
                shapes["map", *call.names] = (call.operands[0].high - call.operands[0].low, call.out.high - call.out.low)
        for call in (*self.plan.pull_before, *self.plan.pull_step, *self.plan.pull_after):
            if call.op == "transposed":
                shapes["transposed", *call.names] = (call.operands[0].high - call.operands[0].low, call.out.high - call.out.low)
        self.maps = {key: np.empty(shape, self.dtype) for key, shape in shapes.items()}

    def _take_parameters(self, params: Tree) -> None:
        for (op, *names), pack in self.maps.items():
            low = 0
            for name in names:
                high = low + params["U"][name].shape[0]
                if op == "map":
                    _transpose(params["U"][name], self.dtype.type(self.scales[name]), pack[:, low:high])
                else:
                    pack[low:high] = params["U"][name]
                low = high
        for n, node in enumerate(self.plan.nodes):
            if node.op == "vector" and n in self.plan.places:
                self._whole(self.plan.places[n], 0)[...] = params["p"][node.name] * self.dtype.type(node.value or 1.0)

    def _bound(self, calls: Sequence[Call], when: int | slice, chunk_start: int) -> Bound:
        """The calls, bound to the views of one step or of a range of steps."""
        found: Bound = []
        for call in calls:
            views = [self._view(p, when, chunk_start) for p in (*call.operands, call.out)]
            function = FUNCTIONS[call.op]
            if call.op in ("map", "transposed"):
                views.insert(-1, self.maps[call.op, *call.names])
                plain = views[-1].ndim == 2 and all(v.flags.c_contiguous for v in views)
                function = np.dot if plain else function  # np.dot is quicker to call, but copies what has gaps
            elif call.count > 1:
                views = self._side_by_side(call, views, 2 if isinstance(when, slice) else 1)
            found.append((function, tuple(views)))
        return found

    def _side_by_side(self, call: Call, views: list[Array], axes: int) -> list[Array]:
        """The views of a call for several nodes, as arrays that broadcast.

        Where places lie apart, they are the first axis: all rows of one place are one stretch of memory.
        """
        wide = call.out.high - call.out.low
        width, places = wide // call.count, (*call.operands, call.out)
        if self.batch > 1:
            return [self._places_first(v, p, call.count, width, axes) for v, p in zip(views, places, strict=True)]
        if all(self._is_number(p) or p.high - p.low == wide for p in places):
            return views
        return [v if v.ndim == 0 else _lanes(v, call.count, wide) for v in views]

    def _places_first(self, view: Array, place: Place, count: int, width: int, axes: int) -> Array:
        block = self.plan.blocks[place.block]
        if view.ndim == 0 or self._is_apart(block) and place.high - place.low == count * width:
            return view
        if place.high - place.low != count * width:
            return view[None]
        if block.kind is Kind.FIXED:
            return view.reshape(count, *(1,) * axes, width)
        return np.moveaxis(view.reshape(*view.shape[:-1], count, width), -2, 0)

    def _is_apart(self, block: Block) -> bool:
        """Whether each place is an array of its own; a batch of one row needs no such care."""
        return self.batch > 1 and 0 < block.width < block.columns and not block.joined and block.kind is not Kind.FIXED

    def _view(self, place: Place, when: int | slice, chunk_start: int) -> Array:
        array, block = self.arrays[place.block], self.plan.blocks[place.block]
        if self._is_number(place):
            return array.reshape(())
        if self._is_apart(block):
            first, last = place.low // block.width, place.high // block.width
            if last - first > 1:
                return np.moveaxis(self._at(np.moveaxis(array[first:last], 0, -2), block, when, chunk_start), -2, 0)
            return self._at(array[first], block, when, chunk_start)
        array = self._at(array, block, when, chunk_start)
        return array if place.high - place.low == block.columns else array[..., place.low : place.high]

    @staticmethod
    def _at(array: Array, block: Block, when: int | slice, chunk_start: int) -> Array:
        if block.kind in (Kind.TIME, Kind.OLD, Kind.NEW):
            return array[when]
        if block.kind is Kind.CHUNK:
            return array[: when.stop - when.start] if isinstance(when, slice) else array[when - chunk_start]
        return array

    def _is_number(self, place: Place) -> bool:
        block = self.plan.blocks[place.block]
        return block.kind is Kind.FIXED and place in self.numbers

    def _rowed(self, calls: Sequence[Call]) -> list[tuple[bool, ...]]:
        """Of every call's bound operands, whether the first axis is that of rows."""
        found = []
        for call in calls:
            rowed = [self.plan.blocks[p.block].kind is not Kind.FIXED for p in (*call.operands, call.out)]
            if call.op in ("map", "transposed"):
                rowed.insert(-1, False)
            found.append(tuple(rowed))
        return found

    def _whole(self, place: Place, steps: int) -> Array:
        return self._view(place, slice(0, steps), 0)


def _replay(calls: Bound) -> None:
    for function, operands in calls:
        function(*operands)


def _first_rows(calls: Bound, rowed: list[tuple[bool, ...]], n: int) -> Bound:
    """The same calls on the first rows."""
    if n == 0:
        return []
    return [
        (function, tuple(v[..., :n, :] if has_rows else v for v, has_rows in zip(views, flags, strict=True)))
        for (function, views), flags in zip(calls, rowed, strict=True)
    ]


def _transpose(maps: Array, scale: Any, out: Array) -> None:
    """`scale * maps.T`, a few rows at a time: what is read and what is written stay in the cache together."""
    for low in range(0, len(maps), TRANSPOSED_ROWS):
        np.multiply(maps[low : low + TRANSPOSED_ROWS].T, scale, out[:, low : low + TRANSPOSED_ROWS])


def _flat(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def _lanes(a: Array, count: int, wide: int) -> Array:
    if a.shape[-1] == wide:
        return a.reshape(*a.shape[:-1], count, wide // count)
    return a[..., None, :]


def _split(found: Array, names: tuple[str, ...], params: dict[str, Array]) -> list[tuple[str, Array]]:
    parts, low = [], 0
    for name in names:
        high = low + params[name].shape[0]
        parts.append((name, found[low:high]))
        low = high
    return parts
