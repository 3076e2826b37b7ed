"""Parts of torch.nn, read one after the other: modules, and pairs of a cell and a state_dict."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import torch
from torch import nn

from rnnspec.convert.assembly import Assembly
from rnnspec.convert.conversion import Note, PlacedNote
from rnnspec.convert.layout import Layout, layout_for, matching_layout, named_layout
from rnnspec.convert.layouts import TORCH
from rnnspec.convert.torch_activations import MODULES
from rnnspec.convert.torch_states import below, is_path, prefixes, refusal, state_of
from rnnspec.convert.torch_tensors import add_output, arrays
from rnnspec.convert.torch_told import Told, bare, kind_of, told
from rnnspec.embedding import Embedding
from rnnspec.errors import ArgumentError, TreeError, UnsupportedError
from rnnspec.feed_forward import LayerNorm, RMSNorm
from rnnspec.output import Dense
from rnnspec.tracing.cell import Cell

__all__ = ["PARTS", "RECURRENT", "SUFFIXES", "add_part", "advice", "recurrent_in", "refuse"]

SUFFIXES = {"forward": "", "reverse": "_reverse"}
SILENT = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")
"""The modules that do nothing in evaluation."""


def add_part(assembly: Assembly, part: Any) -> None:
    """Add a module, or a pair of what it is and its state_dict, perhaps with a prefix."""
    if isinstance(part, nn.Module):
        _add_module(assembly, bare(part))
    elif isinstance(part, tuple) and len(part) in (2, 3) and (isinstance(part[1], Mapping) or is_path(part[1])):
        _add_state(assembly, part[0], part[1], *part[2:])
    else:
        refuse(assembly.call, part)


def recurrent_in(model: nn.Module) -> list[str]:
    """The names of the recurrent modules in a model."""
    return [name for name, module in model.named_modules() if name and kind_of(bare(module)) in RECURRENT]


def advice(model: nn.Module) -> str:
    """How to give the parts of a model one by one."""
    return "give the parts in the order in which they run" + "".join(
        f", such as from_torch(model.{', model.'.join(own)}, ...)" for own in [recurrent_in(model)] if own)


def refuse(call: str, part: Any, reason: str = "") -> NoReturn:
    """Raise the ArgumentError of what is no part; of a model, it names the parts to give instead."""
    got, do = type(part).__name__, "give the parts of the model in the order in which they run"
    if isinstance(part, nn.Module):
        own, do = recurrent_in(part), advice(part)
        got += f", in which {', '.join(own)} {'is' if len(own) == 1 else 'are'} recurrent" if own else ""
    elif is_path(part) or isinstance(part, Mapping):
        own = prefixes(state_of(call, part))
        got += f" with the tensors of recurrent modules below {', '.join(map(repr, own))}" if own else ""
        do = f"give a pair with its cell: (cells.lstm, {'path' if is_path(part) else 'state_dict'}" + (
            f", {own[0]!r})" if own and own[0] else ")")
    raise ArgumentError(call, f"a part must be a torch.nn.{', torch.nn.'.join(RECURRENT)}, Linear or another that "
                        "docs/convert.md lists, a Sequential of these, a model of these that torch.fx can trace, or a "
                        "pair (cell, state_dict) or (Dense, state_dict), perhaps with a prefix", got + reason,
                        do)  # fmt: skip


def _add_module(assembly: Assembly, module: Any) -> None:
    kind = kind_of(module)
    if kind == "Sequential":
        for _, own in module.named_children():
            add_part(assembly, own)
        return
    if kind is None or kind not in READERS:
        refuse(assembly.call, module)
    found = told(assembly.call, kind, module)
    assembly.see(assembly.place, found.weights)
    for note in found.notes:
        assembly.note(note)
    READERS[kind](assembly, found)


def _recurrent(assembly: Assembly, found: Told) -> None:
    if found.options.get("batch_first"):
        assembly.note(Note.BATCH_FIRST)
    tensors = arrays(assembly.call, found.tensors)
    names = [name.removesuffix("_l0") for name in tensors if "_l" not in name.removesuffix("_l0")]
    row = matching_layout(TORCH, found.kind.removesuffix("Cell"), found.options, names)
    if row is None:
        raise UnsupportedError(assembly.call, "the module must be one that rnnspec.convert.layouts lists",
                               f"{found.kind} with {', '.join(names)}", "see docs/convert.md")  # fmt: skip
    rate, first = found.options.get("dropout", 0.0), assembly.index
    levels = _add_layers(assembly, row, tensors)
    if rate and levels > 1:
        between = f"between layers.{first} and layers.{first + levels - 1}"
        assembly.note(Note.DROPOUT, f"Dropout({rate:g}) {between} in training")


def _linear(assembly: Assembly, found: Told) -> None:
    add_output(assembly, arrays(assembly.call, found.tensors))


def _norm(assembly: Assembly, found: Told) -> None:
    if len(found.options["normalized_shape"]) > 1:
        raise UnsupportedError(assembly.call, f"{found.kind} must be over the features of one step",
                               f"normalized_shape={found.options['normalized_shape']}",
                               "see docs/convert.md")  # fmt: skip
    tensors = arrays(assembly.call, found.tensors)
    epsilon = found.options["eps"]
    if found.kind == "RMSNorm" and epsilon is None:
        epsilon = float(torch.finfo(next(iter(found.tensors.values()), torch.zeros(())).dtype).eps)
    norm = LayerNorm(epsilon) if found.kind == "LayerNorm" else RMSNorm(epsilon)
    assembly.add_norm(norm, tensors.get("weight"), tensors.get("bias"))


def _embedding(assembly: Assembly, found: Told) -> None:
    if found.options["max_norm"] is not None:
        raise UnsupportedError(assembly.call, "max_norm of Embedding must be None, as it changes rows that are read",
                               f"max_norm={found.options['max_norm']}", "scale the rows yourself")  # fmt: skip
    assembly.add_embedding(arrays(assembly.call, found.tensors)["weight"])
    if found.options["padding_idx"] is not None:
        assembly.notes.append(PlacedNote("embedding", Note.PADDING_CLASS, f"class {found.options['padding_idx']}"))


def _activation(assembly: Assembly, found: Told) -> None:
    name, make = MODULES[found.kind]
    assembly.add_activation(name, make(found.options))


def _silent(assembly: Assembly, found: Told) -> None:
    if found.options["p"]:
        assembly.note(Note.DROPOUT, f"{found.kind}({found.options['p']:g}) in training")


def _nothing(assembly: Assembly, found: Told) -> None:
    """An Identity."""


RECURRENT = ("RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell")
READERS: dict[str, Callable[[Assembly, Told], None]] = {
    **dict.fromkeys(RECURRENT, _recurrent), **dict.fromkeys(SILENT, _silent), "Linear": _linear, "Identity": _nothing,
    "Embedding": _embedding, "LayerNorm": _norm, "RMSNorm": _norm, **dict.fromkeys(MODULES, _activation),
}  # fmt: skip
"""What reads a module of each kind."""
PARTS = tuple(READERS)
"""The kinds of module that are read."""


def _add_state(assembly: Assembly, what: Any, given: Any, prefix: str = "") -> None:
    """Add what a state_dict holds; a cell of one's own is read by the names of its maps."""
    kind = type(what) if isinstance(what, LayerNorm | RMSNorm) else what
    row = None if kind in STATES else _row_of(assembly, what)
    state = state_of(assembly.call, given)
    tensors = below(assembly.call, state, prefix)
    assembly.see(assembly.place, tensors.values())
    if row is None:
        STATES[kind](assembly, what, arrays(assembly.call, tensors))
    else:
        _check_names(assembly.call, row, tensors, state)
        _add_layers(assembly, row, arrays(assembly.call, tensors))


