"""The program of a layer: lists of NumPy calls, bound once to preallocated arrays and replayed at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.numpy_backend.rows import Rows
from backends.numpy_backend.segments import blocks
from backends.numpy_backend.workspace import Bound, BoundCall, Workspace, first_rows
from backends.planning.emission import Call, Kind, Place
from backends.planning.plan import Plan, Product
from backends.planning.streams import Half, in_place, once
from rnnspec.contract.arrays import NumpyArrays
from rnnspec.contract.fixed import Fixed
from rnnspec.control.recurrence import STEP
from rnnspec.running.evaluation import evaluate_graph
from rnnspec.tracing.graph import Graph
from rnnspec.tree import Tree

__all__ = ["Program", "copying", "replay"]

Array = NDArray[Any]

RUNS_KEPT = 4
"""The most steps in bound runs of backward steps, as a multiple of the program's capacity."""

BOUND_BYTES = 1 << 10
"""The bytes of a call that is bound to the arrays of one step, with three or four views."""

TRANSPOSED_BYTES = 1 << 15
"""The part of a map that is transposed at a time, small enough for the first cache."""


class Program:
    """A plan for one batch size, with room for a number of steps. It serves one call at a time."""

    def __init__(self, plan: Plan, inputs: int, capacity: int, batch: int, dtype: Any) -> None:
        self.plan, self.batch = plan, batch
        self.workspace = Workspace(plan, inputs, capacity, batch, dtype)
        state = plan.schedule.cell.output_state
        self.receive = () if state is None else (_addition(plan.carried[state], plan.output_cotangent),)
        pull_calls = (*self.receive, *plan.pull_step)
        self.pull_calls, self.pull_rowed = pull_calls, self.workspace.rowed(pull_calls)
        self.rowed, self.factors_rowed = self.workspace.rowed(plan.step), self.workspace.rowed(plan.pull_before)
        self.holds_maps = False
        """Whether the packed maps are those of parameters that nobody changes."""
        self.input_maps: Array | None = None
        self.runs: list[Bound] = []
        self.pull_runs: dict[tuple[int, int], Bound] = {}

    def forward(self, params: Tree, inputs: Array, state: Tree, rows: Rows) -> tuple[Array, dict[str, Array]]:
        """Outputs and final state, in the caller's order of rows."""
        steps, space = inputs.shape[0], self.workspace
        self._take_parameters(params)
        space.x[:steps, :, :-1] = rows.sort(inputs, 1)
        if self.plan.x is not None:
            self._over(self.plan.x, steps)[...] = space.x[:steps, :, :-1]
        for name, array in state.items():
            space.history[name][0] = rows.sort(array, 0)
        replay(self._input_products(params, steps))
        replay(space.bind(self.plan.before, slice(0, steps)))
        for t in range(len(self.runs), steps):
            self.runs.append(space.in_strips(space.bind(self.plan.step, t), self.rowed))
        if rows.lengths is None:
            replay(chain.from_iterable(self.runs[:steps]))
        else:
            for t, count in enumerate(rows.counts):
                whole = count == self.batch
                replay(self.runs[t] if whole else first_rows(space.bind(self.plan.step, t), self.rowed, count))
        replay(space.bind(self.plan.after, slice(0, steps)))
        outputs = self._over(self.plan.output, steps)
        features = outputs.shape[-1] if outputs.ndim else 1
        outputs = rows.unsort(np.broadcast_to(outputs, (steps, self.batch, features)), 1)
        if rows.lengths is not None:
            outputs[np.arange(steps)[:, None] >= rows.lengths[None, :]] = 0
        return outputs, {name: self._final(name, steps, rows) for name in state}

    def half(self, params: Fixed) -> Half[BoundCall]:
        """Step 0 again and again with these parameters, for a stream that has this program for itself."""
        space, plan, when = self.workspace, self.plan, slice(0, 1)
        self._take_parameters(params)
        over = in_place(plan)
        for n, block in enumerate(plan.blocks):
            if block.kind is Kind.OLD and block.state in over:
                space.arrays[n] = space.history[block.state][1:]
        early, before = once(plan)
        replay(space.bind(early, when))
        x, output = space.x[0, :, :-1], self._over(plan.output, 1)
        calls = [copying(a[0], a[1]) for name, a in space.history.items() if name not in over]
        calls += [copying(self._over(plan.x, 1)[0], x)] if plan.x is not None else []
        calls += self._input_products(params, 1) + space.bind(before, when)
        calls += space.in_strips(space.bind(plan.step, 0), self.rowed) + space.bind(plan.after, when)
        outputs = np.broadcast_to(output, (1, self.batch, output.shape[-1] if output.ndim else 1))[0]
        return Half(partial(copying, x), calls, outputs, {name: a[1] for name, a in space.history.items()})

    @property
    def capacity(self) -> int:
        """The most steps of a run."""
        return self.workspace.capacity

    @property
    def bytes(self) -> int:
        """The memory of the arrays, and of the calls that are bound to them."""
        pulled = sum(len(run) for run in self.pull_runs.values())
        return self.workspace.bytes + BOUND_BYTES * (sum(map(len, self.runs)) + pulled)

    def set_aside(self, steps: int) -> list[Array]:
        """Copies of the arrays that the pullback of the last run reads."""
        return self.workspace.set_aside(steps)

    def put_back(self, params: Tree, steps: int, kept: list[Array]) -> None:
        """Make the run that was set aside the last one; its parameters are given again."""
        self._take_parameters(params)
        self.workspace.put_back(steps, kept)

    def backward(
        self, params: Tree, cotangent: Array, state_cotangent: Tree, rows: Rows, hooks: dict[str, Graph | None],
        sums: Tree = None,
    ) -> tuple[Tree, Array, dict[str, Array]]:
        """The cotangents of the parameters, the inputs and the initial state, in the caller's order of rows.

        The carried cotangent of a row stays that of its final state until the row's last step. The cotangents of the
        parameters are added to `sums`, if given.
        """
        steps, chunk = cotangent.shape[0], self.workspace.chunk
        self._over(self.plan.output_cotangent, steps)[...] = rows.sort(cotangent, 1)
        for name, array in state_cotangent.items():
            self._carried(name)[...] = rows.sort(array, 0)
        for low in reversed(range(0, steps, chunk)):
            high = min(steps, low + chunk)
            if rows.lengths is None and not any(hooks.values()):
                replay(self._pull_run(low, high))
                continue
            replay(self.workspace.bind(self.plan.pull_before, slice(low, high), low))
            for t in reversed(range(low, high)):
                self._pull_step(t, rows.counts[t], hooks)
        replay(self.workspace.bind(self.plan.pull_after, slice(0, steps)))
        own, inputs = self._gradients(params, steps, rows, sums)
        return own, inputs, {name: rows.unsort(self._carried(name), 0) for name in state_cotangent}

    def _final(self, state: str, steps: int, rows: Rows) -> Array:
        history = self.workspace.history[state]
        if rows.lengths is None:
            return np.array(history[steps])
        return rows.unsort(history[rows.sorted_lengths, np.arange(self.batch)], 0)

    def _take_parameters(self, params: Tree) -> None:
        """Pack the recurrent maps and copy the vectors, each times its factor."""
        if self.holds_maps:
            return
        self.holds_maps, space = isinstance(params, Fixed), self.workspace
        for (op, maps), pack in space.packs.items():
            low = 0
            for name, scale in maps:
                high = low + params["U"][name].shape[0]
                if op == "map":
                    _transpose(params["U"][name], space.dtype.type(scale), pack[:, low:high])
                else:
                    pack[low:high] = params["U"][name]
                low = high
        for n, node in enumerate(self.plan.nodes):
            if node.op == "vector" and n in self.plan.places:
                self._over(self.plan.places[n], 0)[...] = params["p"][node.name] * space.dtype.type(node.value or 1.0)

    def _input_products(self, params: Tree, steps: int) -> Bound:
        """The products of all input maps over all steps; a column of ones adds the biases."""
        if not self.plan.inputs:
            return []
        space, block = self.workspace, self.plan.inputs[0][2].block
        packed, found = self._packed_inputs(params), Bound()
        places = [place for _, _, place in self.plan.inputs]
        apart = space.is_apart(self.plan.blocks[block])
        for when in blocks(steps, self.batch):
            x = _flat(space.x[when])
            for place in places if apart else ():
                found.append((np.matmul, (x, packed[place.low : place.high].T, _flat(space.view(place, when)))))
            if not apart:
                found.append((np.matmul, (x, packed.T, _flat(space.arrays[block][when]))))
        return found

    def _packed_inputs(self, params: Tree) -> Array:
        """The input maps below each other, each times its factor; the last column are the biases."""
        if self.input_maps is not None:
            return self.input_maps
        space = self.workspace
        packed = np.empty((self.plan.blocks[self.plan.inputs[0][2].block].columns, space.x.shape[-1]), space.dtype)
        for name, scale, place in self.plan.inputs:
            maps = packed[place.low : place.high]
            np.multiply(params["W"][name], space.dtype.type(scale), maps[:, :-1])
            np.multiply(params["b"][name], space.dtype.type(scale), maps[:, -1])
        self.input_maps = packed if isinstance(params, Fixed) else None
        return packed

    def _pull_run(self, low: int, high: int) -> Bound:
        """The calls of a chunk of backward steps, its factors first."""
        if (low, high) not in self.pull_runs:
            bound = self.workspace.bind(self.plan.pull_before, slice(low, high), low)
            for t in reversed(range(low, high)):
                bound += self.workspace.bind(self.pull_calls, t, low)
            rowed = self.factors_rowed + self.pull_rowed * (high - low)
            self.pull_runs[low, high] = self.workspace.in_strips(bound, rowed)
            self._forget_runs()
        return self.pull_runs[low, high]

    def _forget_runs(self) -> None:
        """Drop the oldest bound runs: each length of sequence has its own last run."""
        while sum(high - low for low, high in self.pull_runs) > RUNS_KEPT * self.workspace.capacity:
            del self.pull_runs[next(iter(self.pull_runs))]

    def _pull_step(self, t: int, count: int, hooks: dict[str, Graph | None]) -> None:
        calls = self.workspace.bind(self.pull_calls, t, t - t % self.workspace.chunk)
        calls = calls if count == self.batch else first_rows(calls, self.pull_rowed, count)
        if hooks["total"] is None:
            replay(calls)
        else:
            replay(calls[: len(self.receive)])
            self._control(hooks["total"], t, count)
            replay(calls[len(self.receive) :])
        if hooks["carry"] is not None and t > 0:
            self._control(hooks["carry"], t, count)

    def _control(self, hook: Graph, t: int, count: int) -> None:
        """Apply a hook of the policy to the carried cotangents of the rows that have this step."""
        carried = {name: self._carried(name)[:count] for name in self.plan.carried}
        arrays = NumpyArrays(self.workspace.dtype)
        found = evaluate_graph(arrays, hook, {**carried, STEP: arrays.as_scalar(t)})
        for name, array in carried.items():
            array[...] = found[name]

    def _gradients(self, params: Tree, steps: int, rows: Rows, sums: Tree) -> tuple[Tree, Array]:
        """One product for each stretch of cotangents and block of steps, the last block first."""
        own: dict[str, dict[str, Array]] = {kind: dict(sums[kind]) if sums else {} for kind in params}
        make = np.empty if self.plan.input_gradients and self.plan.x_gradient is None else np.zeros
        inputs = make((steps, self.batch, self.workspace.x.shape[-1] - 1), self.workspace.dtype)
        for when in reversed(blocks(steps, self.batch)):
            self._add_block(own, params, inputs[when], when, rows)
        for kind, maps in params.items():
            own[kind] |= {name: np.zeros_like(a) for name, a in maps.items() if name not in own[kind]}
        return own, inputs if rows.lengths is None else rows.unsort(inputs, 1)

    def _add_block(self, own: Tree, params: Tree, inputs: Array, when: slice, rows: Rows) -> None:
        """Add the part of a block of steps to the gradients of the parameters, and compute that of its inputs."""
        x, found = _flat(self.workspace.x[when]), _flat(inputs)
        if self.plan.x_gradient is not None:
            inputs += self._cleared(self.plan.x_gradient, when, rows)
        for n, product in enumerate(self.plan.input_gradients):
            delta = _flat(self._cleared(product.cotangents, when, rows))
            for name, part in _split(np.matmul(delta.T, x), product, params["W"]):
                _add(own["W"], name, part[:, :-1])
                _add(own["b"], name, part[:, -1])
            maps = np.concatenate([params["W"][name] for name in product.names])
            if n or self.plan.x_gradient is not None:
                found += np.matmul(delta, maps)
            else:
                np.matmul(delta, maps, out=found)
        for product in self.plan.map_gradients:
            delta, operand = self._cleared(product.cotangents, when, rows), self._operand(product, when, rows)
            for name, part in _split(np.matmul(_flat(delta).T, _flat(operand)), product, params["U"]):
                _add(own["U"], name, part)
        for name, place in self.plan.vector_gradients:
            _add(own["p"], name, _flat(self._cleared(place, when, rows)).sum(0))

    def _cleared(self, place: Place, when: slice, rows: Rows) -> Array:
        """The values at a place over some steps, zeros where no row has one."""
        values = self.workspace.view(place, when)
        rows.clear(values, when)
        return values

    def _operand(self, product: Product, when: slice, rows: Rows) -> Array:
        assert product.operand is not None
        operand = self.workspace.view(product.operand, when)
        if operand.ndim < 3:
            size = (when.stop - when.start, self.batch, operand.shape[-1] if operand.ndim else 1)
            return np.broadcast_to(operand, size)
        operand = operand.copy() if product.operand.block in self.plan.read_again else operand
        rows.clear(operand, when)
        return operand

    def _over(self, place: Place, steps: int) -> Array:
        return self.workspace.view(place, slice(0, steps))

    def _carried(self, state: str) -> Array:
        return self.workspace.arrays[self.plan.carried[state].block]


