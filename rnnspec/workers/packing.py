"""States that are affine in their old values, laid out so that the factors of a whole window are small matrices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnspec.derivation.linearity import StateGroup
from rnnspec.derivation.structure import Kind
from rnnspec.layer import Layer

__all__ = ["Packing", "packing"]

Host = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Packing:
    """States of one group as (batch, free, mixed): an entry sees those at the same place of `free`, and no others.

    `shapes` are those of one row by state. Of each state, the axis `axis` is mixed, or all after the first `heads`
    where it is None; `entrywise` states mix with one another alone.
    """

    shapes: Mapping[str, tuple[int, ...]]
    entrywise: bool
    axis: int | None = None
    heads: int = 0

    @property
    def mixed(self) -> int:
        """How many entries mix: as many pullbacks show all factors of a window."""
        return sum(self._mixed(shape) for shape in self.shapes.values())

    @property
    def free(self) -> int:
        """How many places there are in one row."""
        shape = next(iter(self.shapes.values()))
        return math.prod(shape) // max(self._mixed(shape), 1)

    def pack(self, states: Mapping[str, Host]) -> Host:
        """The states as one array, in float64."""
        parts = [self._moved(states[name]) for name in self.shapes]
        batch = parts[0].shape[0]
        return np.concatenate([np.asarray(part, np.float64).reshape(batch, self.free, self._mixed(shape))
                               for part, shape in zip(parts, self.shapes.values(), strict=True)], -1)  # fmt: skip

    def unpack(self, packed: Host) -> dict[str, Host]:
        """The states of one array."""
        found, low, batch = {}, 0, packed.shape[0]
        for name, shape in self.shapes.items():
            part = packed[..., low : low + self._mixed(shape)]
            low += self._mixed(shape)
            found[name] = self._moved(part.reshape(batch, *self._moved(np.empty(shape)).shape))
        return found

    def _mixed(self, shape: tuple[int, ...]) -> int:
        if self.entrywise:
            return 1
        return math.prod(shape[self.heads :]) if self.axis is None else shape[self.axis]

    def _moved(self, array: Host) -> Host:
        """The mixed axis last, or from there back to its place."""
        return array if self.axis is None else np.swapaxes(array, self.axis, -1)


def packing(layer: Layer, group: StateGroup) -> Packing:
    """How the states of a group mix over a window, by the structure of its step."""
    shapes = {state: layer.state_shapes[state] for state in group.states}
    step, alike, heads = group.step, len(set(shapes.values())) == 1, int(layer.heads is not None)
    if alike and (step.kind in (Kind.SHIFT, Kind.ENTRYWISE) or (step.kind is Kind.RANK_ONE and not step.corrections)):
        return Packing(shapes, True)
    if alike and step.kind is Kind.RANK_ONE:
        return Packing(shapes, False, -2 if step.keys_are_rows else -1)
    return Packing(shapes, False, None, heads)
