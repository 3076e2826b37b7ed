"""Every argument of a backend's public calls, checked before anything runs, in the same words on every backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnspec.arrays import Array
from rnnspec.capabilities import DTYPES
from rnnspec.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    LengthsError,
    NetworkError,
    ShapeError,
    TargetError,
    TreeError,
    UnsupportedError,
)
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.rule import Rule, UpdateRule
from rnnspec.tree import Tree, named_map

if TYPE_CHECKING:
    from rnnspec.backend import Backend

__all__ = ["adopt", "arguments", "cotangents", "count", "hosted", "rule", "rule_state", "targets"]

SHAPE = "(time, batch, feature)"
MOST_NUMBERS = 2**62
"""More numbers than this in one array have no byte count; sizes above it are refused before they are multiplied out."""

Given = tuple[Tree, Array, Tree, Array | None]
"""Parameters, inputs, state and lengths as the backend's own arrays."""


def arguments(
    backend: Backend, method: str, net: Network, params: Tree, inputs: Any, state: Tree, lengths: Any,
    gradient: bool = False,
) -> Given:
    """The arguments that every call has, as the backend's own arrays; a missing state is zeros."""
    call = _call(backend, method)
    _check_network(call, net)
    _check_capabilities(backend, call, net, gradient)
    _check_array(backend, call, "inputs", inputs)
    if len(inputs.shape) != 3 or inputs.shape[2] != net.inputs:
        raise ShapeError(call, f"inputs must be {SHAPE} with {net.inputs} features", f"shape {tuple(inputs.shape)}",
                         "transpose or reshape them")  # fmt: skip
    steps, batch = int(inputs.shape[0]), int(inputs.shape[1])
    widest = max(sum(layer.state_widths.values()) * 8 for layer in net.layers)
    if max(steps, 1) * max(batch, 1) * widest > MOST_NUMBERS:
        raise ShapeError(call, "the layers' values over all time must be fewer than 2^62",
                         f"time {steps} and batch {batch}", "split the batch")  # fmt: skip
    x = adopt(backend, call, "inputs", inputs)
    own = _tree(backend, call, "params", params, _shapes(net.parameter_shapes()))
    if state is None:
        first = _zeros(backend, _shapes(net.state_shapes(batch)))
    else:
        first = _tree(backend, call, "state", state, _shapes(net.state_shapes(batch)))
    return own, x, first, _lengths(backend, call, lengths, steps, batch)


def cotangents(
    backend: Backend, method: str, net: Network, given: Given, output_cotangent: Any, state_cotangent: Tree
) -> tuple[Array, Tree]:
    """The cotangents of the outputs and of the final state, zeros if None, as the backend's own arrays."""
    call, x = _call(backend, method), given[1]
    shape = output_shape(net, int(x.shape[0]), int(x.shape[1]))
    output = _array(backend, call, "output_cotangent", output_cotangent, shape)
    shapes = _shapes(net.state_shapes(int(x.shape[1])))
    if state_cotangent is None:
        return output, _zeros(backend, shapes)
    return output, _tree(backend, call, "state_cotangent", state_cotangent, shapes)


def targets(backend: Backend, method: str, net: Network, given: Given, wanted: Any, lengths: Any) -> Array:
    """The targets as the backend's own arrays; labels at steps that do not count are 0."""
    call, x = _call(backend, method), given[1]
    if net.loss is None:
        raise NetworkError(call, "the network must have a loss", "loss=None", "write Network(..., loss=losses....)")
    steps, batch = int(x.shape[0]), int(x.shape[1])
    shape = output_shape(net, steps, batch)
    if not net.loss.integer_targets:
        return _array(backend, call, "targets", wanted, shape)
    _check_array(backend, call, "targets", wanted)
    labels = backend.to_numpy_array(wanted) if backend.is_own(wanted) else np.asarray(wanted)
    if labels.dtype.kind not in "iu":
        raise DtypeError(call, "targets of this loss must be class numbers, of an integer dtype",
                         f"dtype {labels.dtype}", "convert them with astype(int)")  # fmt: skip
    if labels.shape != shape[:-1]:
        raise ShapeError(call, f"targets must have the shape {shape[:-1]} of the outputs without their features",
                         f"shape {labels.shape}", "reshape them")  # fmt: skip
    real = _counted(net, steps, batch, lengths)
    wrong = np.argwhere(real & ((labels < 0) | (labels >= net.features)))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise TargetError(call, f"targets at real steps must be class numbers of 0..{net.features - 1}",
                          f"{labels[place]} at {place}", "mend the labels, or shorten lengths")  # fmt: skip
    return backend.from_numpy(np.where(real, labels, 0).astype(np.int32))


