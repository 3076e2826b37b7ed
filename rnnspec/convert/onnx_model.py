"""An ONNX model from a file, from bytes, or as it is, with the functions of the model written out."""

from __future__ import annotations

import os
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto, TensorProto

from rnnspec.errors import ArgumentError

__all__ = ["opened"]


def opened(call: str, model: Any) -> ModelProto:
    """The model; the tensors of a file of its own are read with a path.

    Raises ArgumentError where it is none, or no file is there.
    """
    if isinstance(model, str | os.PathLike):
        model = _loaded(call, os.fspath(model))
    elif isinstance(model, bytes):
        model = _parsed(call, model)
    if not isinstance(model, ModelProto):
        raise ArgumentError(call, "model must be an onnx.ModelProto, its bytes or a path", type(model).__name__,
                            "write onnx.load(path)")  # fmt: skip
    outside = next((i.name for i in model.graph.initializer if i.data_location == TensorProto.EXTERNAL), None)
    if outside is not None:
        raise ArgumentError(call, "model must be valid", f"the tensor {outside!r} in a file of its own",
                            "give the path of the model, or load it by onnx.load(path)")  # fmt: skip
    if not model.functions:
        return model
    from onnx import inliner  # noqa: PLC0415  # older releases of onnx have none

    return inliner.inline_local_functions(model)


def _loaded(call: str, path: str) -> ModelProto:
    try:
        return onnx.load(path)
    except (OSError, DecodeError, ValueError) as error:
        raise ArgumentError(call, "model must be the path of an ONNX model, beside the files of its tensors",
                            f"{type(error).__name__}: {error}",
                            "give the path of the model's own file") from error  # fmt: skip


def _parsed(call: str, data: bytes) -> ModelProto:
    try:
        model = onnx.load_from_string(data)
    except DecodeError as error:
        raise ArgumentError(call, "bytes must be those of an ONNX model", f"{len(data)} bytes: {error}",
                            "give the bytes of the model's file") from error  # fmt: skip
    if not model.graph.node:
        raise ArgumentError(call, "bytes must be those of an ONNX model with nodes", f"{len(data)} bytes without one",
                            "give the bytes of the model's file")  # fmt: skip
    return model
