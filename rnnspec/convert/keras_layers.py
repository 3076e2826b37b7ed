"""Conversion of Keras 3 layers: weights are attributes of a layer's cell, and layers run as in a Sequential."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from rnnspec.convert.assembly import Apart, Assembly, Embeds, Part, numbers, taken_apart
from rnnspec.convert.conversion import Exported, Imported, Note, PlacedNote
from rnnspec.convert.layout import Layout, matching_layout
from rnnspec.convert.layouts import KERAS
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.network import Network
from rnnspec.output import Last, Read, Steps
from rnnspec.tree import Tree

__all__ = ["read_layers", "write_layers"]

KINDS = {row.kind: getattr(keras.layers, row.kind) for row in KERAS}
CELLS = {getattr(keras.layers, f"{kind}Cell"): kind for kind in KINDS}
PLAIN = {"dropout": 0.0, "recurrent_dropout": 0.0, "stateful": False, "zero_output_for_mask": False,
         "go_backwards": False}  # fmt: skip
"""Options of a recurrent layer, and the only values that convert."""
ENFORCED = ("zero_output_for_mask",)
"""Options that a Bidirectional sets in its layers."""
STEPS: Read = Steps()
ANNOTATIONS = ("_regularizer", "_constraint")


def read_layers(call: str, parts: tuple[Any, ...]) -> Imported:
    """The network of the layers, which run one after the other."""
    assembly, read = Assembly(call), STEPS
    for layer in _flat(parts):
        if type(layer) is keras.layers.Dense:
            _add_dense(assembly, layer)
        elif _kind(layer) or type(layer) is keras.layers.Bidirectional:
            if isinstance(read, Last):
                raise UnsupportedError(call, "every recurrent layer before the last must have return_sequences",
                                       f"{layer.name} after one without", "set return_sequences=True")  # fmt: skip
            read = _add_recurrent(assembly, layer)
        else:
            raise _unsupported(call, layer)
    assembly.notes.append(PlacedNote("", Note.BATCH_FIRST))
    return assembly.finish(read)


def _kind(layer: Any) -> str | None:
    """The kind of a recurrent layer; a keras.layers.RNN is of the kind of its cell."""
    if type(layer) is keras.layers.RNN:
        return CELLS.get(type(layer.cell))
    return next((kind for kind, known in KINDS.items() if type(layer) is known), None)


def _config(layer: Any) -> dict[str, Any]:
    """The options of a recurrent layer; those of a keras.layers.RNN are its own and its cell's."""
    parts = (layer, layer.cell) if type(layer) is keras.layers.RNN else (layer,)
    return {name: value for part in parts for name, value in part.get_config().items()}


def _flat(parts: tuple[Any, ...]) -> Iterator[Any]:
    for part in parts:
        if isinstance(part, keras.Sequential):
            yield from _flat(tuple(part.layers))
        elif not isinstance(part, keras.layers.InputLayer):
            yield part


def _unsupported(call: str, layer: Any) -> Exception:
    must = f"layers must be {', '.join(KINDS)}, an RNN of one cell of these, Bidirectional of these, or Dense"
    if not isinstance(layer, keras.layers.Layer):
        return ArgumentError(call, must, type(layer).__name__, "give a Sequential or its layers")
    return UnsupportedError(call, must, f"{type(layer).__name__} {layer.name!r}",
                            "leave out layers that do nothing in evaluation, and give masks as lengths")  # fmt: skip


def _add_recurrent(assembly: Assembly, layer: Any) -> Read:
    call = assembly.call
    if not layer.built:
        raise ArgumentError(call, "a layer must be built", f"{layer.name} without weights",
                            "call layer.build(shape), or call the layer once")  # fmt: skip
    halves = _halves(call, layer)
    row = assembly.one_kind(_row(call, own, half, layer is own) for half, own in halves.items())
    tensors = {}
    for half, own in halves.items():
        assembly.see(f"{assembly.place}.{half}", own.cell.weights)
        _tell_annotations(assembly, f"{assembly.place}.{half}", own)
        found = _tensors(call, own.cell, row.tensors)
        tensors[half] = {name: a.reshape(-1) if name == "bias" else a for name, a in found.items()}
    assembly.add_layer(row, tensors)
    return Steps() if layer.return_sequences else Last()


def _halves(call: str, layer: Any) -> dict[str, Any]:
    if type(layer) is not keras.layers.Bidirectional:
        # go_backwards returns steps in processing order: only the last one equals that of a reverse layer.
        return {"reverse" if layer.go_backwards and not layer.return_sequences else "forward": layer}
    if layer.merge_mode != "concat":
        raise UnsupportedError(call, "merge_mode must be 'concat'", f"{layer.merge_mode!r} of {layer.name}",
                               "rebuild the layer with merge_mode='concat'")  # fmt: skip
    return {"forward": layer.forward_layer, "reverse": layer.backward_layer}


def _tell_annotations(assembly: Assembly, place: str, layer: Any) -> None:
    if any(value is not None for name, value in _config(layer).items() if name.endswith(ANNOTATIONS)):
        assembly.notes.append(PlacedNote(place, Note.REGULARISERS))


def _row(call: str, layer: Any, half: str, alone: bool) -> Layout:
    kind = _kind(layer)
    if kind is None:
        raise _unsupported(call, layer)
    config = _config(layer)
    for name, value in (PLAIN | {"go_backwards": half == "reverse"}).items():
        if config[name] != value and (alone or name not in ENFORCED):
            raise UnsupportedError(call, f"{name} must be {value}", f"{name}={config[name]} of {layer.name}",
                                   "rebuild the layer with that value")  # fmt: skip
    row = matching_layout(KERAS, kind, config)
    if row is None:
        names = ("activation", "recurrent_activation")
        got = ", ".join(f"{name}={config[name]!r}" for name in names if name in config)
        raise UnsupportedError(call, f"activations of {kind} must be those of a row in docs/convert.md",
                               f"{got} of {layer.name}", "declare a cell with these activations")  # fmt: skip
    return row


def _tensors(call: str, owner: Any, names: Any) -> dict[str, Any]:
    found = {name: getattr(owner, name) for name in names}
    return {name: numbers(call, name, keras.ops.convert_to_numpy(variable))
            for name, variable in found.items() if variable is not None}  # fmt: skip


def _add_dense(assembly: Assembly, layer: Any) -> None:
    config = layer.get_config()
    if config["activation"] != "linear":
        raise UnsupportedError(assembly.call, "activation of Dense must be linear: outputs are logits",
                               f"{config['activation']!r} of {layer.name}",
                               "set layer.activation = keras.activations.linear, and apply it to outputs")  # fmt: skip
    if not layer.built or layer.quantization_mode is not None:
        raise UnsupportedError(assembly.call, "a Dense must be built and not quantized",
                               f"{layer.name}, built={layer.built}, quantization {layer.quantization_mode}",
                               "build it without quantization")  # fmt: skip
    _tell_annotations(assembly, "output", layer)
    tensors = _tensors(assembly.call, layer, ("kernel", "bias"))
    assembly.add_output(tensors["kernel"].T, tensors.get("bias"))


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
