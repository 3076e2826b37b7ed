"""A case as Python source: what a report prints, so that anybody can paste it and see the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rnnspec import cells
from rnnspec.cell import Cell
from rnnspec.network import Layer, Network
from rnnspec.output import Steps

if TYPE_CHECKING:
    from conformance.cases.case import Case

__all__ = ["IMPORTS", "case", "network"]

IMPORTS = """\
from math import inf, nan

from conformance.cases import Case, Planted, Pull, load_cell
from rnnspec import Dense, Last, Layer, Network, Steps, cells
from rnnspec.cell import Cell
from rnnspec.graph import Graph, Node
from rnnspec.losses import *
from rnnspec.policies import *"""

OWN: dict[Cell, str] = {}
"""Under which `module:name` a user's cell was loaded."""


def case(given: Case) -> str:
    """The expression that makes a case."""
    shown = [network(given.net), str(given.steps), str(given.batch)]
    defaults = {name: f.default for name, f in type(given).__dataclass_fields__.items()}
    for name in ("lengths", "seed", "scale", "pull", "padding", "planted"):
        value = getattr(given, name)
        if value != defaults[name]:
            shown.append(f"{name}={value!r}")
    return f"Case({', '.join(shown)})"


def network(net: Network) -> str:
    """The expression that makes a network."""
    parts = [str(net.inputs), f"[{', '.join(map(_layer, net.layers))}]"]
    parts += [] if net.read == Steps() else [repr(net.read)]
    parts += [f"{name}={value!r}" for name, value in (("output", net.output), ("loss", net.loss)) if value is not None]
    return f"Network({', '.join(parts)})"


def _layer(layer: Layer) -> str:
    parts = [_cell(layer.cell), repr(layer.widths_given)]
    parts += [] if layer.direction == "forward" else [repr(layer.direction)]
    parts += [] if layer.gradient is None else [f"gradient={layer.gradient!r}"]
    return f"Layer({', '.join(parts)})"


def _cell(given: Cell) -> str:
    if getattr(cells, given.name, None) == given:
        return f"cells.{given.name}"
    if given in OWN:
        return f"load_cell({OWN[given]!r})"
    return f"Cell({given.name!r}, {given.states!r}, {given.graph!r})"
