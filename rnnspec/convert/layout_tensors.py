"""The tensors of one layer by a layout of the caller's own, read and given out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rnnspec.convert.assembly import Assembly, numbers, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout
from rnnspec.errors import TreeError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Steps
from rnnspec.tree import Tree

__all__ = ["read_layout", "write_layout"]


def read_layout(call: str, layout: Layout, own: Mapping[str, Any]) -> Imported:
    """The network of one forward layer, from tensors by the layout's names."""
    _check_maps(call, layout)
    missing = [name for name in layout.tensors if name in layout.required and name not in own]
    others = [name for name in own if name not in layout.tensors]
    unknown = [name for name in others if not layout.is_outside(name)]
    if missing or unknown:
        raise TreeError(call, f"{layout.kind} must have the tensors {', '.join(layout.tensors)}",
                        f"no {missing[0]}" if missing else f"{unknown[0]!r}",
                        "name each in the layout; those that hold no map of the cell in `outside`")  # fmt: skip
    assembly = Assembly(call)
    arrays = {name: numbers(call, name, own[name]) for name in layout.tensors if name in own}
    assembly.add_layer(layout, {"forward": arrays})
    assembly.notes += [PlacedNote("layers.0", Note.OUTSIDE)] * bool(others)
    return assembly.finish(Steps())


def write_layout(call: str, layout: Layout, net: Network, params: Tree) -> Exported:
    """The tensors of one forward layer, by the layout's names."""
    _check_maps(call, layout)
    apart = taken_apart(call, layout.kind, [layout], net, params)
    if len(apart.parts) > 1 or net.output is not None or apart.parts[0].layer.direction != "forward":
        raise UnsupportedError(call, f"{layout.kind} is one forward layer of {layout.cell.name} and no output layer",
                               str(net), "give the layer in a network of its own")  # fmt: skip
    return Exported(apart.parts[0].tensors["forward"], apart.notes)


def _check_maps(call: str, layout: Layout) -> None:
    """A bias that no tensor holds is zeros; a map must be in one."""
    layout.check_names(call)
    absent = sorted(name for name in layout.absent if name[0] in "WU")
    if absent:
        raise UnsupportedError(call, f"every map of {layout.cell.name} must be in a tensor",
                               f"no place for {', '.join(absent)}", "add the tensor that holds it")  # fmt: skip
