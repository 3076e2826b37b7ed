"""Files of Keras: models in HDF5 of any version, read without Keras, and arrays by name.

Nothing in a file is run: a model is its configuration and its arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # it has no types
import numpy as np

from rnnspec.convert.keras_chain import Link, links
from rnnspec.convert.keras_told import CELLS, KINDS, Told, named_arrays
from rnnspec.errors import ArgumentError, FileFormatError, TreeError

__all__ = ["arrays_of", "chain_of"]

Array = Any
Layers = Sequence[Mapping[str, Any]]
WEIGHTS = {**dict.fromkeys((*KINDS, *CELLS), ("kernel", "recurrent_kernel", "bias")), "Dense": ("kernel", "bias"),
           "Embedding": ("embeddings",), "LayerNormalization": ("gamma", "beta"),
           "RMSNormalization": ("scale",)}  # fmt: skip
"""The weights of each kind of layer, in the order in which Keras stores them."""
FORMER = {"TimeDistributedDense": "Dense"}


def chain_of(call: str, path: str | os.PathLike[str]) -> list[Link]:
    """The layers of the model in an HDF5 file; raises ArgumentError where the file holds weights alone."""
    with _opened(call, path) as file:
        if "model_config" not in file.attrs:
            raise ArgumentError(call, "a file must say which layers it holds, as model.save writes it",
                                f"weights alone, below {', '.join(_places(file)) or 'nothing'}",
                                "give pairs with their cells: (cells.lstm, path, prefix)")  # fmt: skip
        generation = 3 if _text(file.attrs.get("keras_version", "2")).startswith("3") else 2
        model = json.loads(_text(file.attrs["model_config"]))
        config, group = model["config"], file.get("model_weights", file)
        layers = config if isinstance(config, list) else config["layers"]
        found = {}
        for own in layers:
            name = own.get("name") or own["config"]["name"]
            found[name] = _told(call, own, _stored(group, name), generation)
        return links(call, config, found)


def arrays_of(call: str, path: str | os.PathLike[str], prefix: str) -> dict[str, Array]:
    """The arrays of an HDF5 file below a prefix, by what follows it in their names."""
    with _opened(call, path) as file:
        found = {name.removeprefix(prefix): np.asarray(file[name]) for name in _names(file) if name.startswith(prefix)}
        places = _places(file)
        if not found or (not prefix and len(places) > 1):
            raise TreeError(call, f"a prefix must pick the arrays of one layer, and {prefix!r} does not",
                            f"recurrent layers below {', '.join(map(repr, places)) or 'nothing'}",
                            f"give a prefix, as in (cell, path, {places[0] if places else ''!r})")  # fmt: skip
        return {name.replace("/vars/", "/"): a for name, a in found.items()}


def _opened(call: str, path: str | os.PathLike[str]) -> Any:
    try:
        return h5py.File(Path(path), "r")
    except OSError as error:
        raise FileFormatError(call, "the file must be one of Keras: .keras, .h5 or .weights.h5",
                              f"{os.fspath(path)!r}: {error}", "store the model with model.save(path)") from error


def _places(file: Any) -> list[str]:
    """What the names of each recurrent layer's arrays begin with."""
    found = [name.removesuffix("vars/1").removesuffix(name.rpartition("/")[2]) for name in _names(file)
             if name.rpartition("/")[2].startswith("recurrent_kernel") or name.endswith("cell/vars/1")]  # fmt: skip
    return list(dict.fromkeys(found))


def _names(file: Any) -> list[str]:
    """The full names of all arrays."""
    found: list[str] = []
    file.visititems(lambda name, own: found.append(name) if isinstance(own, h5py.Dataset) else None)
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _stored(group: Any, name: str) -> dict[str, Array]:
    """The arrays of a layer, in the order in which they were written."""
    if name not in group:
        return {}
    attributes = group[name].attrs
    # Keras splits a list that is too long for one attribute into weight_names0, weight_names1 and so on.
    parts = ["weight_names", *(f"weight_names{i}" for i in range(len(attributes)))]
    names = [_text(each) for own in parts if own in attributes for each in attributes[own]]
    return {own: np.asarray(group[name][own]) for own in names}


def _told(call: str, entry: Mapping[str, Any], stored: Mapping[str, Array], generation: int) -> Told:
    kind, config = FORMER.get(entry["class_name"], entry["class_name"]), entry["config"]
    name = config.get("name", kind) if isinstance(config, Mapping) else kind
    inner = _inner(call, kind, config, stored, generation)
    if inner or kind not in WEIGHTS:
        return Told(kind, name, config, {}, generation, inner)
    apart = named_arrays(call, stored, WEIGHTS[kind])
    return Told(kind, name, config, next(iter(apart.values()), {}), generation)


def _inner(call: str, kind: str, config: Any, stored: Mapping[str, Array], generation: int) -> tuple[Told, ...]:
    """The layers in a layer, with their parts of its arrays, which are in order."""
    if kind == "Bidirectional":
        own = config["layer"]
        turned = {**own, "config": {**own["config"], "go_backwards": not own["config"].get("go_backwards", False)}}
        entries = [own, config.get("backward_layer") or turned]
    elif kind in ("TimeDistributed", "RNN"):
        entries = [config["layer" if kind == "TimeDistributed" else "cell"]]
    elif kind == "StackedRNNCells":
        entries = config["cells"]
    else:
        return ()
    names, size = list(stored), len(stored) // max(1, len(entries))
    parts = [{name: stored[name] for name in names[i * size : (i + 1) * size]} for i in range(len(entries))]
    return tuple(_told(call, entry, own, generation) for entry, own in zip(entries, parts, strict=True))
