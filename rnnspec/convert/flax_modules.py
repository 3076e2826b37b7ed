"""Conversion of Flax nnx modules: weights are attributes of a cell's Linear layers."""

from __future__ import annotations

from functools import reduce
from inspect import signature
from typing import Any

import jax
import numpy as np
from flax import nnx

from rnnspec.convert.assembly import Assembly, Embeds, Part, numbers, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.flax_linen import add_cell, is_cell
from rnnspec.convert.flax_network import FlaxNetwork
from rnnspec.convert.layout import Layout, matching_layout
from rnnspec.convert.layouts import FLAX
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Read
from rnnspec.tree import Tree

__all__ = ["read_modules", "write_modules"]

KINDS = {row.kind: getattr(nnx, row.kind) for row in FLAX}
FUNCTIONS = {name: getattr(nnx, name) for name in ("sigmoid", "tanh", "relu")}
ZEROS = nnx.initializers.zeros_init()
"""The initialiser of weights that are overwritten: random ones would compile a program for every shape."""


def read_modules(call: str, parts: tuple[Any, ...], read: Read) -> Imported:
    """The network of the parts, which run one after the other."""
    assembly = Assembly(call)
    if len(parts) == 1 and type(parts[0]) is FlaxNetwork:
        net, model = parts[0].network, parts[0]
        read, parts = net.read, () if model.output is None else (model.output,)
        for layer, halves in zip(net.layers, model.layers, strict=True):
            _add_cells(assembly, {half: halves[half].cell for half in layer.halves})
    for part in parts:
        _add(assembly, part)
    return assembly.finish(read)


def _add(assembly: Assembly, part: Any) -> None:
    if type(part) is nnx.Linear:
        _add_output(assembly, part)
    elif is_cell(part):
        add_cell(assembly, *part)
    elif type(part) is nnx.Bidirectional:
        if part.merge_fn is not nnx.Bidirectional.merge_fn:
            raise UnsupportedError(assembly.call, "merge_fn must be the default, which concatenates",
                                   repr(part.merge_fn), "leave merge_fn out")  # fmt: skip
        _tell_time_major(assembly, part)
        both = {"forward": part.forward_rnn, "reverse": part.backward_rnn}
        _add_cells(assembly, {half: rnn.cell if type(rnn) is nnx.RNN else rnn for half, rnn in both.items()})
    elif type(part) is nnx.RNN:
        if part.reverse and not part.keep_order:
            raise UnsupportedError(assembly.call, "a reverse RNN must return steps in the order of the inputs",
                                   "keep_order=False", "set keep_order=True, and read step 0 as its last")  # fmt: skip
        _tell_time_major(assembly, part)
        _add_cells(assembly, {"reverse" if part.reverse else "forward": part.cell})
    else:
        _add_cells(assembly, {"forward": part})


def _tell_time_major(assembly: Assembly, part: Any) -> None:
    if not part.time_major:
        assembly.notes.append(PlacedNote(assembly.place, Note.BATCH_FIRST))


def _add_cells(assembly: Assembly, halves: dict[str, Any]) -> None:
    row = assembly.one_kind(_row(assembly.call, cell) for cell in halves.values())
    for half, cell in halves.items():
        assembly.see(f"{assembly.place}.{half}", [_at(cell, name) for name in row.tensors])
        if cell.carry_init is not None:
            assembly.notes.append(PlacedNote(f"{assembly.place}.{half}", Note.INITIAL_STATE))
    assembly.add_layer(row, {half: _tensors(assembly.call, cell, row) for half, cell in halves.items()})


def _refuse_functions(call: str, part: Any) -> None:
    for name in ("dot_general", "promote_dtype"):
        default = signature(type(part).__init__).parameters.get(name)
        if default and getattr(part, name) is not default.default:
            raise UnsupportedError(call, f"{name} must be the default",
                                   f"{getattr(part, name)} of {type(part).__name__}",
                                   "rebuild the part without it")  # fmt: skip


def _row(call: str, cell: Any) -> Layout:
    if type(cell) not in KINDS.values():
        raise ArgumentError(call, f"a part must be one of {', '.join(KINDS)}, an nnx.RNN or nnx.Bidirectional of "
                            "these, or nnx.Linear", type(cell).__name__,
                            "give the parts in the order in which they run")  # fmt: skip
    _refuse_functions(call, cell)
    options = {"residual": getattr(cell, "residual", False)}
    for option in ("gate_fn", "activation_fn"):
        given = getattr(cell, option, None)
        options[option] = next((name for name, function in FUNCTIONS.items() if function is given), given)
    row = matching_layout(FLAX, type(cell).__name__, options)
    if row is None:
        got = ", ".join(f"{name}={value}" for name, value in options.items() if value is not None)
        raise UnsupportedError(call, f"options of {type(cell).__name__} must be those of a row in docs/convert.md", got,
                               "declare a cell with these options")  # fmt: skip
    return row


def _tensors(call: str, cell: Any, row: Layout) -> dict[str, Any]:
    return {name: numbers(call, name, _at(cell, name)[...]) for name in row.tensors}


def _add_output(assembly: Assembly, linear: Any) -> None:
    _refuse_functions(assembly.call, linear)
    bias = None if linear.bias is None else numbers(assembly.call, "bias", linear.bias[...])
    assembly.add_output(numbers(assembly.call, "kernel", linear.kernel[...]).T, bias)


def write_modules(call: str, net: Network, params: Tree) -> Exported:
    """The network as nnx modules."""
    has_double = jax.dtypes.canonicalize_dtype(np.float64) == np.float64
    apart = taken_apart(call, "Flax nnx", FLAX, net, params, None if has_double else "float32", Embeds.APART)
    layers = [{half: nnx.RNN(_cell(part, tensors, apart.dtype), time_major=True, reverse=half == "reverse",
                             keep_order=True, rngs=False) for half, tensors in part.tensors.items()}
              for part in apart.parts]  # fmt: skip
    output = None
    if apart.output is not None:
        output = nnx.Linear(net.layers[-1].width, net.features, param_dtype=apart.dtype, kernel_init=ZEROS,
                            rngs=nnx.Rngs(0))  # fmt: skip
        _load(output, {"kernel": apart.output["W"].T, "bias": apart.output["b"]})
    embedding = None
    if apart.embedding is not None:
        embedding = nnx.Embed(*apart.embedding.shape, dtype=apart.dtype, param_dtype=apart.dtype, embedding_init=ZEROS,
                              rngs=nnx.Rngs(0))  # fmt: skip
        _load(embedding, {"embedding": apart.embedding})
    states = [part.layout.states for part in apart.parts]
    return Exported(FlaxNetwork(net, states, layers, output, embedding), apart.notes)


def _cell(part: Part, tensors: dict[str, Any], dtype: str) -> Any:
    options = {name: FUNCTIONS.get(value, value) if isinstance(value, str) else value
               for name, value in part.layout.options.items()}  # fmt: skip
    cell = KINDS[part.layout.kind](part.inputs, part.layer.half_width, dtype=dtype, param_dtype=dtype,
                                   kernel_init=ZEROS, recurrent_kernel_init=ZEROS, rngs=nnx.Rngs(0),
                                   **options)  # fmt: skip
    _load(cell, tensors)
    return cell


def _at(owner: Any, name: str) -> Any:
    """The nnx.Param of a dotted name."""
    return reduce(getattr, name.split("."), owner)


def _load(owner: Any, tensors: dict[str, Any]) -> None:
    for name, array in tensors.items():
        _at(owner, name)[...] = jax.numpy.asarray(array)
