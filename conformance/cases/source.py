"""Networks and cells as Python source, for reports: pasted, it runs the same case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from conformance.cases.equations import are_same, read, written
from rnnspec import cells
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Steps
from rnnspec.tracing.cell import Cell

__all__ = ["IMPORTS", "declarations", "declared", "network"]

IMPORTS = """\
from math import inf, nan

from conformance.cases import Case, Gain, Planted, Pull, load_cell
from rnnspec import Dense, Embedding, Last, Layer, Network, Steps, Tied, cell, cells, out
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Graph, Node
from rnnspec.losses import *
from rnnspec.noise import *
from rnnspec.policies import *
from rnnspec.primitives import *"""

OWN: dict[Cell, str] = {}
"""The `module:name` of each loaded user's cell."""


def network(net: Network, names: Mapping[Cell, str] = MappingProxyType({})) -> str:
    """The expression of a network."""
    parts = [str(net.inputs), f"[{', '.join(_layer(layer, names) for layer in net.layers)}]"]
    parts += [] if net.read == Steps() else [repr(net.read)]
    parts += [f"{name}={value!r}" for name, value in (("output", net.output), ("loss", net.loss)) if value is not None]
    parts += [f"head=[{', '.join(_layer(layer, names) for layer in net.head)}]"] if net.head else []
    return f"Network({', '.join(parts)})"


def declared(net: Network) -> dict[Cell, str]:
    """The cells of a network that have no import but can be written as equations, each with a name."""
    used = dict.fromkeys(replace(layer.cell, heads=None, shared=(), given=None) for layer in (*net.layers, *net.head)
                         if not layer.passes)
    own = [cell for cell in used if _shipped(cell) is None]
    return {cell: f"drawn{number or ''}" for number, cell in enumerate(filter(_can_be_written, own))}


def declarations(names: Mapping[Cell, str]) -> list[str]:
    """Lines that import the names in the source of a case, and declare its cells."""
    return [IMPORTS, "", *(written(replace(cell, name=name)) for cell, name in names.items())]


def _can_be_written(given: Cell) -> bool:
    """Whether its written equations, read again, are the same; a user's names may hide a function."""
    try:
        return are_same(read(written(given)), given)
    except Exception:  # such names may break the source in any way
        return False


def _layer(layer: Layer, names: Mapping[Cell, str]) -> str:
    if layer.passes:
        return repr(layer.noises[0])
    cell = replace(layer.cell, heads=None, shared=(), given=None)
    parts = [names.get(cell) or _shipped(cell) or f"Cell({cell.name!r}, {cell.states!r}, {cell.graph!r})"]
    parts += [repr(layer.widths_given)]
    parts += [] if layer.direction == "forward" else [repr(layer.direction)]
    parts += [] if layer.gradient is None else [f"gradient={layer.gradient!r}"]
    parts += ["learned_state=True"] if layer.learned_state else []
    parts += [] if layer.heads is None else [f"heads={layer.heads}"]
    parts += [f"shared={layer.shared!r}"] if layer.shared else []
    parts += [] if layer.mapped or layer.inputs is None else [f"inputs={layer.inputs}"]
    parts += [] if layer.mapped else ["mapped=False"]
    parts += ["residual=True"] if layer.residual else []
    parts += [f"noise={layer.noises!r}"] if layer.noises else []
    return f"Layer({', '.join(parts)})"


def _shipped(given: Cell) -> str | None:
    """The expression of a built-in cell, or of one that was loaded by name; else None."""
    if getattr(cells, given.name, None) == given:
        return f"cells.{given.name}"
    return f"load_cell({OWN[given]!r})" if given in OWN else None
