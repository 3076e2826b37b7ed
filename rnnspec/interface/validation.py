"""Argument validation of a backend's public calls, before anything runs, with the same errors on every backend."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnspec.contract.arrays import Array
from rnnspec.contract.capabilities import COUNTED, SMALLEST
from rnnspec.contract.results import Gradients, Step
from rnnspec.control.recurrence import counts
from rnnspec.control.rule import Rule, UpdateRule
from rnnspec.embedding import Embedding
from rnnspec.errors import (
    ArgumentError,
    DtypeError,
    LengthsError,
    NetworkError,
    ShapeError,
    TargetError,
    UnsupportedError,
)
from rnnspec.interface import classes
from rnnspec.interface.adoption import adopt, check_array, own_array, own_tree
from rnnspec.interface.owner import Owner
from rnnspec.interface.spelling import spelling
from rnnspec.losses import CTC
from rnnspec.network import Network
from rnnspec.noise.key import Key
from rnnspec.noise.masks import masks
from rnnspec.output import Last
from rnnspec.showing import shown
from rnnspec.tracing.graph import Graph, iterate
from rnnspec.tree import Shape, Tree, bounded, leaves, tree_map

__all__ = ["arguments", "around", "check_capabilities", "cotangents", "count", "forward_only", "gradients",
           "noise", "parameters", "rows", "rule", "rule_numbers", "rule_state", "sequences", "state", "step",
           "targets"]  # fmt: skip

SHAPE = "(time, batch, feature)"
KNOWN = (int, np.integer)
"""What a size is, unless it is a tracer's symbol, which cannot be compared."""
MOST_NUMBERS = 2**62
"""The most numbers in one array, whose byte count still fits 64 bits; sizes above it are refused."""

Given = tuple[Tree, Array, Tree, Array | None, Array | None]
"""Parameters, inputs, state, lengths and resets as the backend's own arrays."""


def arguments(
    backend: Owner, method: str, net: Network, params: Tree, inputs: Any, state: Tree, lengths: Any,
    gradient: bool = False, resets: Any = None,
) -> Given:
    """The common arguments of all calls, as the backend's own arrays; a missing state is zeros."""
    call = _call(backend, method)
    _check_network(call, net)
    check_capabilities(backend, call, net, gradient)
    x = _inputs(backend, call, net, inputs, gradient)
    own = own_tree(backend, call, "params", params, net.parameter_shapes())
    found = around(backend, call, net, x, state, lengths, resets)
    return own, _read(backend, call, net, x, lengths), *found


def parameters(backend: Owner, method: str, net: Network, params: Tree) -> Tree:
    """The parameters of a network that the backend runs, as the backend's own arrays."""
    call = _call(backend, method)
    _check_network(call, net)
    check_capabilities(backend, call, net, False)
    return own_tree(backend, call, "params", params, net.parameter_shapes())


def sequences(
    backend: Owner, method: str, net: Network, inputs: Any, state: Tree, lengths: Any, gradient: bool = False,
    resets: Any = None,
) -> tuple[Array, Tree, Array | None, Array | None]:
    """As `arguments`, for a network whose parameters are known: inputs, state, lengths and resets."""
    call = _call(backend, method)
    if gradient:
        check_capabilities(backend, call, net, gradient)
    x = _inputs(backend, call, net, inputs, gradient)
    found = around(backend, call, net, x, state, lengths, resets)
    return _read(backend, call, net, x, lengths), *found


def noise(backend: Owner, method: str, net: Network, x: Array, key: Any) -> tuple[()] | tuple[Tree]:
    """The masks of a call as the backend's own arrays, one more argument of its program; none without noise."""
    call = _call(backend, method)
    if key is None:
        return ()
    if not isinstance(key, Key):
        raise ArgumentError(call, "key must be a Key, or None", shown(key), "write rnnspec.Key(seed)")
    if not net.has_noise:
        return ()
    if not backend.capabilities.noise:
        raise _lacking(call, "noise")
    for layer in (*net.layers, *net.head):
        lacks = layer.masked and backend.capabilities.lacked(layer.masked.cell)
        if lacks:
            raise _lacking(call, lacks)
    steps, batch = _sizes(x)
    return (tree_map(backend.from_numpy, masks(net, key, steps, batch)),)