def rule(backend: Backend, method: str, given: Any) -> None:
    """Check that a rule changes parameters."""
    if not isinstance(given, Rule):
        raise ArgumentError(_call(backend, method), "rule must be a rule", type(given).__name__,
                            "write rnnspec.chain(policies..., update)")  # fmt: skip
    if not isinstance(given, UpdateRule):
        raise NetworkError(_call(backend, method), "the rule must end in an update rule", repr(given),
                           "write rnnspec.chain(policy, rnnspec.updates.SGD(rate))")  # fmt: skip


def rule_state(backend: Backend, method: str, given: Rule, params: Tree, kept: Tree) -> Tree:
    """The state of the rule as the backend's own arrays; `params` are the backend's own."""
    model = named_map(lambda _, a: _Shape(tuple(a.shape)), given.init(params))
    return _tree(backend, _call(backend, method), "rule_state", kept, model)


def count(net: Network, given: Given, lengths: Any) -> int:
    """The number of real steps, or with `Last()` of rows that have one."""
    return int(_counted(net, int(given[1].shape[0]), int(given[1].shape[1]), lengths).sum())


def output_shape(net: Network, steps: int, batch: int) -> tuple[int, ...]:
    """The shape of the outputs."""
    return (batch, net.features) if isinstance(net.read, Last) else (steps, batch, net.features)


def adopt(backend: Backend, call: str, what: str, array: Any) -> Array:
    """An array as one of the backend's own: NumPy's real numbers are cast and copied, its own must match."""
    _check_array(backend, call, what, array)
    if isinstance(array, np.ndarray | np.generic):
        if array.dtype.kind not in "fiub":
            raise DtypeError(call, f"{what} must hold real numbers", f"dtype {array.dtype}", "convert them")
        return backend.from_numpy(np.asarray(array, np.float64 if array.dtype.kind != "f" else array.dtype))
    dtype, device = backend.own_dtype(array), backend.own_device(array)
    if dtype != DTYPES[backend.precision]:
        raise DtypeError(call, f"{what} must have the backend's dtype {DTYPES[backend.precision]}", f"dtype {dtype}",
                         "convert it, pass a NumPy array, or get_backend(..., precision=...)")  # fmt: skip
    if device.split(":")[0] != backend.device.split(":")[0]:
        raise DeviceError(call, f"{what} must be on the backend's device {backend.device}", f"device {device}",
                          "move it")  # fmt: skip
    return array


def hosted(backend: Backend, call: str, what: str, array: Any) -> Any:
    """Another framework's array as a NumPy array, copied; anything else as it is."""
    foreign = hasattr(array, "__array__") and not isinstance(array, np.ndarray | np.generic)
    if not foreign or backend.is_own(array):
        return array
    try:
        host = np.array(np.asarray(array))  # in two steps: not every __array__ takes `copy`
        return host.astype(np.float32) if host.dtype.name == "bfloat16" else host
    except Exception as error:
        raise ArgumentError(call, f"{what} must be one that NumPy can read", f"{type(array).__name__}: {error}",
                            "detach it, or move it to the host") from error  # fmt: skip


def _check_network(call: str, net: Any) -> None:
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", type(net).__name__, "write rnnspec.Network(...)")


def _check_array(backend: Backend, call: str, what: str, array: Any) -> None:
    known = isinstance(array, np.ndarray | np.generic) or backend.is_own(array)
    if not known or isinstance(array, np.ma.MaskedArray):
        raise ArgumentError(call, f"{what} must be a NumPy array or one of {backend.name}", type(array).__name__,
                            "convert it with numpy.asarray")  # fmt: skip


def _array(backend: Backend, call: str, what: str, array: Any, shape: tuple[int, ...]) -> Array:
    _check_array(backend, call, what, array)
    if tuple(array.shape) != tuple(shape):
        raise ShapeError(call, f"{what} must have the shape {shape}", f"shape {tuple(array.shape)}", "reshape it")
    return adopt(backend, call, what, array)