def _add_dense(assembly: Assembly, _: Any, tensors: dict[str, Any]) -> None:
    add_output(assembly, tensors)


def _add_table(assembly: Assembly, _: Any, tensors: dict[str, Any]) -> None:
    _check_tensors(assembly.call, "Embedding", tensors, ("weight",))
    assembly.add_embedding(tensors["weight"])


def _add_norm(assembly: Assembly, what: Any, tensors: dict[str, Any]) -> None:
    norm = what() if isinstance(what, type) else what
    names = ("weight", "bias") if isinstance(norm, LayerNorm) else ("weight",)
    _check_tensors(assembly.call, type(norm).__name__, tensors, names)
    assembly.add_norm(norm, tensors["weight"], tensors.get("bias"))


def _check_tensors(call: str, kind: str, tensors: Mapping[str, Any], names: tuple[str, ...]) -> None:
    if tensors.keys() != set(names):
        raise refusal(call, f"a state_dict of {kind} must hold {' and '.join(names)}", tensors)


STATES: dict[Any, Callable[[Assembly, Any, dict[str, Any]], None]] = {
    Dense: _add_dense, Embedding: _add_table, LayerNorm: _add_norm, RMSNorm: _add_norm,
}
"""What reads a state_dict of what is no cell; a norm may be given with an epsilon, as in (LayerNorm(1e-3), state)."""