def forward_only(backend: Owner, method: str, net: Network) -> None:
    """Raise UnsupportedError where a layer needs the steps that are still to come."""
    for i, layer in enumerate(net.layers):
        if layer.direction != "forward":
            raise UnsupportedError(_call(backend, method), "every layer of a stream must run forward",
                                   f"layers.{i} {layer.direction!r}", "call run with complete sequences")  # fmt: skip


def step(backend: Owner, method: str, net: Network, x: Any, batch: int | None) -> Array:
    """One step (batch, feature), or (batch,) of class numbers, as the backend's own array.

    Any number of rows but 0 where `batch` is None.
    """
    call = _call(backend, method)
    check_array(backend, call, "x_t", x)
    shape = tuple(x.shape)
    wanted = "at least one row" if batch is None else f"{batch} rows"
    own = net.inputs
    features = () if isinstance(own, Embedding) else (own,)
    if len(shape) != 1 + len(features) or shape[1:] != features or (shape[0] != batch if batch else not shape[0]):
        must = f"x_t must be (batch, feature) with {wanted} and {own} features"
        must = must if features else f"x_t must be class numbers (batch,) with {wanted}"
        raise ShapeError(call, must, f"shape {shape}", "reshape it, or call reset() before another batch")
    if isinstance(own, Embedding):
        return classes.read(backend, call, "x_t", own, x, None if backend.hides(x) else np.ones(shape, bool))
    return adopt(backend, call, "x_t", x)


def state(backend: Owner, method: str, net: Network, given: Tree) -> tuple[Tree, int | None]:
    """A state as the backend's own arrays, and its number of rows, None where the cells have no state."""
    call = _call(backend, method)
    shapes = [tuple(getattr(a, "shape", ())) for _, a in leaves(bounded(call, given))]
    batch = next((shape[0] for shape in shapes if shape), None)
    own = own_tree(backend, call, "state", given, net.state_shapes(1 if batch is None else batch))
    if batch == 0:
        raise ShapeError(call, "the state of a stream must have at least one row", "none", "give a state with rows")
    return own, batch


def rows(backend: Owner, method: str, given: Any, batch: int) -> np.ndarray[Any, Any]:
    """True or false for each row, as a NumPy array."""
    call = _call(backend, method)
    host = _true_or_false(backend, call, "rows", given)
    if host.shape != (batch,):
        raise ShapeError(call, f"rows must have the shape ({batch},), as the stream has rows", f"shape {host.shape}",
                         "say for each row whether it begins anew")  # fmt: skip
    return host


def _inputs(backend: Owner, call: str, net: Network, inputs: Any, gradient: bool) -> Array:
    """The inputs as the backend's own array, of sizes that the call can have; class numbers are not read yet."""
    check_array(backend, call, "inputs", inputs)
    if isinstance(net.inputs, Embedding):
        classes.check_shape(call, inputs)
    elif len(inputs.shape) != 3 or inputs.shape[2] != net.inputs:
        raise ShapeError(call, f"inputs must be {SHAPE} with {net.inputs} features", f"shape {tuple(inputs.shape)}",
                         "transpose or reshape them")  # fmt: skip
    steps, batch = _sizes(inputs)
    known = [max(size, 1) for size in (steps, batch) if isinstance(size, int)]
    if math.prod(known) * net.most_values * 8 > MOST_NUMBERS:
        raise ShapeError(call, "the layers' values over all time must be fewer than 2^62",
                         f"time {steps} and batch {batch}", "split the batch")  # fmt: skip
    if gradient:
        _check_steps(backend, call, net, steps)
    return inputs if isinstance(net.inputs, Embedding) else adopt(backend, call, "inputs", inputs)


