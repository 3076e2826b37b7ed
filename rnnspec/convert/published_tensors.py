"""Published layers, read from their named tensors and given out as such."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from rnnspec.convert.assembly import numbers, tree_of
from rnnspec.convert.axes import joined, ordered, shape_of, sizes_of
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout
from rnnspec.convert.layout_tensors import Prefix, read_layout, write_layout
from rnnspec.convert.published_layouts import PUBLISHED, Published
from rnnspec.errors import ArgumentError, FileFormatError, ShapeError, TreeError, UnsupportedError
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.tree import Tree, leaves

__all__ = ["read_tensors", "write_tensors"]

Array = Any
ORDERS = {"W": "ghod", "b": "gho", "U": "ghoi", "p": "gho"}
"""The axes of our maps, before heads are laid side by side; `g` counts the maps of a tensor."""


def read_tensors(call: str, kind: str | Layout, tensors: Any, prefix: Prefix) -> Imported:
    """The network of one published layer, or of the layers of a layout."""
    begin = prefix if isinstance(prefix, str) else ""
    given = _file(call, tensors, begin) if isinstance(tensors, str | os.PathLike) else tensors
    if not isinstance(given, Mapping):
        raise ArgumentError(call, "tensors must be a mapping of names to arrays, or the path of a safetensors file",
                            type(tensors).__name__, "give the tensors by name")  # fmt: skip
    if isinstance(kind, Layout):
        return read_layout(call, kind, given, prefix)
    row = _row(call, kind)
    if not isinstance(prefix, str):
        raise ArgumentError(call, f"prefix of {kind} must be a text", repr(prefix), "read its layers one by one")
    own = {name.removeprefix(prefix): array for name, array in given.items() if name.startswith(prefix)}
    notes = _check_names(call, kind, row, own)
    arrays = {name: numbers(call, prefix + name, own[name]) for name in row.tensors}
    sizes = _sizes(call, row, arrays)
    dtype = np.result_type(*arrays.values())
    maps = {label: array for name, stored in arrays.items() for label, array in _maps(row, name, stored, sizes, dtype)}
    layer = Layer(row.cell, sizes["o"], heads=sizes["h"])
    net = Network(sizes["h"] * sizes.get("d", sizes["i"]), [layer])
    if sizes["h"] > 1 and any(label.startswith("W") for label in maps):
        notes.append(PlacedNote("layers.0.forward", Note.BLOCKS))
    return Imported(net, {"layers": [{"forward": tree_of(maps)}]}, tuple(notes))


def _row(call: str, kind: Any) -> Published:
    row = PUBLISHED.get(kind) if isinstance(kind, str) else None
    if row is None:
        raise ArgumentError(call, f"kind must be one of {', '.join(PUBLISHED)}, or a Layout", repr(kind),
                            "choose one, or say where the maps lie with convert.Layout")  # fmt: skip
    return row


def _file(call: str, path: str | os.PathLike[str], prefix: str) -> dict[str, Array]:
    """The tensors of a safetensors file whose names begin with the prefix; nothing is unpickled."""
    try:
        with safe_open(Path(path), framework="np") as file:
            names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name: _wide(Path(path), name) if file.get_slice(name).get_dtype() == "BF16" else
                    file.get_tensor(name) for name in names}  # fmt: skip
    except (OSError, SafetensorError) as error:
        raise FileFormatError(call, "the file must be a safetensors file", f"{os.fspath(path)!r}: {error}",
                              "give a file of that format") from error  # fmt: skip


def _wide(path: Path, name: str) -> Array:
    """A tensor in bfloat16, which NumPy does not have, as float32: its upper 16 bits are those of a bfloat16."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[name]
        begin, end = entry["data_offsets"]
        file.seek(8 + length + begin)
        halves = np.frombuffer(file.read(end - begin), "<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _check_names(call: str, kind: str, row: Published, own: Mapping[str, Any]) -> list[PlacedNote]:
    missing = [name for name in row.tensors if name not in own]
    others = [name for name in own if name not in row.tensors]
    for name in others:
        reason = next((why for begin, why in row.refused.items() if name.startswith(begin)), None)
        if reason:
            raise UnsupportedError(call, f"{kind} must compute {row.cell.name} of its input", f"{name}: {reason}",
                                   "declare a cell of your own")  # fmt: skip
    unknown = [name for name in others if not name.startswith(row.outside)]
    if missing or unknown:
        raise TreeError(call, f"{kind} must have the tensors {', '.join(row.tensors)}",
                        f"no {missing[0]}" if missing else f"{unknown[0]!r}",
                        "give the prefix that the names of the layer's tensors begin with")  # fmt: skip
    return [PlacedNote("layers.0", Note.OUTSIDE)] if others else []


def _sizes(call: str, row: Published, arrays: Mapping[str, Array]) -> dict[str, int]:
    """The lengths of all axes; what a recurrent map reads is as wide as what it gives."""
    sizes: dict[str, int] = {}
    for name, layout in row.tensors.items():
        known = sizes | {"g": len(layout.maps.split())} | ({"i": sizes["o"]} if "o" in sizes else {})
        found = sizes_of(layout.axes, arrays[name].shape, known)
        if found is None or not all(found.values()) or found.get("i", found.get("o")) != found.get("o"):
            raise ShapeError(call, f"{name} must have the shape {shape_of(layout.axes, known)}",
                             f"shape {arrays[name].shape}", "give all tensors from one layer, by its kind")  # fmt: skip
        sizes = found
    return sizes


def _maps(row: Published, name: str, stored: Array, sizes: dict[str, int], dtype: Any) -> list[tuple[str, Array]]:
    """The maps that a tensor holds, by name, in our shapes."""
    layout = row.tensors[name]
    labels = layout.maps.split()
    apart = ordered(layout.axes, stored, sizes | {"g": len(labels)}, ORDERS[labels[0][0]]).astype(dtype)
    return [(label, _ours(label[0], block)) for label, block in zip(labels, apart, strict=True)]


def _ours(kind: str, block: Array) -> Array:
    """A map in our shape: parts of heads side by side, but for a recurrent map."""
    if kind == "U":
        return block.copy()
    if kind == "W":
        heads, out, features = block.shape
        whole = np.zeros((heads, out, heads, features), block.dtype)
        whole[np.arange(heads), :, np.arange(heads)] = block
        return whole.reshape(heads * out, heads * features)
    return block.reshape(-1).copy()


def write_tensors(call: str, kind: str | Layout, net: Network, params: Tree, prefix: Prefix) -> Exported:
    """The tensors of one published layer, or of the layers of a layout, by name."""
    if isinstance(kind, Layout):
        return write_layout(call, kind, net, params, prefix)
    row = _row(call, kind)
    layer = _only(call, kind, row, net)
    maps = {name: np.asarray(array) for name, array in leaves(params["layers"][0]["forward"])}
    sizes = {"h": layer.heads or 1, "o": layer.half_width // (layer.heads or 1)}
    tensors = {}
    for name, layout in row.tensors.items():
        labels = layout.maps.split()
        blocks = np.stack([_theirs(call, label, maps[label], sizes) for label in labels])
        tensors[f"{prefix}{name}"] = np.ascontiguousarray(joined(layout.axes, blocks, ORDERS[labels[0][0]]))
    notes = [PlacedNote("layers.0", Note.POLICY)] if layer.gradient is not None else []
    notes += [PlacedNote("layers.0", Note.NOISE)] if layer.noises else []
    return Exported(tensors, tuple(notes + ([PlacedNote("", Note.OBJECTIVE)] if net.loss is not None else [])))


def _only(call: str, kind: str, row: Published, net: Network) -> Layer:
    """The one layer of the network."""
    layer = net.layers[0]
    expected = Layer(row.cell, layer.hidden, heads=layer.heads or 1, inputs=layer.inputs)
    same = layer.heads is not None and layer.evaluated == expected.cell and layer.direction == "forward"
    alone = len(net.layers) == 1 and net.output is None and not net.head and not layer.residual
    if not alone or not same:
        raise UnsupportedError(call, f"{kind} is one forward layer of {row.cell.name} with heads and no output layer",
                               f"{net}, heads={layer.heads}", "give the layer in a network of its own")  # fmt: skip
    return layer


def _theirs(call: str, label: str, ours: Array, sizes: Mapping[str, int]) -> Array:
    """A map with an axis for heads; a map of the input must be block-diagonal."""
    heads, out = sizes["h"], sizes["o"]
    if label[0] == "U":
        return ours
    if label[0] != "W":
        return ours.reshape(heads, out)
    apart = ours.reshape(heads, out, heads, -1)
    blocks = apart[np.arange(heads), :, np.arange(heads)]
    if np.count_nonzero(blocks) != np.count_nonzero(ours):
        raise UnsupportedError(call, f"{label} must map the inputs of each head to that head alone",
                               "numbers outside the blocks", "train it with zeros there")  # fmt: skip
    return blocks
