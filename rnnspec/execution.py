"""A network, run layer by layer on a backend's arrays: stacking, reversal, masks, reading, output layer, loss, rule.

Every function here is pure, takes `(backend, constants, arrays)` and returns a tree of arrays and one of anything else,
so that a backend may compile it whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rnnspec.adjoint import derive
from rnnspec.arrays import Array, Arrays
from rnnspec.graph import Graph, GraphBuilder
from rnnspec.losses import trace
from rnnspec.lowering import evaluate_graph
from rnnspec.network import Layer, Network
from rnnspec.output import Dense, Last
from rnnspec.tree import Tree, leaves, tree_map

if TYPE_CHECKING:
    from rnnspec.backend import Backend, LayerResult

__all__ = ["mask", "pullback", "run", "update", "value_and_grad"]


@dataclass(frozen=True)
class Tape:
    """What the pullback of a network needs: each half's result, what was read, the lengths and sizes."""

    results: list[dict[str, LayerResult]]
    read: Array
    lengths: Array | None
    steps: int
    batch: int


def run(
    backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None
) -> tuple[Tree, Tree]:
    """`(outputs, final state)`, and what ran."""
    outputs, final, tape = _forward(backend, net, params, inputs, state, lengths, pullback=False)
    return (outputs, final), _path(tape)


def pullback(
    backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    output_cotangent: Array, state_cotangent: Tree,
) -> tuple[Tree, Tree]:
    """The cotangents of `(params, inputs, state)`, and what ran."""
    _, _, tape = _forward(backend, net, params, inputs, state, lengths, pullback=True)
    return _backward(backend, net, params, tape, output_cotangent, state_cotangent), _path(tape)


def value_and_grad(
    backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None, targets: Array
) -> tuple[Tree, Tree]:
    """The sum of the loss, the cotangents of `(params, inputs, state)`, the final state; and what ran."""
    outputs, final, tape = _forward(backend, net, params, inputs, state, lengths, pullback=True)
    loss_sum, cotangent = _loss(backend.arrays, net, outputs, targets, lengths, tape.steps)
    zeros = tree_map(lambda a: backend.arrays.zeros(tuple(a.shape)), final)
    return (loss_sum, *_backward(backend, net, params, tape, cotangent, zeros), final), _path(tape)


def update(
    backend: Backend, graph: Graph, changes: Tree, states: Tree, params: Tree, rule_state: Tree, gradients: Tree,
    scale: Array,
) -> tuple[Tree, Tree]:
    """The parameters and the rule's state after one update by the gradients times `scale`."""
    given = {f"gradients.{name}": leaf * scale for name, leaf in leaves(gradients)}
    given |= {f"state.{name}": leaf for name, leaf in leaves(rule_state)}
    given |= {f"params.{name}": leaf for name, leaf in leaves(params)}
    found = evaluate_graph(backend.arrays, graph, given, axes=None)
    new = tree_map(lambda w, name: w + found[name], params, changes)
    return (new, tree_map(lambda name: found[name], states)), None


def mask(arrays: Arrays, steps: int, lengths: Array | None) -> Array | None:
    """(time, batch, 1), true at the real steps; None where all are."""
    if lengths is None:
        return None
    return arrays.steps(steps)[:, None, None] < lengths[None, :, None]


def _path(tape: Tape) -> tuple[tuple[str, str], ...]:
    return tuple((f"layers.{i}.{half}", r.path) for i, halves in enumerate(tape.results) for half, r in halves.items())


def _forward(
    backend: Backend, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None, pullback: bool
) -> tuple[Array, Tree, Tape]:
    arrays = backend.arrays
    steps, batch = inputs.shape[0], inputs.shape[1]
    values = _real(arrays, mask(arrays, steps, lengths), inputs)
    results = []
    for i, layer in enumerate(net.layers):
        halves = {
            half: _run_half(backend, layer, f"layers.{i}.{half}", half, params["layers"][i][half], values,
                            state[i][half], lengths, pullback)
            for half in layer.halves
        }  # fmt: skip
        results.append(halves)
        ordered = [_in_time(arrays, half, result.outputs, lengths) for half, result in halves.items()]
        values = ordered[0] if len(ordered) == 1 else arrays.concatenate(ordered, -1)
    read = _read(arrays, net, values, lengths) if isinstance(net.read, Last) else values
    outputs = _dense(arrays, params["output"], read) if net.output else read
    if net.output:
        outputs = _real(arrays, _counted(arrays, net, steps, batch, lengths), outputs)
    final = [{half: result.state for half, result in halves.items()} for halves in results]
    return outputs, final, Tape(results, read, lengths, steps, batch)


