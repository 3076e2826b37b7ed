"""What layers say of themselves that are alive: those of Keras 3 and of tf_keras."""

from __future__ import annotations

from typing import Any

import keras

from rnnspec.convert.assembly import numbers
from rnnspec.convert.keras_told import CELLS, KINDS, Told, modern
from rnnspec.errors import ArgumentError, UnsupportedError

__all__ = ["is_model", "told"]

PACKAGES = ("keras", "tf_keras")
INNER = {"Bidirectional": ("forward_layer", "backward_layer"), "TimeDistributed": ("layer",), "RNN": ("cell",),
         "StackedRNNCells": ("cells",)}  # fmt: skip
"""The attributes that hold the layers in a layer."""
WEIGHTED = (*KINDS, *CELLS, "Dense", "Embedding", "LayerNormalization", "RMSNormalization")


def is_model(part: Any) -> bool:
    """Whether a part is a model made of layers: a Sequential, or a Functional model."""
    return _package(part) is not None and type(part).__name__ in ("Sequential", "Functional")


def told(call: str, layer: Any) -> Told:
    """What a layer says; of one that is none of Keras' own, only what it is.

    Raises ArgumentError where a layer says too little, or has no weights yet.
    """
    package, kind = _package(layer), type(layer).__name__
    if package is None:
        is_layer = isinstance(layer, keras.layers.Layer)
        return Told(kind, str(getattr(layer, "name", "")), {}, generation=0, is_layer=is_layer)
    try:
        inner = tuple(told(call, own) for name in INNER.get(kind, ()) for own in _each(getattr(layer, name)))
        name, config, own = layer.name, layer.get_config(), [] if inner else list(layer.weights)
    except AttributeError as error:
        raise ArgumentError(call, "a layer must have a name, a configuration and weights",
                            f"a {kind} of {package}: {error}", "give a layer of Keras 3 or of tf_keras") from error
    if kind in WEIGHTED and not layer.built:
        raise ArgumentError(call, "a layer must be built", f"{name} without weights",
                            "call layer.build(shape), or call the layer once")  # fmt: skip
    if getattr(layer, "quantization_mode", None) is not None:
        raise UnsupportedError(call, "a layer must not be quantized", f"{name}, quantization {layer.quantization_mode}",
                               "build it without quantization")  # fmt: skip
    short = {variable.name.rpartition("/")[2].partition(":")[0]: variable for variable in own}
    weights = {n: numbers(call, n, keras.ops.convert_to_numpy(a)) for n, a in short.items()} if kind in WEIGHTED else {}
    generation = 3 if package == "keras" and keras.__version__.startswith("3") else 2
    return Told(kind, name, config, modern(call, weights), generation, inner, tuple(own))


def _package(part: Any) -> str | None:
    package = type(part).__module__.partition(".")[0]
    return package if package in PACKAGES else None


def _each(inner: Any) -> tuple[Any, ...]:
    return tuple(inner) if isinstance(inner, list | tuple) else (inner,)
