"""torch.nn's modules: their tensors are named `weight_ih_l0`, `weight_ih_l0_reverse`, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch
from torch import nn

from rnnspec.convert.assembly import Assembly, Embeds, Part, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout, layout_for, matching_layout
from rnnspec.convert.layouts import TORCH
from rnnspec.convert.torch_network import TorchNetwork
from rnnspec.convert.torch_tensors import META, add_output, arrays, linear, load, refuse_options
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Dense, Read, Tied
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["read_modules", "write_modules"]

SUFFIXES = {"forward": "", "reverse": "_reverse"}
KINDS = {row.kind: getattr(nn, row.kind) for row in TORCH}
PROJECTION = "weight_hr"


def read_modules(call: str, parts: tuple[Any, ...], read: Read) -> Imported:
    """The network of the parts, which run one after the other."""
    if len(parts) == 1 and type(parts[0]) is TorchNetwork:
        read = parts[0].network.read
        parts = tuple(module for module in (*parts[0].layers, parts[0].output) if module is not None)
    assembly = Assembly(call)
    for part in parts:
        _add(assembly, part)
    return assembly.finish(read)


def _add(assembly: Assembly, part: Any) -> None:
    if isinstance(part, nn.Module):
        assembly.see("output" if type(part) is nn.Linear else assembly.place, part.parameters())
        refuse_options(assembly.call, part)
    if type(part) in KINDS.values():
        if part.batch_first:
            assembly.notes.append(PlacedNote(assembly.place, Note.BATCH_FIRST))
        _add_layers(assembly, _row(assembly.call, part), arrays(assembly.call, part.state_dict()))
    elif type(part) is nn.Linear:
        add_output(assembly, arrays(assembly.call, part.state_dict()))
    elif isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], Mapping):
        what, tensors = part[0], arrays(assembly.call, part[1])
        assembly.see("output" if what is Dense else assembly.place, part[1].values())
        if what is Dense:
            add_output(assembly, tensors)
        else:
            _add_layers(assembly, _row_of(assembly.call, what), tensors)
    else:
        raise ArgumentError(assembly.call, f"a part must be a torch.nn.{', torch.nn.'.join(KINDS)} or Linear, or a "
                            "pair (cell, state_dict) or (Dense, state_dict)", type(part).__name__,
                            "give the parts of the model in the order in which they run")  # fmt: skip


def _row(call: str, module: Any) -> Layout:
    tensors = dict.fromkeys(name.removesuffix("_l0") for name in module.state_dict() if name.endswith("_l0"))
    row = matching_layout(TORCH, type(module).__name__, vars(module), tensors)
    if row is None:
        raise UnsupportedError(call, "the module must be one that rnnspec.convert.layouts lists", str(module),
                               "see the tables of docs/convert.md")
    return row


def _row_of(call: str, cell: Any) -> Layout:
    row = layout_for(TORCH, cell) if isinstance(cell, Cell) else None
    if row is None:
        names = ", ".join(known.cell.name for known in TORCH)
        raise UnsupportedError(call, f"a state_dict must come with Dense or a cell that torch.nn has: {names}",
                               repr(cell), "give the cell of the module that the state_dict belongs to")  # fmt: skip
    return row


def _add_layers(assembly: Assembly, row: Layout, tensors: dict[str, Any]) -> None:
    left, level = dict(tensors), 0
    while f"weight_ih_l{level}" in left:
        halves: dict[str, Any] = {}
        for half, suffix in SUFFIXES.items():
            found = {name: left.pop(f"{name}_l{level}{suffix}", None) for name in row.tensors}
            present = {name: a for name, a in found.items() if a is not None}
            missing = row.required - present.keys()
            if missing and (present or half == "forward"):
                raise TreeError(assembly.call, f"{row.kind} must have its weights",
                                f"no {min(missing)}_l{level}{suffix}",
                                "give the complete state_dict of the module")  # fmt: skip
            halves |= {half: present} if present else {}
        assembly.add_layer(row, halves)
        level += 1
    if left or not level:
        raise TreeError(assembly.call, f"a state_dict for {row.cell.name} must hold the tensors of {row.kind}, such as "
                        "weight_ih_l0, and no others", f"{min(left, default='nothing')!r}",
                        "give the state_dict of that one module, without a prefix")  # fmt: skip


def write_modules(call: str, net: Network, params: Tree) -> Exported:
    """The network as modules of torch.nn."""
    apart = taken_apart(call, "torch.nn", TORCH, net, params, embeds=Embeds.TIED)
    dtype = getattr(torch, apart.dtype)
    for i, part in enumerate(apart.parts):
        _refuse_layer(call, f"layers.{i}", part)
    layers = [_module(list(same), dtype) for _, same in groupby(apart.parts, key=_stacked)]
    output = apart.output and linear(net.layers[-1].width, net.features, apart.output, dtype)
    embedding: Any = None
    if apart.embedding is not None:
        embedding = nn.Embedding.from_pretrained(torch.tensor(apart.embedding, dtype=dtype), freeze=False)
    if output and isinstance(net.output, Tied):
        output.weight = embedding.weight
    states = [part.layout.states for part in apart.parts]
    return Exported(TorchNetwork(net, states, layers, output, embedding), apart.notes)


def _refuse_layer(call: str, place: str, part: Part) -> None:
    if part.layer.direction == "reverse":
        raise UnsupportedError(call, "a layer must be forward or bidirectional: torch.nn has no other direction",
                               f"reverse in {place}", "reverse the sequence, or run it with rnnspec")  # fmt: skip
    output, hidden = _widths(part)
    if PROJECTION in part.layout.tensors and output >= hidden:
        raise UnsupportedError(call, "a projection must be onto fewer features: torch.nn has no other",
                               f"{hidden} onto {output} in {place}",
                               "make it narrower, or run it with rnnspec")  # fmt: skip


def _widths(part: Part) -> tuple[int, int]:
    """The widths of the output and of the cell state."""
    states, widths = part.layout.states, part.layer.state_sizes
    return widths[states[0]], widths[states[-1]]


def _stacked(part: Part) -> tuple[Any, ...]:
    """Adjacent layers with an equal key become one module."""
    return part.layer.cell, part.layer.state_sizes, part.layer.direction


def _module(parts: list[Part], dtype: Any) -> Any:
    layer, row = parts[0].layer, parts[0].layout
    output, hidden = _widths(parts[0])
    projected = {"proj_size": output} if PROJECTION in row.tensors else {}
    module = KINDS[row.kind](parts[0].inputs, hidden, len(parts), bidirectional=layer.direction == "bidirectional",
                             dtype=dtype, device=META, **row.options, **projected)  # fmt: skip
    load(module, {f"{name}_l{i}{SUFFIXES[half]}": a for i, part in enumerate(parts)
                  for half, tensors in part.tensors.items() for name, a in tensors.items()})  # fmt: skip
    return module