def _row_of(assembly: Assembly, cell: Any) -> Layout:
    if isinstance(cell, Cell):
        row = layout_for(TORCH, cell)
        if row is not None:
            return row
        row = named_layout(TORCH, cell)
        if row is not None:
            assembly.note(Note.EQUATIONS, f"{cell.label} in place of {row.kind}")
            return replace(row, cell=cell)
    names = ", ".join(known.cell.name for known in TORCH)
    raise UnsupportedError(assembly.call, "a state_dict must come with Dense, or a cell that torch.nn has or that has "
                           f"the same maps: {names}", repr(cell), "give the cell of the module that it belongs to, or "
                           "say where its maps lie with convert.Layout, and call from_tensors")  # fmt: skip


def _check_names(call: str, row: Layout, tensors: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Raise TreeError where no tensor is that of a first layer, or one is no tensor of the module."""
    ends = [f"{level}{suffix}" for level in _levels(tensors) for suffix in SUFFIXES.values()]
    known = {f"{name}{end}" for name in row.tensors for end in ends}
    others = sorted(tensors.keys() - known)
    if others or not known & tensors.keys():
        raise refusal(call, f"a state_dict for {row.cell.name} must hold the tensors of {row.kind}, such as "
                      "weight_ih_l0, and no others", state, repr(min(others, default="nothing")))  # fmt: skip


def _levels(tensors: Mapping[str, Any]) -> Iterator[str]:
    """The endings of the names of each layer's tensors: `_l0`, `_l1` and so on, or none for a cell of one step."""
    if "weight_ih" in tensors:
        yield ""
    level = 0
    while f"weight_ih_l{level}" in tensors:
        yield f"_l{level}"
        level += 1


def _add_layers(assembly: Assembly, row: Layout, tensors: Mapping[str, Any]) -> int:
    """Add the layers of a module, and say how many they are."""
    levels = list(_levels(tensors))
    for level in levels:
        halves: dict[str, Any] = {}
        for half, suffix in SUFFIXES.items():
            end = f"{level}{suffix}"
            found = {name: tensors[name + end] for name in row.tensors if name + end in tensors}
            missing = row.required - found.keys()
            if missing and (found or half == "forward"):
                raise TreeError(assembly.call, f"{row.kind} must have its weights", f"no {min(missing)}{end}",
                                "give the complete state_dict of the module")  # fmt: skip
            halves |= {half: found} if found else {}
        assembly.add_layer(row, halves)
    return len(levels)