def _run_half(
    backend: Backend, layer: Layer, place: str, half: str, params: Tree, inputs: Array, state: Tree,
    lengths: Array | None, pullback: bool,
) -> LayerResult:
    from rnnspec.backend import Call, LayerResult  # noqa: PLC0415  # the contract is written with these functions

    arrays, (steps, batch, _) = backend.arrays, inputs.shape
    if steps == 0 or batch == 0:
        held = tree_map(arrays.copy, state)
        return LayerResult(arrays.zeros((steps, batch, layer.half_width)), held, "nothing to run", inputs)
    ordered = _in_time(arrays, half, inputs, lengths)
    return backend.layer(layer.cell, params, ordered, state, lengths, Call(place, layer.gradient, pullback))


def _in_time(arrays: Arrays, half: str, values: Array, lengths: Array | None) -> Array:
    """From time to processing order or back: the reverse half turns each row's real steps around."""
    steps = values.shape[0]
    if half == "forward" or steps == 0 or values.shape[1] == 0:
        return values
    if lengths is None:
        return arrays.flip(values)
    t, n = arrays.steps(steps)[:, None], lengths[None, :]
    return arrays.take(values, arrays.functions["where"](t < n, n - 1 - t, t))


def _read(arrays: Arrays, net: Network, values: Array, lengths: Array | None) -> Array:
    """Each direction's last processed step, zeros for a row of length 0."""
    steps, batch, _ = values.shape
    if steps == 0 or batch == 0:
        return arrays.zeros((batch, values.shape[-1]))
    layer, found, low = net.layers[-1], [], 0
    for half in layer.halves:
        part = values[..., low : low + layer.half_width]
        low += layer.half_width
        if lengths is None:
            found.append(part[-1] if half == "forward" else part[0])
        else:
            last = lengths[None, :] - 1
            index = arrays.functions["where"]((last >= 0) if half == "forward" else (last < -1), last, 0)
            found.append(arrays.take(part, index)[0])
    read = found[0] if len(found) == 1 else arrays.concatenate(found, -1)
    return _real(arrays, _counted(arrays, net, steps, batch, lengths), read)


def _unread(arrays: Arrays, net: Network, tape: Tape, cotangent: Array) -> Array:
    """The pullback of `_read`."""
    steps, batch, layer = tape.steps, tape.batch, net.layers[-1]
    if steps == 0 or batch == 0:
        return arrays.zeros((steps, batch, layer.width))
    t, found, low = arrays.steps(steps)[:, None, None], [], 0
    for half in layer.halves:
        part = cotangent[None, :, low : low + layer.half_width]
        low += layer.half_width
        ends = steps if tape.lengths is None else tape.lengths[None, :, None]
        here = t < 1 if half == "reverse" else t >= ends - 1
        found.append(arrays.functions["where"](here, part, arrays.scalar(0.0)))
    spread = found[0] if len(found) == 1 else arrays.concatenate(found, -1)
    return _real(arrays, mask(arrays, steps, tape.lengths), spread)


def _dense(arrays: Arrays, params: Tree, values: Array) -> Array:
    features = values.shape[-1]
    flat = arrays.reshape(values, (-1, features)) if len(values.shape) == 3 else values
    product = arrays.matmul(flat, arrays.transpose(params["W"])) + params["b"]
    return arrays.reshape(product, (*values.shape[:-1], params["W"].shape[0]))


def _undense(arrays: Arrays, params: Tree, values: Array, cotangent: Array) -> tuple[Tree, Array]:
    rows = 1
    for size in values.shape[:-1]:
        rows *= size
    x = arrays.reshape(values, (rows, values.shape[-1]))
    d = arrays.reshape(cotangent, (rows, cotangent.shape[-1]))
    own = {"W": arrays.matmul(arrays.transpose(d), x), "b": arrays.sum(d, (0,), False)}
    return own, arrays.reshape(arrays.matmul(d, params["W"]), tuple(values.shape))


