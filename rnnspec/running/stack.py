"""A network's layers one after the other, the steps that are read, the output layer, and the pullback of all."""

from __future__ import annotations

from dataclasses import dataclass

from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call, run_layer
from rnnspec.contract.results import LayerResult
from rnnspec.network import Layer, Network
from rnnspec.output import Dense, Last
from rnnspec.running.engine import Engine
from rnnspec.running.padding import counted, in_time, selected
from rnnspec.running.parts import parts
from rnnspec.running.reading import dense, read, undense, unread
from rnnspec.tree import Tree, tree_map

__all__ = ["Ran", "Tape", "backward", "forward", "path"]


@dataclass(frozen=True)
class Ran:
    """The call of one half, and its result."""

    call: Call
    result: LayerResult


@dataclass(frozen=True)
class Tape:
    """The values that the pullback of a network reads: the result of each half, the values read, and the lengths."""

    halves: list[dict[str, Ran]]
    read: Array
    lengths: Array | None
    steps: int
    batch: int


def forward(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None = None, *, pullback: bool,
) -> tuple[Array, Tree, Tape]:
    """Outputs, final state, and the tape, which `backward` can use where `pullback` was set."""
    arrays = backend.arrays
    steps, batch = inputs.shape[0], inputs.shape[1]
    values = inputs if lengths is None else backend.shown(inputs, lengths)
    stack = []
    for i, layer in enumerate(net.layers):
        halves = {}
        for half in layer.halves:
            call = Call(f"layers.{i}.{half}", layer.gradient, pullback, steps, batch, values.shape[2],
                        lengths is not None, resets is not None)  # fmt: skip
            halves[half] = _run_half(backend, layer, half, call, params["layers"][i][half], values, state[i][half],
                                     lengths, resets)  # fmt: skip
        stack.append(halves)
        ordered = [in_time(arrays, half, ran.result.outputs, lengths) for half, ran in halves.items()]
        values = ordered[0] if len(ordered) == 1 else arrays.concatenate(ordered, -1)
    reading = read(arrays, net, values, lengths) if isinstance(net.read, Last) else values
    outputs = dense(arrays, params["output"], reading) if net.output else reading
    if net.output:
        outputs = selected(arrays, counted(arrays, net, steps, batch, lengths), outputs)
    final = [{half: ran.result.state for half, ran in halves.items()} for halves in stack]
    return outputs, final, Tape(stack, reading, lengths, steps, batch)


def backward(
    backend: Engine, net: Network, params: Tree, tape: Tape, output_cotangent: Array, state_cotangent: Tree
) -> tuple[Tree, Array, Tree]:
    """The cotangents of the parameters, the inputs and the initial state."""
    arrays, own = backend.arrays, {}
    real = counted(arrays, net, tape.steps, tape.batch, tape.lengths)
    cotangent = selected(arrays, real, output_cotangent)
    if isinstance(net.output, Dense):
        own["output"], cotangent = undense(arrays, params["output"], tape.read, cotangent)
    if isinstance(net.read, Last):
        cotangent = unread(arrays, net, (tape.steps, tape.batch), tape.lengths, cotangent)
    layers, states = [], []
    for i, layer in reversed(list(enumerate(net.layers))):
        halves, low, inputs = {}, 0, None
        for half in layer.halves:
            part = cotangent[..., low : low + layer.half_width]
            low += layer.half_width
            halves[half] = _pull_half(backend, layer, half, tape.halves[i][half], params["layers"][i][half], part,
                                      state_cotangent[i][half], tape.lengths)  # fmt: skip
            inputs = halves[half][1] if inputs is None else inputs + halves[half][1]
        cotangent = inputs
        layers.append({half: found[0] for half, found in halves.items()})
        states.append({half: found[2] for half, found in halves.items()})
    return {"layers": layers[::-1], **own}, cotangent, states[::-1]


def path(tape: Tape) -> tuple[tuple[str, str], ...]:
    """The path of each layer and direction."""
    return tuple([(ran.call.place, ran.result.path) for halves in tape.halves for ran in halves.values()])


def _run_half(
    backend: Engine, layer: Layer, half: str, call: Call, params: Tree, inputs: Array, state: Tree,
    lengths: Array | None, resets: Array | None,
) -> Ran:
    if call.steps == 0 or call.batch == 0:
        zeros = backend.arrays.zeros((call.steps, call.batch, layer.half_width))
        return Ran(call, LayerResult(zeros, tree_map(backend.arrays.copy, state), "nothing to run"))
    ordered = in_time(backend.arrays, half, inputs, lengths)
    runner = backend.runner(layer.cell, call)
    begun = parts(backend.arrays, layer, half, resets, lengths)
    return Ran(call, run_layer(runner, layer.cell, params, ordered, state, lengths, call, begun))


def _pull_half(
    backend: Engine, layer: Layer, half: str, ran: Ran, params: Tree, cotangent: Array, state_cotangent: Tree,
    lengths: Array | None,
) -> tuple[Tree, Array, Tree]:
    arrays, call = backend.arrays, ran.call
    if call.steps == 0 or call.batch == 0:
        zeros = tree_map(lambda a: arrays.zeros(tuple(a.shape)), params)
        return zeros, arrays.zeros((call.steps, call.batch, call.inputs)), tree_map(arrays.copy, state_cotangent)
    ordered = in_time(arrays, half, cotangent, lengths)
    runner = backend.runner(layer.cell, call)
    found = runner.layer_pullback(layer.cell, params, ran.result, ordered, state_cotangent, call)
    return found.params, in_time(arrays, half, found.inputs, lengths), found.state
