"""The adapters of the frameworks, each imported once its framework is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from conformance.modules.family import Family

__all__ = ["families", "family_of"]

SIDES = {
    "keras": "conformance.modules.keras_layer:KerasLayers",
    "torch": "conformance.modules.torch_module:TorchModules",
    "flax": "conformance.modules.flax_module:FlaxModules",
    "onnx": "conformance.modules.onnx_model:OnnxModels",
}
"""The adapters, Keras before torch, since on torch a Keras layer is a torch module too."""


def families() -> Iterator[Family]:
    """The adapters whose framework is imported."""
    for framework, place in SIDES.items():
        if framework in sys.modules:
            module, _, name = place.partition(":")
            yield getattr(import_module(module), name)()


def family_of(thing: Any) -> tuple[Family | None, bool]:
    """The adapter of a module or a class, or None, and whether it is a class."""
    for family in families():
        if isinstance(thing, family.kind):
            return family, False
        if isinstance(thing, type) and issubclass(thing, family.kind):
            return family, True
    return None, False
