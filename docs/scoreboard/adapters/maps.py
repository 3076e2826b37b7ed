"""A module with one parameter for each map of a cell, which a layer or a function of another package computes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rnnspec import Cell, Layer, Network
from rnnspec.tree import leaves

Maps = Mapping[str, Tensor]
Run = Callable[[Maps, Tensor, "tuple[Tensor, ...] | None"], tuple[Tensor, tuple[Tensor, ...]]]
"""From the maps by dotted name, inputs (time, batch, feature) and states, None for zeros, to outputs and states."""


class Adapted(nn.Module):
    """A layer whose maps another package computes with; the states are in the order of the cell."""

    def __init__(self, cell: Cell, run: Run, inputs: int, hidden: Any) -> None:
        super().__init__()
        self.run, params = run, Network(inputs, [Layer(cell, hidden)]).init(0)["layers"][0]["forward"]
        self.layout = {name.replace(".", "_"): name for name, _ in leaves(params)}
        for name, a in leaves(params):
            self.register_parameter(name.replace(".", "_"), nn.Parameter(torch.tensor(a, dtype=torch.float32)))

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        maps = {dotted: getattr(self, name) for name, dotted in self.layout.items()}
        given = state if state is None or isinstance(state, tuple) else (state,)
        outputs, final = self.run(maps, x, given and tuple(a[0] for a in given))
        return outputs, tuple(a[None] for a in final)


def adapted(cell: Cell) -> Callable[[Run], Callable[[int, Any], Adapted]]:
    """A factory of layers for `--module`, from the function that computes a layer of the cell."""
    return lambda run: lambda inputs, hidden: Adapted(cell, run, inputs, hidden)


def mapped(maps: Maps, x: Tensor, name: str) -> Tensor:
    """The map of the input with its bias."""
    return nn.functional.linear(x, maps[f"W.{name}"], maps[f"b.{name}"])


def stacked(maps: Maps, names: str) -> Tensor:
    """Maps on top of each other."""
    return torch.cat([maps[name] for name in names.split()])
