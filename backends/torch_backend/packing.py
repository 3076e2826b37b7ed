"""The packing of a cell's maps and states for a kernel of PyTorch: stacked gates, and states in a fixed order."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from rnnspec.contract.arrays import Array
from rnnspec.contract.fixed import Fixed
from rnnspec.derivation.correspondence import Names
from rnnspec.tree import Tree

__all__ = ["Packing", "alike", "in_memory", "joined", "side_by_side"]


def side_by_side(maps: list[Array]) -> tuple[Array, ...]:
    """Copies of maps of one shape and dtype, stacked in memory, so that joining them copies nothing.

    Each has its own storage, since formats for saving treat tensors of one storage as one tensor. The storage of the
    first keeps the memory of all of them alive.
    """
    with torch.inference_mode(False):  # the copies must serve outside of that mode too
        whole = torch.cat(maps)
        beside = tuple(torch.from_dlpack(part) for part in whole.split([len(a) for a in maps]))
    beside[0].untyped_storage().whole = whole
    return beside


def alike(maps: Collection[Any]) -> bool:
    """Whether there are several maps that can be stacked in memory."""
    return (
        len(maps) > 1 and all(a.ndim and in_memory(a) for a in maps)
        and len({(a.shape[1:], a.dtype, a.device) for a in maps}) == 1
    )  # fmt: skip


def in_memory(a: Array) -> bool:
    """Whether a tensor has memory; a fake tensor has none."""
    return type(a) in (torch.Tensor, torch.nn.Parameter) and a.device.type != "meta"


def joined(maps: list[Array]) -> Array:
    """The stacked maps: a view where they lie so in memory already, else a copy."""
    whole = getattr(maps[0].untyped_storage(), "whole", None)
    if whole is None or whole.dtype is not maps[0].dtype:
        return torch.cat(maps)
    at = start = whole.data_ptr()
    for a in maps:
        if a.data_ptr() != at or not a.is_contiguous():
            return torch.cat(maps)
        at += a.nbytes
    return whole if at == start + whole.nbytes else torch.cat(maps)


@dataclass(frozen=True)
class Packing:
    """The names of a cell's maps, in a kernel's order.

    `gates` have an input map, a bias and a recurrent map each, and are stacked in the weights. `inner` are the vectors
    in the recurrent bias, None where it has none. `projection` is a single recurrent map, or None.
    """

    gates: tuple[str, ...]
    maps: tuple[str, ...]
    inner: tuple[str | None, ...]
    states: tuple[str, ...]
    projection: str | None

    @classmethod
    def of(
        cls, names: Names, gates: tuple[str, ...], inner: tuple[str | None, ...], states: tuple[str, ...],
        projection: str | None,
    ) -> Packing:
        """The packing of a cell, where `names` gives its name for each name of the row."""
        return cls(
            tuple(names["input", name] for name in gates),
            tuple(names["map", name] for name in gates),
            tuple(None if name is None else names["vector", name] for name in inner),
            tuple(names["state", name] for name in states),
            None if projection is None else names["map", projection],
        )

    def below(self, params: Tree) -> tuple[Array, Array, Array]:
        """The stacked input maps, recurrent maps and biases of the gates."""
        return params.kept(self, partial(self._below, params)) if isinstance(params, Fixed) else self._below(params)

    def _below(self, params: Tree) -> tuple[Array, Array, Array]:
        W, U, b = params["W"], params["U"], params["b"]
        return joined([W[n] for n in self.gates]), joined([U[n] for n in self.maps]), joined([b[n] for n in self.gates])

    def apart(self, W: Array, U: Array, b: Array) -> Tree:
        """The gradients of a cell's maps, from those of the results of `below`."""
        count = len(self.gates)
        return {
            "W": dict(zip(self.gates, W.chunk(count), strict=True)),
            "b": dict(zip(self.gates, b.chunk(count), strict=True)),
            "U": dict(zip(self.maps, U.chunk(count), strict=True)),
            "p": {},
        }

    def packed(self, params: Tree) -> list[Array]:
        """The kernel's weights: input maps, recurrent maps, the two biases, and the projection where there is one."""
        b, p = params["b"], params["p"]
        parts = zip(self.gates, self.inner, strict=True)
        inner = torch.cat([p[name] if name else torch.zeros_like(b[gate]) for gate, name in parts])
        weights = [*self.below(params), inner]
        if self.projection is not None:
            weights.append(params["U"][self.projection])
        return weights

    def unpacked(self, gradients: list[Array]) -> Tree:
        """The gradients of a cell's maps, from those of the weights."""
        W, U, b, inner, *projection = gradients
        found = self.apart(W, U, b)
        found["p"] = {name: g for name, g in zip(self.inner, inner.chunk(len(self.inner)), strict=True) if name}
        if self.projection is not None:
            found["U"][self.projection] = projection[0]
        return found
