"""The arrays of PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from backends.torch_backend.functions import ELEMENTWISE
from rnnspec.contract.arrays import Array, Scan, Values

__all__ = ["TorchArrays"]


class TorchArrays:
    """Tensors of one dtype on one device; the process's default dtype and device have no effect."""

    functions: Mapping[str, Callable[..., Array]]

    def __init__(self, dtype: torch.dtype, device: str) -> None:
        self.dtype, self.device = dtype, device
        self._accumulated = dtype if dtype.itemsize > 2 else torch.float32
        self.functions = {
            **ELEMENTWISE,
            "relu": torch.relu,
            "softplus": lambda a: torch.logaddexp(a, a.new_zeros(())),
            "stop": torch.Tensor.detach,
        }

    def scalar(self, value: float) -> Array:
        return torch.full((), value, dtype=self.dtype, device=self.device)

    as_scalar = scalar

    def zeros(self, shape: Sequence[int]) -> Array:
        return torch.zeros(tuple(shape), dtype=self.dtype, device=self.device)

    def copy(self, a: Array) -> Array:
        return a.clone()

    def steps(self, count: int) -> Array:
        return torch.arange(count, device=self.device)

    def matmul(self, a: Array, b: Array) -> Array:
        return a @ b

    def projection(self, maps: Array, rows: int) -> Callable[[Array], Array]:
        return lambda a: a @ maps.transpose(-1, -2)

    def transpose(self, a: Array) -> Array:
        return a.T

    def permute(self, a: Array, axes: Sequence[int]) -> Array:
        return a.permute(tuple(axes))

    def reshape(self, a: Array, shape: Sequence[int]) -> Array:
        return a.reshape(tuple(shape))

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return torch.cat(list(arrays), axis)

    def sum(self, a: Array, axes: tuple[int, ...] | None, keep: bool) -> Array:
        return a.sum() if axes is None else a.sum(axes, keepdim=keep)

    def largest(self, a: Array) -> Array:
        return a.amax(-1, keepdim=True)

    def flip(self, a: Array) -> Array:
        return a.flip(0)

    def take(self, a: Array, index: Array) -> Array:
        return a.gather(0, index[:, :, None].long().expand(-1, -1, a.shape[2]))

    def gather(self, table: Array, index: Array) -> Array:
        # Where PyTorch differentiates, it adds up the rows' cotangents in the dtype of the table.
        wide = table.to(self._accumulated) if torch.is_grad_enabled() else table
        return wide[index.long().clamp(0, len(wide) - 1)].to(self.dtype)

    def scatter(self, values: Array, index: Array, rows: int) -> Array:
        found = torch.zeros((rows, values.shape[-1]), dtype=self._accumulated, device=self.device)
        places = (index.long().clamp(0, rows - 1),)
        return found.index_put_(places, values.to(found.dtype), accumulate=True).to(self.dtype)

    def one_hot(self, labels: Array, classes: int) -> Array:
        return (labels[..., None] == self.steps(classes)).to(self.dtype)

    def choose(self, holds: Array, one: Callable[[], Any], other: Callable[[], Any]) -> Any:
        return one() if holds else other()

    def scan(self, body: Scan, carried: Values, values: Values, count: int, backwards: bool) -> tuple[Values, Values]:
        steps = range(count)
        records = []
        rows = {key: a.unbind() for key, a in values.items()}  # so that a trace refuses another number of steps
        for t in reversed(steps) if backwards else steps:
            carried, record = body(carried, {key: a[t] for key, a in rows.items()}, t)
            records.append(record)
        if backwards:
            records.reverse()
        return carried, {key: torch.stack([record[key] for record in records]) for key in records[0]}