def _read(backend: Owner, call: str, net: Network, inputs: Array, lengths: Any) -> Array:
    """The inputs as `_inputs` found them, where class numbers are read at the real steps."""
    if not isinstance(net.inputs, Embedding):
        return inputs
    real = None if backend.hides(inputs) else _steps_of(backend, *_sizes(inputs), lengths)
    return classes.read(backend, call, "inputs", net.inputs, inputs, real)


def around(
    backend: Owner, call: str, net: Network, x: Array, state: Tree, lengths: Any, resets: Any
) -> tuple[Tree, Array | None, Array | None]:
    """State, lengths and resets as the backend's own arrays. `x` shows steps and rows.

    A missing state is zeros, and None for each half that learns its initial states.
    """
    steps, batch = _sizes(x)
    if state is None:
        first = net.unset_state(batch, backend.zeros)
    else:
        first = own_tree(backend, call, "state", state, net.state_shapes(batch))
    if resets is not None and net.learns_states and not backend.capabilities.learned_state:
        raise _lacking(call, "learned_state")
    return first, _lengths(backend, call, lengths, steps, batch), _resets(backend, call, resets, steps, batch)


def _sizes(inputs: Any) -> tuple[Any, Any]:
    """Steps and rows; a tracer's symbol stays as it is."""
    steps, batch = [int(size) if isinstance(size, KNOWN) else size for size in inputs.shape[:2]]
    return steps, batch


def cotangents(
    backend: Owner, method: str, net: Network, given: Given, output_cotangent: Any, state_cotangent: Tree
) -> tuple[Array, Tree]:
    """The cotangents of the outputs and of the final state, zeros if None, as the backend's own arrays."""
    call, x = _call(backend, method), given[1]
    shape = output_shape(net, int(x.shape[0]), int(x.shape[1]))
    output = own_array(backend, call, "output_cotangent", output_cotangent, shape)
    batch = int(x.shape[1])
    if state_cotangent is None:
        return output, net.state_tree(batch, backend.zeros)
    return output, own_tree(backend, call, "state_cotangent", state_cotangent, net.state_shapes(batch))


def targets(backend: Owner, method: str, net: Network, given: Given, wanted: Any, lengths: Any) -> Array:
    """The targets as the backend's own array; labels at padded steps are 0."""
    call, x = _call(backend, method), given[1]
    if net.loss is None:
        raise NetworkError(call, "the network must have a loss", "loss=None", "write Network(..., loss=...)")
    steps, batch = int(x.shape[0]), int(x.shape[1])
    shape = output_shape(net, steps, batch)
    if not net.loss.integer_targets:
        return own_array(backend, call, "targets", wanted, shape)
    check_array(backend, call, "targets", wanted)
    labels = backend.to_numpy_array(wanted) if backend.is_own(wanted) else np.asarray(wanted)
    if labels.dtype.kind not in "iu":
        raise DtypeError(call, "targets of this loss must be class numbers, of an integer dtype",
                         f"dtype {labels.dtype}", "convert them with astype(int)")  # fmt: skip
    if isinstance(net.loss, CTC):
        return backend.from_numpy(spelling(call, net, net.loss, backend.precision, labels, batch))
    if labels.shape != shape[:-1]:
        raise ShapeError(call, f"targets must have the shape {shape[:-1]} of the outputs without their features",
                         f"shape {labels.shape}", "reshape them")  # fmt: skip
    real = _counted(backend, net, steps, batch, lengths)
    wrong = np.argwhere(real & ((labels < 0) | (labels >= net.features)))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise TargetError(call, f"targets at real steps must be class numbers of 0..{net.features - 1}",
                          f"{labels[place]} at {place}", "correct the labels, or shorten lengths")  # fmt: skip
    return backend.from_numpy(np.where(real, labels, 0).astype(np.int32))


