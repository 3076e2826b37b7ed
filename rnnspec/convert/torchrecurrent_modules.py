"""torchrecurrent's layers and cells: a layer holds a cell for each level, with tensors such as `cells.0.weight_ih`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import signature
from numbers import Real
from typing import Any

import torch
import torchrecurrent
from torch import nn

from rnnspec.convert.assembly import Assembly, Part, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout, layout_for
from rnnspec.convert.torch_tensors import META, add_output, arrays, linear, load, refuse_options
from rnnspec.convert.torchrecurrent_layouts import OTHERS, TORCHRECURRENT
from rnnspec.convert.torchrecurrent_network import HardSigmoid, TorchrecurrentNetwork
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Dense, Read
from rnnspec.tracing.cell import Cell
from rnnspec.tree import Tree

__all__ = ["made", "read_modules", "write_modules"]

ROWS = {row.kind: row for row in TORCHRECURRENT}
LAYERS = {getattr(torchrecurrent, kind): kind for kind in (*ROWS, *OTHERS)}
CELLS = {getattr(torchrecurrent, f"{kind}Cell"): kind for kind in (*ROWS, *OTHERS)}
FUNCTIONS = {"HardSigmoid": HardSigmoid}
FLAGS = {"bias_ih": ("bias",), "bias_hh": ("recurrent_bias",), "bias_ch": ("cell_bias", "context_bias"),
         "bias_mh": ("memory_bias", "multiplicative_bias")}  # fmt: skip
"""The options that leave a bias out: which of them a cell has depends on the cell."""
SIZES = ("input_size", "hidden_size")


def read_modules(call: str, parts: tuple[Any, ...], read: Read) -> Imported:
    """The network of the parts, which run one after the other."""
    if len(parts) == 1 and type(parts[0]) is TorchrecurrentNetwork:
        read = parts[0].network.read
        parts = tuple(module for module in (*parts[0].layers, parts[0].output) if module is not None)
    assembly = Assembly(call)
    for part in parts:
        _add(assembly, part)
    return assembly.finish(read)


def _add(assembly: Assembly, part: Any) -> None:
    call = assembly.call
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], Mapping):
        _add_state(assembly, part[0], arrays(call, part[1]))
    elif type(part) is nn.Linear:
        assembly.see("output", part.parameters())
        refuse_options(call, part)
        add_output(assembly, arrays(call, part.state_dict()))
    elif type(part) in LAYERS or type(part) in CELLS:
        refuse_options(call, part)
        if getattr(part, "batch_first", False):
            assembly.notes.append(PlacedNote(assembly.place, Note.BATCH_FIRST))
        for cell in part.cells if type(part) in LAYERS else (part,):
            _add_cell(assembly, cell)
    else:
        raise ArgumentError(call, "a part must be a layer or cell of torchrecurrent that docs/convert.md lists, a "
                            "torch.nn.Linear, or a pair (cell, state_dict) or (Dense, state_dict)",
                            type(part).__name__, "give the parts in the order in which they run")  # fmt: skip


def _add_state(assembly: Assembly, what: Any, tensors: dict[str, Any]) -> None:
    """Add the output layer or the layers of a state_dict; biases of zeros in it are biases."""
    if what is Dense:
        add_output(assembly, tensors)
        return
    row = layout_for(TORCHRECURRENT, what) if isinstance(what, Cell) else None
    if row is None:
        names = ", ".join(known.cell.name for known in TORCHRECURRENT)
        raise UnsupportedError(assembly.call, "a state_dict must come with Dense or a cell that torchrecurrent has: "
                               f"{names}", repr(what), "give the cell of the module that it belongs to")  # fmt: skip
    for level in _levels(tensors):
        _add_tensors(assembly, row, level)


def _levels(tensors: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The tensors of each cell of a layer, or those of the one cell."""
    if not any(name.startswith("cells.") for name in tensors):
        yield dict(tensors)
        return
    for level in dict.fromkeys(name.split(".")[1] for name in tensors):
        prefix = f"cells.{level}."
        yield {name.removeprefix(prefix): a for name, a in tensors.items() if name.startswith(prefix)}


def _add_cell(assembly: Assembly, cell: Any) -> None:
    """Add a cell; a bias that the module does not train and that is zeros is no bias."""
    refuse_options(assembly.call, cell)
    assembly.see(assembly.place, cell.parameters())
    row, trained = _row(assembly, cell), _trained(cell)
    found = arrays(assembly.call, cell.state_dict())
    _add_tensors(assembly, row, {name: a for name, a in found.items() if name in trained or a.any()})


def _trained(cell: Any) -> set[str]:
    return {name for name, _ in cell.named_parameters()}


