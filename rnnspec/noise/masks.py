"""All masks of a call: a tree of arrays of true and false, by layer, drawn in NumPy for every backend."""

from __future__ import annotations

from typing import Any

from rnnspec.noise.drawing import kept, kept_entries
from rnnspec.noise.key import Key
from rnnspec.noise.kinds import Dropout, GateDropout, Noise, WeightDrop, Zoneout
from rnnspec.noise.lifetimes import PerSequence
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["INPUTS", "masks"]

INPUTS = "inputs"
"""The name of the mask of a layer's inputs, beside its halves."""

Sizes = tuple[int, int]
"""The steps and rows of a call."""


def masks(net: Any, key: Key, steps: int, batch: int) -> Tree:
    """For each layer the masks of its inputs, and of each half's maps `U`, states and gates, by the name of each.

    Masks over time are (time, batch, feature), with `PerSequence` (1, batch, feature); a mask of a map has its shape.
    A head that runs once, on what `Last()` reads, has masks of one step, which depend on seed and row alone.
    """
    inputs = net.layer_inputs(len(net.layers))
    found = {"layers": _of_stack(net, "layers", net.input_features, key, (steps, batch))}
    once = isinstance(net.read, Last)
    return {**found, "head": _of_stack(net, "head", inputs, Key(key.seed, key.row) if once else key,
                                       (1 if once else steps, batch))}  # fmt: skip


def _of_stack(net: Any, kind: str, inputs: int, key: Key, sizes: Sizes) -> list[Tree]:
    found = []
    for i, layer in enumerate(getattr(net, kind)):
        found.append(_of_layer(layer, net.parameter_shapes()[kind][i], inputs, key, sizes, f"{kind}.{i}"))
        inputs = layer.width
    return found


def _of_layer(layer: Any, shapes: Tree, inputs: int, key: Key, sizes: Sizes, place: str) -> Tree:
    found: dict[str, Any] = {}
    for one in layer.noises:
        if isinstance(one, Dropout) and one.rate > 0:
            found[INPUTS] = _in_time(key, f"{place}.{INPUTS}", one, one.rate, sizes, inputs)
    for half in layer.halves:
        found[half] = {"U": _of_maps(layer, shapes[half]["U"], key, f"{place}.{half}.U"),
                       "x": _of_equations(layer, key, f"{place}.{half}", sizes)}  # fmt: skip
    return found


def _of_maps(layer: Any, shapes: Tree, key: Key, place: str) -> Tree:
    rate = next((one.rate for one in layer.noises if isinstance(one, WeightDrop)), 0)
    return {name: kept_entries(key, f"{place}.{name}", rate, shape) for name, shape in shapes.items() if rate}


def _of_equations(layer: Any, key: Key, place: str, sizes: Sizes) -> Tree:
    if layer.masked is None:
        return {}
    widths, found = dict(layer.masked.cell.given or ()), {}
    for name, one, of in layer.masked.masks:
        what, rate = _acting(one, of, layer.cell.states)
        found[name] = _in_time(key, f"{place}.{what}.{of}", one, rate, sizes, widths[name])
    return found


def _acting(one: Noise, of: str, states: tuple[str, ...]) -> tuple[str, float]:
    if isinstance(one, Zoneout):
        return "states", one.rates(states)[of]
    assert isinstance(one, GateDropout)
    return "gates", one.rate


def _in_time(key: Key, place: str, one: Noise, rate: float, sizes: Sizes, features: int) -> Any:
    steps, batch = sizes
    if isinstance(getattr(one, "masks", None), PerSequence):
        return kept(Key(key.seed, key.row), place, rate, batch, 1, features)
    return kept(key, place, rate, batch, steps, features)