def gradients(backend: Owner, method: str, net: Network, params: Tree, step: Any) -> tuple[Tree, Tree]:
    """The parameters and a step's gradients of them, as the backend's own arrays."""
    call = _call(backend, method)
    _check_network(call, net)
    if not isinstance(step, Step):
        raise ArgumentError(call, "step must be a Step", type(step).__name__, "give the result of value_and_grad")
    if not isinstance(step.grads, Gradients):
        raise ArgumentError(call, "step.grads must be Gradients", type(step.grads).__name__,
                            "give the Gradients of value_and_grad, with other params if need be")  # fmt: skip
    if not isinstance(step.count, int | np.integer) or isinstance(step.count, bool) or step.count < 0:
        raise ArgumentError(call, "step.count must be a whole number of at least 0", shown(step.count),
                            "give the count of value_and_grad, or a sum of counts")  # fmt: skip
    shapes = net.parameter_shapes()
    return (own_tree(backend, call, "params", params, shapes),
            own_tree(backend, call, "step.grads.params", step.grads.params, shapes))  # fmt: skip


def rule(backend: Owner, method: str, given: Any) -> None:
    """Raise an RnnSpecError where a rule is no update rule and no chain that ends in one."""
    if not isinstance(given, Rule):
        raise ArgumentError(_call(backend, method), "rule must be an update rule or a chain", type(given).__name__,
                            "write rnnspec.chain(policies..., update)")  # fmt: skip
    if not isinstance(given, UpdateRule):
        raise NetworkError(_call(backend, method), "the rule must end in an update rule", shown(given),
                           "write rnnspec.chain(policy, rnnspec.updates.SGD(rate))")  # fmt: skip


def rule_state(backend: Owner, method: str, given: Rule, params: Tree, kept: Tree) -> Tree:
    """The state of the rule as the backend's own arrays; `params` are the backend's own."""
    model = tree_map(lambda a: Shape(a.shape), given.init(params))
    return own_tree(backend, _call(backend, method), "rule_state", kept, model)


def rule_numbers(backend: Owner, method: str, update: Graph) -> None:
    """Raise UnsupportedError where a number of a traced rule, such as Adam's epsilon, is 0 in the precision."""
    for _, node in iterate(update.nodes, "constant"):
        if 0.0 < abs(node.value) <= SMALLEST[backend.precision] / 2:
            raise UnsupportedError(_call(backend, method), "the numbers of a rule must not round to 0 in the precision",
                                   f"{node.value} in {backend.precision}",
                                   "give the rule a larger number, or choose another precision")  # fmt: skip


def count(backend: Owner, net: Network, given: Given, lengths: Any) -> int:
    """The count of a loss: real steps, with `Last()` rows that have one, with CTC rows."""
    if isinstance(net.loss, CTC):
        return int(given[1].shape[1])
    return int(_counted(backend, net, int(given[1].shape[0]), int(given[1].shape[1]), lengths).sum())


def output_shape(net: Network, steps: int, batch: int) -> tuple[int, ...]:
    """The shape of the outputs."""
    return (batch, net.features) if isinstance(net.read, Last) else (steps, batch, net.features)


def _check_network(call: str, net: Any) -> None:
    if not isinstance(net, Network):
        raise ArgumentError(call, "net must be a Network", type(net).__name__, "write rnnspec.Network(...)")


def _lengths(backend: Owner, call: str, lengths: Any, steps: int, batch: int) -> Array | None:
    if lengths is None:
        return None
    check_array(backend, call, "lengths", lengths)
    host = host_lengths(backend, lengths)
    if host.dtype.kind not in "iu":
        raise DtypeError(call, "lengths must be whole numbers", f"dtype {host.dtype}", "convert them with astype(int)")
    if host.shape != (batch,):
        raise ShapeError(call, f"lengths must have the shape ({batch},)", f"shape {host.shape}",
                         "give one number for each row")  # fmt: skip
    wrong = np.flatnonzero((host < 0) | (host > steps))
    if len(wrong):
        raise LengthsError(call, f"lengths must be between 0 and {steps}, the number of steps",
                           f"{host[wrong[0]]} in row {wrong[0]}", "correct the lengths, or pad the inputs")  # fmt: skip
    able = backend.capabilities
    if not able.empty_rows and (host == 0).any():
        raise _lacking(call, "empty_rows")
    if not able.lengths:
        if (host < steps).any():
            raise _lacking(call, "lengths")
        return None
    return backend.from_numpy(host.astype(np.int32))