def _add_tensors(assembly: Assembly, row: Layout, tensors: dict[str, Any]) -> None:
    left = {name: a for name, a in tensors.items() if name not in row.constants}
    missing, unknown = row.required - left.keys(), left.keys() - row.tensors.keys()
    if missing or unknown:
        raise TreeError(assembly.call, f"{row.kind} must have the tensors {', '.join(row.tensors)}",
                        f"no {min(missing)}" if missing else f"{min(unknown)!r}",
                        "give the complete state_dict of the one module, without a prefix")  # fmt: skip
    for name in row.constants.keys() & tensors.keys():
        _check_constant(assembly, row, name, float(tensors[name]))
    assembly.add_layer(row, {"forward": left})


def _check_constant(assembly: Assembly, row: Layout, name: str, value: float) -> None:
    constant = row.cell.constants[row.constants[name]]
    if value != constant:
        raise UnsupportedError(assembly.call, f"{name} of {assembly.place} must be that of the cell, {constant:g}",
                               f"{value:g}", f"give the cell with {row.constants[name]}={value!r}")  # fmt: skip
    assembly.notes.append(PlacedNote(assembly.place, Note.LEARNED))


def _row(assembly: Assembly, cell: Any) -> Layout:
    """The row of a cell, with its constants; raises UnsupportedError where it computes another function."""
    kind = CELLS[type(cell)]
    if kind in OTHERS:
        raise UnsupportedError(assembly.call, f"{kind} must compute what a cell of rnnspec does", OTHERS[kind],
                               "declare a cell of your own with the equations of the library")  # fmt: skip
    row = ROWS[kind]
    if row.constants:
        row = row.holding({ours: _number(getattr(cell, theirs)) for theirs, ours in row.constants.items()})
    expected = _settings(made(row, cell.input_size, cell.hidden_size).cells[0])
    for name, value in _settings(cell).items():
        if repr(value) != repr(expected[name]) or type(value) is not type(expected[name]):
            raise UnsupportedError(assembly.call, f"{name} of {kind} in {assembly.place} must be {expected[name]}",
                                   str(value), "declare a cell of your own with it")  # fmt: skip
    return row


def _number(value: Any) -> float:
    return float(value.detach() if isinstance(value, torch.Tensor) else value)


def _settings(cell: Any) -> dict[str, Any]:
    """The functions and numbers that a cell computes with, under the names of its attributes."""
    numbers = {name: float(value) for name, value in vars(cell).items()
               if isinstance(value, Real) and not isinstance(value, bool) and name not in SIZES
               and not name.endswith("_init")}  # fmt: skip
    return dict(cell.named_children()) | numbers


def made(row: Layout, inputs: int, hidden: int, **more: Any) -> Any:
    """A layer of torchrecurrent that a row describes, without numbers, and without the biases that the row spares."""
    known = signature(getattr(torchrecurrent, f"{row.kind}Cell")).parameters
    flags = {flag: False for bias in row.spare for flag in FLAGS[bias] if flag in known}
    options = {name: FUNCTIONS[value]() if value in FUNCTIONS else value for name, value in row.options.items()}
    return getattr(torchrecurrent, row.kind)(inputs, hidden, device=META, **flags | options | more)


def write_modules(call: str, net: Network, params: Tree) -> Exported:
    """The network as layers of torchrecurrent."""
    apart = taken_apart(call, "torchrecurrent", TORCHRECURRENT, net, params)
    dtype = getattr(torch, apart.dtype)
    layers = [_module(call, f"layers.{i}", part, dtype) for i, part in enumerate(apart.parts)]
    output = apart.output and linear(net.layers[-1].width, net.features, apart.output, dtype)
    learned = tuple(PlacedNote(f"layers.{i}.forward", Note.LEARNED) for i, (part, layer)
                    in enumerate(zip(apart.parts, layers, strict=True))
                    if _trained(layer.cells[0]) & part.layout.constants.keys())  # fmt: skip
    states = [part.layout.states for part in apart.parts]
    return Exported(TorchrecurrentNetwork(net, states, layers, output), apart.notes + learned)


def _module(call: str, place: str, part: Part, dtype: Any) -> Any:
    if part.layer.direction != "forward":
        raise UnsupportedError(call, "a layer must be forward: torchrecurrent has no other direction",
                               f"{part.layer.direction} in {place}", "run it with rnnspec")  # fmt: skip
    [tensors] = part.tensors.values()
    first = next(iter(part.layout.places()))[1]
    hidden = len(next(iter(tensors.values()))) // len(first)
    try:
        module = made(part.layout, part.inputs, hidden, dtype=dtype)
    except ValueError as error:
        raise UnsupportedError(call, f"torchrecurrent must take the widths of {place}", f"{part.inputs} inputs and "
                               f"{hidden} hidden units: {error}", "run it with rnnspec") from error  # fmt: skip
    given = {f"cells.0.{name}": a for name, a in tensors.items()}
    for name, tensor in module.state_dict().items():
        if name not in given:
            given[name] = (torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor).numpy()
        if given[name].shape != tensor.shape:
            raise UnsupportedError(call, f"all widths of {place} must be one: torchrecurrent has no others",
                                   f"{part.layer.hidden}", "give the layer one width")  # fmt: skip
    load(module, given)
    return module
