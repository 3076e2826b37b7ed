"""The tensors of layers by a layout of the caller's own, read and given out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rnnspec.convert.assembly import Assembly, numbers, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note
from rnnspec.convert.layout import Layout
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.layer import DIRECTIONS
from rnnspec.network import Network
from rnnspec.output import Steps
from rnnspec.tree import Tree

__all__ = ["Prefix", "read_layout", "write_layout"]

Prefix = str | Mapping[str, str] | Sequence[str | Mapping[str, str]]
"""What the names of a layer's tensors begin with, in each half, or a list of this for each layer."""


def read_layout(call: str, layout: Layout, given: Mapping[str, Any], prefix: Prefix) -> Imported:
    """The network of a stack of layers, from tensors by the layout's names after the prefix of each layer."""
    _check_maps(call, layout)
    assembly = Assembly(call)
    for level in _levels(call, prefix):
        halves = {}
        for half, before in level.items():
            own = {name.removeprefix(before): a for name, a in given.items() if name.startswith(before)}
            others = _others(call, layout, before, own)
            halves[half] = {name: numbers(call, before + name, own[name]) for name in layout.tensors if name in own}
            if others:
                assembly.note(Note.OUTSIDE)
        assembly.add_layer(layout, halves)
    return assembly.finish(Steps())


def _levels(call: str, prefix: Prefix) -> list[dict[str, str]]:
    """The prefix of each half of each layer."""
    levels = [prefix] if isinstance(prefix, str | Mapping) else list(prefix)
    found = [level if isinstance(level, Mapping) else {"forward": level} for level in levels]
    for level in found:
        if tuple(level) not in DIRECTIONS.values() or not all(isinstance(before, str) for before in level.values()):
            raise ArgumentError(call, "prefix must be a text, {'forward': text, 'reverse': text}, or a list with one "
                                "for each layer", repr(prefix), "write prefix=['rnn.0.', 'rnn.1.']")  # fmt: skip
    return [dict(level) for level in found]


def _others(call: str, layout: Layout, before: str, own: Mapping[str, Any]) -> list[str]:
    """The tensors that the layout names as outside; raises TreeError where one is missing, or not named at all."""
    missing = [name for name in layout.tensors if name in layout.required and name not in own]
    others = [name for name in own if name not in layout.tensors]
    unknown = [name for name in others if not layout.is_outside(name)]
    if missing or unknown:
        place = f" below {before!r}" if before else ""
        got = f"no {missing[0]} among {', '.join(own) or 'none'}" if missing else f"{unknown[0]!r}"
        raise TreeError(call, f"{layout.kind} must have the tensors {', '.join(layout.tensors)}{place}", got,
                        "name each in the layout; those that hold no map of the cell in `outside`")  # fmt: skip
    return others


def write_layout(call: str, layout: Layout, net: Network, params: Tree, prefix: Prefix) -> Exported:
    """The tensors of a stack of layers, by the layout's names after the prefix of each layer."""
    _check_maps(call, layout)
    apart, levels = taken_apart(call, layout.kind, [layout], net, params), _levels(call, prefix)
    halves = [tuple(part.tensors) for part in apart.parts]
    if net.output is not None or halves != [tuple(level) for level in levels]:
        raise UnsupportedError(call, f"{layout.kind} is {len(levels)} layer{'s' * (len(levels) > 1)} of "
                               f"{layout.cell.name} in the directions of `prefix`, and no output layer", str(net),
                               "give the layers in a network of their own, and a prefix for each")  # fmt: skip
    tensors = {before + name: np.ascontiguousarray(a) for part, level in zip(apart.parts, levels, strict=True)
               for half, before in level.items() for name, a in part.tensors[half].items()}  # fmt: skip
    if len(tensors) < sum(len(own) for part in apart.parts for own in part.tensors.values()):
        raise ArgumentError(call, "each prefix must give names of their own", repr(prefix), "give another for each")
    return Exported(tensors, apart.notes)


def _check_maps(call: str, layout: Layout) -> None:
    """A bias that no tensor holds is zeros; a map must be in one."""
    layout.check_names(call)
    absent = sorted(name for name in layout.absent if name[0] in "WU")
    if absent:
        raise UnsupportedError(call, f"every map of {layout.cell.name} must be in a tensor",
                               f"no place for {', '.join(absent)}", "add the tensor that holds it")  # fmt: skip