class _Shape:
    """A shape as a leaf, so that a tree of shapes does not fall apart into numbers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _shapes(tree: Tree) -> Tree:
    if isinstance(tree, dict):
        return {key: _shapes(value) for key, value in tree.items()}
    if isinstance(tree, tuple) and all(isinstance(size, int) for size in tree):
        return _Shape(tree)
    return type(tree)(_shapes(value) for value in tree)


def _tree(backend: Backend, call: str, what: str, tree: Tree, shapes: Tree) -> Tree:
    if isinstance(shapes, _Shape):
        return _array(backend, call, what, tree, shapes.shape)
    named = isinstance(shapes, dict)
    if not isinstance(tree, Mapping if named else list | tuple):
        raise ArgumentError(call, f"{what} must be a {type(shapes).__name__}", type(tree).__name__,
                            "keep the tree as the network declares it")  # fmt: skip
    expected, found = (shapes, tree) if named else (dict(enumerate(shapes)), dict(enumerate(tree)))
    for name in (*expected, *found):
        if name not in found or name not in expected:
            raise TreeError(call, f"{what} must have the names that are declared",
                            f"no {name!r}" if name in expected else repr(name),
                            "add it" if name in expected else "leave it out")  # fmt: skip
    own = {name: _tree(backend, call, f"{what}.{name}", found[name], shape) for name, shape in expected.items()}
    return own if named else type(shapes)(own.values())


def _zeros(backend: Backend, shapes: Tree) -> Tree:
    return named_map(lambda _, shape: backend.zeros(shape.shape), shapes)


def _lengths(backend: Backend, call: str, lengths: Any, steps: int, batch: int) -> Array | None:
    if lengths is None:
        return None
    _check_array(backend, call, "lengths", lengths)
    host = host_lengths(backend, lengths)
    if host.dtype.kind not in "iu":
        raise DtypeError(call, "lengths must be whole numbers", f"dtype {host.dtype}", "convert them with astype(int)")
    if host.shape != (batch,):
        raise ShapeError(call, f"lengths must have the shape ({batch},)", f"shape {host.shape}",
                         "give one number for each row")  # fmt: skip
    wrong = np.flatnonzero((host < 0) | (host > steps))
    if len(wrong):
        raise LengthsError(call, f"lengths must be of 0..time, {steps} here", f"{host[wrong[0]]} in row {wrong[0]}",
                           "pad or cut the rows")  # fmt: skip
    able = backend.capabilities
    if not able.empty_rows and (host == 0).any():
        raise _lacking(call, "empty_rows")
    if not able.lengths:
        if (host < steps).any():
            raise _lacking(call, "lengths")
        return None
    return backend.from_numpy(host.astype(np.int32))


def host_lengths(backend: Backend, lengths: Any) -> np.ndarray[Any, Any]:
    """Lengths as a NumPy array."""
    return backend.to_numpy_array(lengths) if backend.is_own(lengths) else np.asarray(lengths)


def _counted(net: Network, steps: int, batch: int, lengths: Any) -> np.ndarray[Any, Any]:
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    return ends > 0 if isinstance(net.read, Last) else np.arange(steps)[:, None] < ends[None, :]


def _check_capabilities(backend: Backend, call: str, net: Network, gradient: bool) -> None:
    able = backend.capabilities
    lacks = None
    if gradient and not able.gradients:
        lacks = "gradients"
    for i, layer in enumerate(net.layers):
        size = (net.layer_inputs(i), layer.half_width)
        if able.sizes is not None and size not in able.sizes:
            lacks = f"size {size}"
        if able.cells is not None and layer.cell not in able.cells:
            lacks = f"cell {layer.cell.name}"
        if layer.direction not in able.directions:
            lacks = f"direction {layer.direction}"
        if gradient and layer.gradient is not None and not able.policies:
            lacks = f"policies ({layer.gradient})"
    if lacks:
        raise _lacking(call, lacks)


def _lacking(call: str, what: str) -> UnsupportedError:
    return UnsupportedError(call, "the backend must declare what the call needs", f"no {what} among its capabilities",
                            "choose another backend, or leave it out")  # fmt: skip


def _call(backend: Backend, method: str) -> str:
    return f"{backend.name}.{method}(...)"

