"""Validation of class numbers, the inputs of a network with an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.embedding import Embedding
from rnnspec.errors import DtypeError, InputError, ShapeError
from rnnspec.interface.owner import Owner

__all__ = ["check_shape", "read"]


def check_shape(call: str, inputs: Any) -> None:
    """Raise ShapeError where inputs are no class numbers (time, batch)."""
    if len(inputs.shape) != 2:
        raise ShapeError(call, "inputs must be class numbers (time, batch)", f"shape {tuple(inputs.shape)}",
                         "transpose or reshape them, without an axis of features")  # fmt: skip


def read(
    backend: Owner, call: str, what: str, own: Embedding, given: Any, real: np.ndarray[Any, Any] | None
) -> Array:
    """Class numbers as the backend's own array of int32, 0 where they are not `real`.

    Where `real` is None the numbers cannot be read, and stay as they are. Raises DtypeError where the array holds no
    whole numbers, and InputError where a real one is no class.
    """
    hidden = real is None
    host = given if hidden else backend.to_numpy_array(given) if backend.is_own(given) else np.asarray(given)
    kind = backend.own_dtype(given) if hidden else str(host.dtype)
    if not kind.rpartition(".")[2].startswith(("int", "uint")):
        raise DtypeError(call, f"{what} must be class numbers, of an integer dtype", f"dtype {kind}",
                         "convert them with astype(int)")  # fmt: skip
    if real is None:
        return given
    wrong = np.argwhere(real & ((host < 0) | (host >= own.classes)))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise InputError(call, f"{what} at real steps must be class numbers of 0..{own.classes - 1}",
                         f"{host[place]} at {place}", "correct them, or shorten lengths")  # fmt: skip
    return backend.from_numpy(np.where(real, host, 0).astype(np.int32))
