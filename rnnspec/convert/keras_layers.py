"""Conversion of Keras 3 layers: weights are attributes of a layer's cell, and layers run as in a Sequential."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from rnnspec.convert.assembly import Apart, Embeds, Part, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.keras_parts import add_parts
from rnnspec.convert.keras_reading import Reading
from rnnspec.convert.layouts import KERAS
from rnnspec.errors import UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.tree import Tree

__all__ = ["read_layers", "write_layers"]

KINDS = {row.kind: getattr(keras.layers, row.kind) for row in KERAS}


def read_layers(call: str, parts: tuple[Any, ...], layers: slice) -> Imported:
    """The network of the layers, which run one after the other."""
    reading = Reading(call)
    add_parts(reading, parts, layers)
    return reading.finish()


def write_layers(call: str, net: Network, params: Tree) -> Exported:
    """The network as a `keras.Sequential`."""
    apart = taken_apart(call, "Keras", KERAS, net, params, embeds=Embeds.APART)
    with _same_random_state():
        layers = _layers(call, net, apart)
        model = keras.Sequential([*_inputs(net, apart), *layers])
    for part, layer in zip(apart.parts, layers, strict=False):
        for half, tensors in part.tensors.items():
            _load(_half(layer, half).cell, tensors)
    if apart.embedding is not None:
        _load(model.layers[0], {"embeddings": apart.embedding})
    if apart.output is not None:
        _load(layers[-1], {"kernel": apart.output["W"].T, "bias": apart.output["b"]})
    return Exported(model, (*apart.notes, PlacedNote("", Note.BATCH_FIRST), PlacedNote("", Note.PADDING)))


def _inputs(net: Network, apart: Apart) -> list[Any]:
    """What stands before the recurrent layers."""
    if apart.embedding is None:
        return [keras.Input((None, net.inputs), dtype=apart.dtype)]
    return [keras.Input((None,), dtype="int32"), keras.layers.Embedding(*apart.embedding.shape, dtype=apart.dtype)]


@contextmanager
def _same_random_state() -> Iterator[None]:
    """Keep Python's random state, from which Keras draws seeds, as the caller left it."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _layers(call: str, net: Network, apart: Apart) -> list[Any]:
    layers, read = [], isinstance(net.read, Last)
    for i, part in enumerate(apart.parts):
        last = read and i == len(apart.parts) - 1
        if part.layer.direction == "reverse" and not last:
            raise UnsupportedError(call, "a reverse layer must be the last, read with Last(): Keras returns its steps "
                                   "in processing order", f"reverse in layers.{i}",
                                   "make it bidirectional, or run it with rnnspec")  # fmt: skip
        layers.append(_layer(part, apart.dtype, sequences=not last))
    return layers + ([keras.layers.Dense(net.features, dtype=apart.dtype)] if apart.output is not None else [])


def _layer(part: Part, dtype: str, sequences: bool) -> Any:
    layer = KINDS[part.layout.kind](part.layer.half_width, return_sequences=sequences, dtype=dtype,
                                    go_backwards=part.layer.direction == "reverse",
                                    **part.layout.options)  # fmt: skip
    return keras.layers.Bidirectional(layer, dtype=dtype) if part.layer.direction == "bidirectional" else layer


def _half(layer: Any, half: str) -> Any:
    if type(layer) is keras.layers.Bidirectional:
        return layer.forward_layer if half == "forward" else layer.backward_layer
    return layer


def _load(owner: Any, tensors: dict[str, Any]) -> None:
    for name, array in tensors.items():
        variable = getattr(owner, name)
        variable.assign(array.reshape(variable.shape))
