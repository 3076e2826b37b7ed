"""The program of a layer: lists of PyTorch calls, bound once to preallocated tensors and replayed at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from backends.planning.emission import Call, Kind, Place
from backends.planning.plan import Plan, Product
from backends.planning.streams import Half, in_place, once
from backends.torch_backend.products import for_gradients, quicker
from backends.torch_backend.rows import Rows
from backends.torch_backend.workspace import Bound, Workspace
from rnnspec.contract.arrays import Array
from rnnspec.contract.fixed import Fixed
from rnnspec.tree import Tree

__all__ = ["Program", "replay"]

BOUND_BYTES = 3 << 10
"""The bytes of a call that is bound to the tensors of one step, with three or four views."""


class Program:
    """A plan for one batch size, with room for a number of steps. It serves one call at a time."""

    def __init__(self, plan: Plan, capacity: int, batch: int, dtype: torch.dtype, device: str) -> None:
        self.plan, self.batch = plan, batch
        self.workspace = Workspace(plan, capacity, batch, dtype, device)
        state = plan.schedule.cell.output_state
        received = () if state is None else (_addition(plan.carried[state], plan.output_cotangent),)
        self.pull_calls = (*received, *plan.pull_step)
        self.steps: list[Bound] = []
        self.pulls: dict[int, Bound] = {}
        self.bound: dict[tuple[str, int, int], Bound] = {}
        self.count = 0
        self.holds_maps = False
        """Whether the packed maps are those of parameters that nobody changes."""
        self.input_maps: tuple[Array, Array] | None = None

    def forward(self, params: Tree, inputs: Array, state: Tree, rows: Rows) -> tuple[Array, dict[str, Array]]:
        """Outputs, 0 after the rows' ends, and final state."""
        steps, space = inputs.shape[0], self.workspace
        self._take_parameters(params)
        for name, tensor in state.items():
            space.history[name][0].copy_(tensor)
        if self.plan.x is not None:
            self._over(self.plan.x, steps).copy_(inputs)
        replay(self._input_product(params, inputs))
        replay(self._over_time("before", self.plan.before, 0, steps))
        for t in range(len(self.steps), steps):
            self.steps.append(self._bind(self.plan.step, t))
        for calls in self.steps[:steps]:
            replay(calls)
        replay(self._over_time("after", self.plan.after, 0, steps))
        outputs = self._over(self.plan.output, steps)
        features = outputs.shape[-1] if outputs.ndim else 1
        outputs = outputs.expand(steps, self.batch, features).clone(memory_format=torch.contiguous_format)
        return rows.clear(outputs), {name: rows.last(space.history[name]) for name in state}

    def half(self, params: Fixed, features: int) -> Half[Callable[[], Any]]:
        """Step 0 again and again with these parameters, for a stream that has this program for itself."""
        space, plan, when = self.workspace, self.plan, slice(0, 1)
        self._take_parameters(params)
        if self.batch == 1:
            self._turn_maps(params)
        over = in_place(plan)
        for n, block in enumerate(plan.blocks):
            if block.kind is Kind.OLD and block.state in over:
                space.tensors[n] = space.history[block.state][1:]
        early, before = once(plan)
        replay(space.bind(early, when))
        receive, first = self._receiving(params, features)
        calls: Bound = [partial(a[0].copy_, a[1]) for name, a in space.history.items() if name not in over]
        calls += first + space.bind(before, when) + space.bind(plan.step, 0) + space.bind(plan.after, when)
        output = self._over(plan.output, 1)
        outputs = output.expand(1, self.batch, output.shape[-1] if output.ndim else 1)[0]
        return Half(receive, calls, outputs, {name: a[1] for name, a in space.history.items()})

    def _receiving(self, params: Fixed, features: int) -> tuple[Callable[[Array], Callable[[], Any]], Bound]:
        """What receives a step: the product itself where nothing else reads `x`; and the calls right after it."""
        with torch.inference_mode(False):
            x = torch.zeros((self.batch, features), dtype=self.workspace.dtype, device=self.workspace.device)
        product = self._input_product(params, x[None])
        if self.plan.x is None and product:
            (found,) = product
            biases, _, maps = found.args
            return lambda a: partial(found.func, biases, a, maps, **found.keywords), []
        kept = [partial(self._over(self.plan.x, 1).copy_, x)] if self.plan.x is not None else []
        return lambda a: partial(x.copy_, a), [*kept, *product]

    def _turn_maps(self, params: Fixed) -> None:
        """The same maps, column by column in memory: MKL multiplies a single row by them in two thirds of the time."""
        packs = self.workspace.packs
        packs |= {key: pack.T.contiguous().T if key[0] == "map" else pack for key, pack in packs.items()}
        if self.plan.inputs:
            maps, biases = self._packed_inputs(params)
            self.input_maps = maps.T.contiguous().T, biases

    @property
    def capacity(self) -> int:
        """The most steps of a run."""
        return self.workspace.capacity

    @property
    def bytes(self) -> int:
        """The memory of the tensors, and of the calls that are bound to them."""
        return self.workspace.bytes + BOUND_BYTES * self.count

    def set_aside(self, steps: int) -> list[Array]:
        """Copies of the tensors that the pullback of the last run reads."""
        return self.workspace.set_aside(steps)

    def put_back(self, params: Tree, steps: int, kept: list[Array]) -> None:
        """Put back the tensors of a run that was set aside, with its parameters."""
        self._take_parameters(params)
        self.workspace.put_back(steps, kept)

    def backward(
        self, params: Tree, inputs: Array, cotangent: Array, state_cotangent: Tree, rows: Rows
    ) -> tuple[Tree, Array, dict[str, Array]]:
        """The cotangents of the parameters, the inputs and the initial state, at the values of the last run.

        A row's carried cotangents are 0 until its last step, where they become those of its final states.
        """
        steps, chunk = cotangent.shape[0], self.workspace.chunk
        self._over(self.plan.output_cotangent, steps).copy_(cotangent)
        for name in state_cotangent:
            self._carried(name).zero_()
        for low in reversed(range(0, steps, chunk)):
            high = min(steps, low + chunk)
            replay(self._over_time("factors", self.plan.pull_before, low, high))
            for first, end in rows.stretches(low, high):
                self._receive(state_cotangent, rows, end)
                for t in reversed(range(first, end)):
                    replay(self._pull(t))
        self._receive(state_cotangent, rows, 0)
        replay(self._over_time("pulled", self.plan.pull_after, 0, steps))
        own, found = self._gradients(params, inputs, rows)
        return own, found, {name: self._carried(name).clone() for name in state_cotangent}

    def _receive(self, state_cotangent: Tree, rows: Rows, end: int) -> None:
        if end in rows.ends:
            for name, tensor in state_cotangent.items():
                rows.receive(end, tensor, self._carried(name))

    def _pull(self, t: int) -> Bound:
        """The calls of a backward step; each step is always in the same chunk."""
        if t not in self.pulls:
            self.pulls[t] = self._bind(self.pull_calls, t, t - t % self.workspace.chunk)
        return self.pulls[t]

    def _over_time(self, what: str, calls: Iterable[Call], low: int, high: int) -> Bound:
        key = (what, low, high)
        if key not in self.bound:
            self.bound[key] = self._bind(tuple(calls), slice(low, high), low)
        return self.bound[key]

    def _bind(self, calls: Sequence[Call], when: int | slice, chunk_start: int = 0) -> Bound:
        """As the workspace does it; all of them are kept, and counted."""
        self.count += len(calls)
        return self.workspace.bind(calls, when, chunk_start)

    def _take_parameters(self, params: Tree) -> None:
        if self.holds_maps:
            return
        self.holds_maps, space = isinstance(params, Fixed), self.workspace
        for (_, maps), pack in space.packs.items():
            torch.cat([params["U"][name] for name, _ in maps], out=pack)
        for n, node in enumerate(self.plan.nodes):
            if node.op == "vector" and n in self.plan.places:
                self._over(self.plan.places[n], 0).copy_(params["p"][node.name])

    def _input_product(self, params: Tree, inputs: Array) -> list[partial[Any]]:
        """The product of all input maps over all steps; they are one block, in the order of their places."""
        if not self.plan.inputs:
            return []
        maps, biases = self._packed_inputs(params)
        block = self.workspace.tensors[self.plan.inputs[0][2].block][: inputs.shape[0]]
        x = _flat(inputs)
        return [partial(quicker(x, maps.T).added, biases, x, maps.T, out=_flat(block))]

    def _packed_inputs(self, params: Tree) -> tuple[Array, Array]:
        """The input maps below each other, and the biases."""
        if self.input_maps is not None:
            return self.input_maps
        names = [name for name, _, _ in sorted(self.plan.inputs, key=lambda entry: entry[2].low)]
        packed = torch.cat([params["W"][n] for n in names]), torch.cat([params["b"][n] for n in names])
        self.input_maps = packed if isinstance(params, Fixed) else None
        return packed

    def _gradients(self, params: Tree, inputs: Array, rows: Rows) -> tuple[Tree, Array]:
        """The gradients: one product over all steps for each stretch of cotangents."""
        steps, x = inputs.shape[0], _flat(inputs)
        own: dict[str, dict[str, Array]] = {kind: {} for kind in params}
        found = self._of_x(steps, rows)
        for product in self.plan.input_gradients:
            delta = _flat(rows.clear(self._over(product.cotangents, steps)))
            own["W"] |= _split(_of_maps(delta, x), product, params["W"])
            own["b"] |= _split(delta.sum(0), product, params["b"])
            maps = torch.cat([params["W"][name] for name in product.names])
            products = quicker(delta, maps)
            found = products.product(delta, maps) if found is None else products.added(found, delta, maps, out=found)
        for product in self.plan.map_gradients:
            assert product.operand is not None
            operand = self._over(product.operand, steps)
            kept = rows.lengths is not None and product.operand.block in self.plan.read_again
            operand = self._operand(operand.clone() if kept else operand, rows)
            delta = _flat(rows.clear(self._over(product.cotangents, steps)))
            for name, part in _split(_of_maps(delta, _flat(operand)), product, params["U"]).items():
                own["U"][name] = own["U"][name] + part if name in own["U"] else part
        for name, place in self.plan.vector_gradients:
            own["p"][name] = _flat(rows.clear(self._over(place, steps)).expand(steps, self.batch, -1)).sum(0)
        for kind, maps in params.items():
            own[kind] |= {name: torch.zeros_like(a) for name, a in maps.items() if name not in own[kind]}
        return own, torch.zeros_like(inputs) if found is None else found.reshape(inputs.shape)

    def _of_x(self, steps: int, rows: Rows) -> Array | None:
        """The cotangents of `x` itself, of every step and row, or None where no equation reads it."""
        if self.plan.x_gradient is None:
            return None
        found = rows.clear(self._over(self.plan.x_gradient, steps))
        width = found.shape[-1] if found.ndim else 1
        return found.expand(steps, self.batch, width).reshape(-1, width).clone()

    def _operand(self, operand: Array, rows: Rows) -> Array:
        """The operand of a map's gradient at every step and in every row; a number is equal in all."""
        if operand.ndim < 3:
            return operand.expand(rows.steps, self.batch, operand.shape[-1] if operand.ndim else 1)
        return rows.clear(operand)

    def _over(self, place: Place, steps: int) -> Array:
        return self.workspace.view(place, slice(0, steps))

    def _carried(self, state: str) -> Array:
        return self.workspace.tensors[self.plan.carried[state].block]


def _addition(to: Place, what: Place) -> Call:
    return Call("add", (to, what), to)


def replay(calls: Iterable[Callable[[], Any]]) -> None:
    """Run bound calls."""
    for call in calls:
        call()


def _flat(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def _of_maps(delta: Array, operand: Array) -> Array:
    return for_gradients(delta.T, operand).product(delta.T, operand)


def _split(found: Array, product: Product, params: dict[str, Array]) -> dict[str, Array]:
    """The gradient of each map, from that of a stretch."""
    parts = found.split([params[name].shape[0] for name in product.names])
    return dict(zip(product.names, parts, strict=True))
