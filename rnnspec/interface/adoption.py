"""Adoption: a caller's array, or tree of arrays, becomes the backend's own after validation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import DTYPES
from rnnspec.errors import ArgumentError, DeviceError, DtypeError, ShapeError, TreeError
from rnnspec.interface.owner import Owner
from rnnspec.showing import shown
from rnnspec.tree import Shape, Tree

__all__ = ["adopt", "check_array", "hosted", "own_array", "own_tree", "readable"]


def adopt(backend: Owner, call: str, what: str, array: Any) -> Array:
    """A validated array as the backend's own: a NumPy array is cast and copied, a framework's array must match.

    Raises DtypeError or DeviceError where it does not match.
    """
    if backend.fits(array, tuple(array.shape)):
        return array
    if isinstance(array, np.ndarray | np.generic):
        if array.dtype.kind not in "fiub":
            raise DtypeError(call, f"{what} must hold real numbers", f"dtype {array.dtype}",
                             "convert them to floating-point numbers")  # fmt: skip
        return backend.from_numpy(np.asarray(array, np.float64 if array.dtype.kind != "f" else array.dtype))
    dtype, device = backend.own_dtype(array), backend.own_device(array)
    if dtype != DTYPES[backend.precision]:
        raise DtypeError(call, f"{what} must have the backend's dtype {DTYPES[backend.precision]}", f"dtype {dtype}",
                         "convert it, pass a NumPy array, or get_backend(..., precision=...)")  # fmt: skip
    if device.split(":")[0] != backend.device.split(":")[0]:
        raise DeviceError(call, f"{what} must be on the backend's device {backend.device}", f"device {device}",
                          "move it")  # fmt: skip
    return array


def hosted(backend: Owner, call: str, what: str, array: Any) -> Any:
    """A NumPy copy of another framework's array; anything else as it is."""
    foreign = hasattr(array, "__array__") and not isinstance(array, np.ndarray | np.generic)
    if not foreign or backend.is_own(array):
        return array
    host = np.array(readable(call, what, array))  # two steps, since not every __array__ takes `copy`
    return host.astype(np.float32) if host.dtype.name == "bfloat16" else host


def readable(call: str, what: str, array: Any) -> np.ndarray[Any, Any]:
    """The NumPy array of anything that NumPy can read; raises ArgumentError where it cannot."""
    try:
        return np.asarray(array)
    except Exception as error:  # a foreign __array__ may raise anything
        raise ArgumentError(call, f"{what} must be an array that NumPy can read", f"{type(array).__name__}: {error}",
                            "detach it, or move it to the host") from error  # fmt: skip



def check_array(backend: Owner, call: str, what: str, array: Any) -> None:
    """Raise ArgumentError where a value is no array that the backend takes."""
    known = backend.is_own(array) or isinstance(array, np.ndarray | np.generic)
    if not known or isinstance(array, np.ma.MaskedArray):
        raise ArgumentError(call, f"{what} must be a NumPy array or one of {backend.name}", type(array).__name__,
                            "convert it with numpy.asarray")  # fmt: skip
    if backend.is_own(array) and backend.own_layout(array) != "dense":
        raise ArgumentError(call, f"{what} must be dense", f"{backend.own_layout(array)} {type(array).__name__}",
                            "convert it to a dense array, or pad it and give lengths")  # fmt: skip


def own_array(backend: Owner, call: str, what: str, array: Any, shape: tuple[int, ...]) -> Array:
    """An array of the given shape as the backend's own; raises ShapeError where the shape differs."""
    check_array(backend, call, what, array)
    if tuple(array.shape) != tuple(shape):
        raise ShapeError(call, f"{what} must have the shape {shape}", f"shape {tuple(array.shape)}", "reshape it")
    return adopt(backend, call, what, array)


def own_tree(backend: Owner, call: str, what: str, tree: Tree, shapes: Tree) -> Tree:
    """A tree of the backend's own arrays, with the names, shapes and order of `shapes`.

    Raises TreeError where names differ, ShapeError where shapes differ, and ArgumentError where a leaf is no array.
    """
    try:
        return _as_it_is(backend, tree, shapes)
    except _Otherwise:
        return _adopted(backend, call, what, tree, shapes)


class _Otherwise(Exception):
    """A tree is not valid, or not all of it is the backend's own yet."""


def _as_it_is(backend: Owner, tree: Tree, shapes: Tree) -> Tree:
    """The tree with copied containers, where all of it fits already: the common case, which spells no names."""
    if type(shapes) is Shape:
        if not backend.fits(tree, shapes):
            raise _Otherwise
        return tree
    if type(tree) is not type(shapes) or len(tree) != len(shapes):
        raise _Otherwise
    if type(shapes) is not dict:
        return type(shapes)([_as_it_is(backend, part, shape) for part, shape in zip(tree, shapes, strict=True)])
    found = {}
    for name, shape in shapes.items():
        part = tree.get(name)
        if type(shape) is not Shape:
            found[name] = _as_it_is(backend, part, shape)
        elif backend.fits(part, shape):
            found[name] = part
        else:
            raise _Otherwise
    return found


def _adopted(backend: Owner, call: str, what: str, tree: Tree, shapes: Tree) -> Tree:
    if isinstance(shapes, Shape):
        return own_array(backend, call, what, tree, shapes)
    named = isinstance(shapes, dict)
    if not isinstance(tree, Mapping if named else list | tuple):
        raise ArgumentError(call, f"{what} must be a {type(shapes).__name__}", type(tree).__name__,
                            "keep the tree as the network declares it")  # fmt: skip
    expected, found = (shapes, tree) if named else (dict(enumerate(shapes)), dict(enumerate(tree)))
    for name in (*expected, *found):
        if name not in found or name not in expected:
            raise TreeError(call, f"{what} must have the names that are declared",
                            f"no {shown(name)}" if name in expected else shown(name),
                            "add it" if name in expected else "leave it out")  # fmt: skip
    own = {name: _adopted(backend, call, f"{what}.{name}", found[name], shape) for name, shape in expected.items()}
    return own if named else type(shapes)(own.values())