def _addition(to: Place, what: Place) -> Call:
    return Call("add", (to, what), to)


def copying(to: Array, what: Array) -> BoundCall:
    """The call that copies."""
    return np.copyto, (to, what)


def replay(calls: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]]) -> None:
    """Run bound calls."""
    for function, operands in calls:
        function(*operands)


def _transpose(maps: Array, scale: Any, out: Array) -> None:
    """`scale * maps.T`, scaled first and then transposed a few rows at a time, at least 16 to fill a cache line."""
    scaled = maps if scale == 1 else maps * scale
    rows = max(16, TRANSPOSED_BYTES // (maps.shape[1] * maps.itemsize))
    for low in range(0, len(maps), rows):
        out[:, low : low + rows] = scaled[low : low + rows].T


def _flat(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def _add(sums: dict[str, Array], name: str, part: Array) -> None:
    """Add to a sum, which begins as the first part without gaps."""
    sums[name] = sums[name] + part if name in sums else np.ascontiguousarray(part)


def _split(found: Array, product: Product, params: dict[str, Array]) -> list[tuple[str, Array]]:
    """The gradients of each map, out of those of a stretch."""
    parts, low = [], 0
    for name in product.names:
        high = low + params[name].shape[0]
        parts.append((name, found[low:high]))
        low = high
    return parts
