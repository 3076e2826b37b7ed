"""Noise in the oracle: the masks of `rnnspec.noise`, and what they do to inputs, maps and equations."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance.oracle.arithmetic import Array
from conformance.oracle.number import Number, Parameter, Tape
from conformance.oracle.parts import Parts
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.noise import Dropout, Key, WeightDrop
from rnnspec.noise.masks import INPUTS, masks
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["Acting", "acting", "drawn", "dropped", "left"]


@dataclass(frozen=True)
class Acting:
    """The equations of a half in a call, and the masks among its x.name, each a sequence of rows like the inputs."""

    cell: Cell
    masks: dict[str, Number]


@dataclass(frozen=True)
class Left:
    """A recurrent map of which some entries are dropped; the gradient is that of the whole map."""

    kept: Parts
    mask: Array
    rate: float

    def of(self, head: int) -> Parameter:
        """The part of a head."""
        return self.kept.of(head)

    def gradient(self) -> Array:
        """The gradient of what is kept, multiplied as the map is; zeros of what is dropped."""
        found, tape = self.kept.gradient(), self.kept.of(0).tape
        mask = np.broadcast_to(self.mask.reshape(1, *found.shape[1:]), found.shape)
        aside = Tape(tape.rounding, recording=False)
        return np.where(mask, (Number(aside, found) * _scale(self.rate)).value, 0)


def drawn(net: Network, key: Key | None, steps: int, batch: int) -> Tree:
    """The masks of each layer, and of the head; None for each where the call has no key."""
    if key is None:
        return {"layers": [None] * len(net.layers), "head": [None] * len(net.head)}
    return masks(net, key, steps, batch)


def dropped(tape: Tape, layer: Layer, found: Tree, values: Number, steps: int) -> Number:
    """The inputs of a layer, as the rows of a sequence, after dropout."""
    if not found or INPUTS not in found:
        return values
    mask = _sequence(found[INPUTS], steps)
    rate = next(one.rate for one in layer.noises if isinstance(one, Dropout))
    scaled = values * _scale(rate)
    return tape.record(np.where(mask, scaled.value, 0), [scaled], lambda d: [np.where(mask, d, 0)],
                       lambda _: (~np.broadcast_to(mask, scaled.value.shape),))  # fmt: skip


def left(tape: Tape, layer: Layer, half: str, found: Tree, own: Tree) -> Tree:
    """The parameters of a half, where some entries of the recurrent maps are dropped."""
    kept = found[half]["U"] if found else {}
    if not kept:
        return own
    rate = next(one.rate for one in layer.noises if isinstance(one, WeightDrop))
    U = {name: Left(_left(tape, own["U"][name], mask, rate), mask, rate) for name, mask in kept.items()}
    return {**own, "U": U}


def _left(tape: Tape, whole: Parts, mask: Array, rate: float) -> Parts:
    """The parts of a map for each head, of which some entries are dropped."""
    masks = mask.reshape(-1, *whole.parts[0].value.shape[1:])
    scaled = [Number(tape, part.value) * _scale(rate) for part in whole.parts]
    return Parts([Parameter(tape, np.where(m, number.value, 0)) for m, number in zip(masks, scaled, strict=True)],
                 whole.axis)  # fmt: skip


def acting(tape: Tape, layer: Layer, half: str, found: Tree, steps: int) -> Acting:
    """What a half computes."""
    if not found or layer.masked is None:
        return Acting(layer.evaluated, {})
    numbers = {name: Number(tape, _sequence(mask, steps).astype(tape.rounding.arithmetic.dtype))
               for name, mask in found[half]["x"].items()}  # fmt: skip
    return Acting(replace(layer.masked.cell, given=layer.cell.given), numbers)


def _sequence(mask: Array, steps: int) -> Array:
    """A mask (time, batch, feature), or of one step for all, as a sequence of rows."""
    whole = np.broadcast_to(mask, (steps, *mask.shape[1:]))
    return whole.reshape(1, -1, mask.shape[2])


def _scale(rate: float) -> float:
    return 1 / (1 - rate)
