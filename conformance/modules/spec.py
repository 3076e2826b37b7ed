"""Specs of modules: `package:Thing`, `package.module:Owner.thing`, or the path of an ONNX file."""

from __future__ import annotations

from functools import reduce
from importlib import import_module, util
from pathlib import Path
from typing import Any

from rnnspec.errors import ArgumentError, BackendUnavailable

__all__ = ["check", "is_module", "named"]

ONNX = ".onnx"
MUST = "it must be package:Thing or the path of an ONNX file"


def is_module(name: str) -> bool:
    """Whether a name is that of a module, not of a backend."""
    return ":" in name or name.endswith(ONNX)


def check(spec: str) -> None:
    """Raise LookupError where a spec cannot name a module; imports nothing."""
    package, _, attribute = spec.partition(":")
    if spec.endswith(ONNX):
        if not Path(spec).is_file():
            raise LookupError(f"{MUST}, got {spec!r}, which is no file")
    elif not attribute or not package or util.find_spec(package.partition(".")[0]) is None:
        raise LookupError(f"{MUST}, got {spec!r}; name a package that can be imported from here")


def named(spec: str, option: str = "--module") -> Any:
    """The object that a spec names: a class, a factory, an instance or a model; errors name the option.

    Raises ArgumentError where it does not exist, and BackendUnavailable where its framework is not installed.
    """
    call = f"{option} {spec}"
    if spec.endswith(ONNX):
        return _model(call, spec)
    package, _, attribute = spec.partition(":")
    try:
        return reduce(getattr, attribute.split("."), import_module(package))
    except ModuleNotFoundError as error:
        name = str(error.name)
        raise BackendUnavailable(call, f"{name} must be installed", str(error), f"pip install {name}") from error
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(call, MUST, str(error), "give the name of an existing object") from error


def _model(call: str, path: str) -> Any:
    try:
        onnx = import_module("onnx")
    except ModuleNotFoundError as error:
        raise BackendUnavailable(call, "onnx must be installed", str(error), "pip install onnx") from error
    try:
        return onnx.load(path)
    except Exception as error:
        raise ArgumentError(call, MUST, f"{type(error).__name__}: {error}", "give the file of an ONNX model") from error