def _resets(backend: Owner, call: str, resets: Any, steps: int, batch: int) -> Array | None:
    if resets is None:
        return None
    host = _true_or_false(backend, call, "resets", resets)
    if host.shape != (steps, batch):
        raise ShapeError(call, f"resets must have the shape ({steps}, {batch}), (time, batch)", f"shape {host.shape}",
                         "say for each step of each row whether it starts afresh")  # fmt: skip
    if not backend.capabilities.resets:
        if host.any():
            raise _lacking(call, "resets")
        return None
    return backend.from_numpy(host)


def _true_or_false(backend: Owner, call: str, what: str, given: Any) -> np.ndarray[Any, Any]:
    check_array(backend, call, what, given)
    host = backend.to_numpy_array(given) if backend.is_own(given) else np.asarray(given)
    if host.dtype.kind != "b":
        raise DtypeError(call, f"{what} must be true or false", f"dtype {host.dtype}", "convert them with astype(bool)")
    return host


def host_lengths(backend: Owner, lengths: Any) -> np.ndarray[Any, Any]:
    """Lengths as a NumPy array of int64, whose sums and differences do not overflow."""
    found = backend.to_numpy_array(lengths) if backend.is_own(lengths) else np.asarray(lengths)
    if found.dtype.kind == "u":
        found = np.minimum(found, np.uint64(np.iinfo(np.int64).max))
    return found.astype(np.int64) if found.dtype.kind in "iu" else found


def _counted(backend: Owner, net: Network, steps: int, batch: int, lengths: Any) -> np.ndarray[Any, Any]:
    real = _steps_of(backend, steps, batch, lengths)
    return np.any(real, 0) if isinstance(net.read, Last) else real


def _steps_of(backend: Owner, steps: int, batch: int, lengths: Any) -> np.ndarray[Any, Any]:
    """True (time, batch) where a row has a step."""
    ends = np.full(batch, steps) if lengths is None else host_lengths(backend, lengths)
    return np.arange(steps)[:, None] < ends[None, :]


def check_capabilities(backend: Owner, call: str, net: Network, gradient: bool) -> None:
    """Raise UnsupportedError where a network, or a gradient of it, needs what the backend does not declare."""
    able = backend.capabilities
    lacks = "gradients" if gradient and not able.gradients else ""
    lacks = "embedding" if isinstance(net.inputs, Embedding) and not able.embedding else lacks
    for _, layer, inputs in net.placed:
        if layer.passes:
            continue
        size = (inputs, layer.half_width)
        if able.sizes is not None and size not in able.sizes:
            lacks = f"size {size}"
        lacks = able.lacked(layer.evaluated) or lacks
        if layer.direction not in able.directions:
            lacks = f"direction {layer.direction}"
        if gradient and layer.gradient is not None and not able.policies:
            lacks = f"policies ({layer.gradient})"
    if lacks:
        raise _lacking(call, lacks)


def _check_steps(backend: Owner, call: str, net: Network, steps: int) -> None:
    """Raise UnsupportedError where a policy reads the step index and the precision cannot count the steps exactly."""
    most = COUNTED[backend.precision]
    for i, layer in enumerate(net.layers):
        if steps > most and layer.gradient is not None and counts(layer.gradient, layer.cell.states):
            raise UnsupportedError(call, f"{backend.precision} must count the steps exactly, up to {most}, for the "
                                   f"policy of layers.{i}", f"{steps} steps and {layer.gradient}",
                                   "split the sequence, or choose another precision")  # fmt: skip


def _lacking(call: str, what: str) -> UnsupportedError:
    return UnsupportedError(call, "the backend must declare what the call needs", f"no {what} among its capabilities",
                            "choose another backend, or leave it out")  # fmt: skip


def _call(backend: Owner, method: str) -> str:
    return f"{backend.name}.{method}(...)"

