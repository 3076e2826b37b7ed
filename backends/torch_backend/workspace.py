"""The tensors of a plan for one batch size and up to a number of steps, and its calls, bound to them once.

The places of a block lie side by side in every row. A bound call takes no arguments, so that a loop over steps is a
list of calls on fixed memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import torch

from backends.planning.emission import Block, Call, Kind, Place
from backends.planning.plan import PRODUCTS, Plan
from backends.torch_backend.functions import FUNCTIONS
from backends.torch_backend.products import quicker
from rnnspec.contract.arrays import Array

__all__ = ["Bound", "Workspace"]

Bound = list[Callable[[], Any]]

CHUNK_BYTES = 1 << 18
"""The most bytes of the factors of one chunk of backward steps, which should stay in the cache of one core."""


class Workspace:
    """Tensors, one for each block; a state's blocks before and after a step share one, a step apart."""

    def __init__(self, plan: Plan, capacity: int, batch: int, dtype: torch.dtype, device: str) -> None:
        self.plan, self.capacity, self.batch, self.dtype, self.device = plan, capacity, batch, dtype, device
        columns = sum(block.columns for block in plan.blocks if block.kind is Kind.CHUNK) or 1
        self.chunk = max(1, min(capacity, CHUNK_BYTES // (batch * columns * dtype.itemsize)))
        self.history: dict[str, Array] = {}
        with torch.inference_mode(False):  # a tensor of that mode cannot be written outside of it
            self.tensors = [self._allocate(block) for block in plan.blocks]
            self.numbers = {
                plan.places[n]: torch.full((), node.value, dtype=dtype, device=device)
                for n, node in enumerate(plan.nodes) if node.op == "constant" and n in plan.places
            }  # fmt: skip
            self.packs = {key: self._empty(shape) for key, shape in self._pack_shapes().items()}

    @cached_property
    def bytes(self) -> int:
        """The memory that the tensors take."""
        return sum(a.nbytes for a in self.tensors)

    def bind(self, calls: Sequence[Call], when: int | slice, chunk_start: int = 0) -> Bound:
        """The calls, bound to the views of one step or of a range of steps; factors are those since `chunk_start`."""
        return [self._bind(call, when, chunk_start) for call in calls]

    def view(self, place: Place, when: int | slice, chunk_start: int = 0) -> Array:
        """The tensor at a place, in one step or over a range of them."""
        if place in self.numbers:
            return self.numbers[place]
        tensor, block = self.tensors[place.block], self.plan.blocks[place.block]
        if block.kind is Kind.CHUNK:
            tensor = tensor[: when.stop - when.start] if isinstance(when, slice) else tensor[when - chunk_start]
        elif block.kind in (Kind.TIME, Kind.OLD, Kind.NEW):
            tensor = tensor[when]
        return tensor if place.high - place.low == block.columns else tensor[..., place.low : place.high]

    def set_aside(self, steps: int) -> list[Array]:
        """Copies of the tensors over time for the first steps; empty where there are none."""
        return [a.clone() for a in self._over_time(steps)]

    def put_back(self, steps: int, kept: list[Array]) -> None:
        """Copy the tensors back that were set aside."""
        for a, copy in zip(self._over_time(steps), kept, strict=True):
            a.copy_(copy)

    def _over_time(self, steps: int) -> list[Array]:
        own = [a[:steps] for b, a in zip(self.plan.blocks, self.tensors, strict=True) if b.kind is Kind.TIME]
        return [*own, *(a[: steps + 1] for a in self.history.values())]

    def _bind(self, call: Call, when: int | slice, chunk_start: int) -> Callable[[], Any]:
        views = [self.view(place, when, chunk_start) for place in (*call.operands, call.out)]
        if call.op in PRODUCTS:
            *summand, operand, out = views
            factors = _as_wide(operand, out), self._matrix(call)
            products = quicker(*factors)
            return partial(products.added if summand else products.product, *summand, *factors, out=out)
        width = (call.out.high - call.out.low) // call.count
        shared = [place.high - place.low == width for place in call.operands]
        if call.count > 1 and any(shared):
            views = [
                view if view.ndim == 0 else view[..., None, :] if alone else view.unflatten(-1, (call.count, width))
                for view, alone in zip(views, [*shared, False], strict=True)
            ]
        *operands, out = views
        if operands and all(operand.ndim < out.ndim for operand in operands):
            operands[0] = _as_wide(operands[0], out)
        return partial(FUNCTIONS[call.op], *operands, out=out)

    def _matrix(self, call: Call) -> Array:
        """The matrix of a product, in which maps are stacked."""
        pack = self.packs[call.op, call.maps]
        return pack.T if call.op == "map" else pack

    def _allocate(self, block: Block) -> Array:
        if block.kind in (Kind.OLD, Kind.NEW):
            if block.state not in self.history:
                self.history[block.state] = self._empty((self.capacity + 1, self.batch, block.columns))
            return self.history[block.state][:-1] if block.kind is Kind.OLD else self.history[block.state][1:]
        axes = {Kind.TIME: (self.capacity, self.batch), Kind.CHUNK: (self.chunk, self.batch), Kind.STEP: (self.batch,)}
        shape = (*axes.get(block.kind, ()), block.columns)
        return torch.empty(shape, dtype=torch.bool, device=self.device) if block.condition else self._empty(shape)

    def _empty(self, shape: tuple[int, ...]) -> Array:
        return torch.empty(shape, dtype=self.dtype, device=self.device)

    def _pack_shapes(self) -> dict[tuple[Any, ...], tuple[int, int]]:
        plan = self.plan
        phases = (plan.before, plan.step, plan.after, plan.pull_before, plan.pull_step, plan.pull_after)
        products = (call for phase in phases for call in phase if call.op in PRODUCTS)
        shapes = {}
        for call in products:
            into, out = call.operands[-1].high - call.operands[-1].low, call.out.high - call.out.low
            shapes[call.op, call.maps] = (out, into) if call.op == "map" else (into, out)
        return shapes


def _as_wide(operand: Array, out: Array) -> Array:
    """An operand with the rows of the result, since PyTorch would resize the result to an operand without rows."""
    if operand.ndim >= out.ndim:
        return operand
    return operand.expand(*out.shape[:-1], operand.shape[-1] if operand.ndim else out.shape[-1])
