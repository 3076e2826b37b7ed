"""torch.nn's modules: their tensors are named `weight_ih_l0`, `weight_ih_l0_reverse`, and so on."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import torch
from torch import nn

from rnnspec.convert.assembly import Assembly, Embeds, Part, taken_apart
from rnnspec.convert.conversion import Exported, Imported
from rnnspec.convert.layouts import TORCH
from rnnspec.convert.torch_flow import model_of, read_model
from rnnspec.convert.torch_network import TorchNetwork
from rnnspec.convert.torch_reading import SUFFIXES, add_part
from rnnspec.convert.torch_tensors import META, linear, load
from rnnspec.errors import UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Read, Tied
from rnnspec.tree import Tree

__all__ = ["read_modules", "write_modules"]

KINDS = {row.kind: getattr(nn, row.kind) for row in TORCH}
PROJECTION = "weight_hr"


def read_modules(call: str, parts: tuple[Any, ...], read: Read) -> Imported:
    """The network of the parts, which run one after the other."""
    if len(parts) == 1 and type(parts[0]) is TorchNetwork:
        read = parts[0].network.read
        own = (parts[0].embedding, *parts[0].layers, parts[0].output)
        parts = tuple(module for module in own if module is not None)
    model = model_of(parts)
    if model is not None:
        return read_model(call, model)
    assembly = Assembly(call)
    for part in parts:
        add_part(assembly, part)
    return assembly.finish(read)


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