def _backward(
    backend: Backend, net: Network, params: Tree, tape: Tape, output_cotangent: Array, state_cotangent: Tree
) -> tuple[Tree, Array, Tree]:
    arrays, own = backend.arrays, {}
    real = _counted(arrays, net, tape.steps, tape.batch, tape.lengths)
    cotangent = _real(arrays, real, output_cotangent)
    if isinstance(net.output, Dense):
        own["output"], cotangent = _undense(arrays, params["output"], tape.read, cotangent)
    if isinstance(net.read, Last):
        cotangent = _unread(arrays, net, tape, cotangent)
    layers, states = [], []
    for i in reversed(range(len(net.layers))):
        halves, low, inputs = {}, 0, None
        for half in net.layers[i].halves:
            part = cotangent[..., low : low + net.layers[i].half_width]
            low += net.layers[i].half_width
            halves[half] = _pull_half(backend, net.layers[i], f"layers.{i}.{half}", half, params["layers"][i][half],
                                      tape, tape.results[i][half], part, state_cotangent[i][half])  # fmt: skip
            inputs = halves[half][1] if inputs is None else inputs + halves[half][1]
        cotangent = inputs
        layers.append({half: found[0] for half, found in halves.items()})
        states.append({half: found[2] for half, found in halves.items()})
    return {"layers": layers[::-1], **own}, cotangent, states[::-1]


def _pull_half(
    backend: Backend, layer: Layer, place: str, half: str, params: Tree, tape: Tape, result: LayerResult,
    cotangent: Array, state_cotangent: Tree,
) -> tuple[Tree, Array, Tree]:
    from rnnspec.backend import Call  # noqa: PLC0415  # the contract is written with these functions

    arrays = backend.arrays
    if tape.steps == 0 or tape.batch == 0:
        zeros = tree_map(lambda a: arrays.zeros(tuple(a.shape)), params)
        return zeros, arrays.zeros(tuple(result.saved.shape)), tree_map(arrays.copy, state_cotangent)
    ordered = _in_time(arrays, half, cotangent, tape.lengths)
    call = Call(place, layer.gradient, pullback=True)
    found = backend.layer_pullback(layer.cell, params, result, ordered, state_cotangent, call)
    return found.params, _in_time(arrays, half, found.inputs, tape.lengths), found.state


def _loss(
    arrays: Arrays, net: Network, outputs: Array, targets: Array, lengths: Array | None, steps: int
) -> tuple[Array, Array]:
    """The sum of the loss over real steps or rows, and its cotangent at the outputs."""
    loss = net.loss
    assert loss is not None
    if steps == 0 or 0 in outputs.shape:
        return arrays.sum(arrays.zeros((1,)), None, False), arrays.zeros(tuple(outputs.shape))
    real = _counted(arrays, net, steps, outputs.shape[-2], lengths)
    y = arrays.one_hot(targets, net.features) if loss.integer_targets else targets
    values = {"z": _real(arrays, real, outputs), "y": _real(arrays, real, y)}
    graph = trace(loss)
    each = evaluate_graph(arrays, graph, values)["loss"]
    cotangent = _real(arrays, real, _loss_cotangent(arrays, graph, values))
    return arrays.sum(_real(arrays, real, each), None, False), cotangent


def _loss_cotangent(arrays: Arrays, graph: Graph, values: dict[str, Array]) -> Array:
    one = arrays.functions["add"](arrays.zeros((1,)), arrays.scalar(1.0))
    return evaluate_graph(arrays, _pulled(graph), {**values, "loss": one})["z"]


@lru_cache(maxsize=64)
def _pulled(loss: Graph) -> Graph:
    adjoint = derive(loss)
    index = adjoint.leaf("argument", "z")
    builder = GraphBuilder(list(adjoint.nodes))
    return builder.graph({"z": builder.constant(0.0) if index is None else index})


def _counted(arrays: Arrays, net: Network, steps: int, batch: int, lengths: Array | None) -> Array | None:
    """True at what counts: real steps, or with `Last()` rows (batch, 1) that have one. None where all do."""
    if not isinstance(net.read, Last):
        return mask(arrays, steps, lengths)
    if steps == 0:
        return arrays.steps(batch)[:, None] < 0
    return None if lengths is None else lengths[:, None] > 0


def _real(arrays: Arrays, real: Array | None, a: Array) -> Array:
    return a if real is None else arrays.functions["where"](real, a, arrays.scalar(0.0))


