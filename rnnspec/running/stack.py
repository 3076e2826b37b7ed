"""A network's layers one after the other, the steps that are read, head and output layer, and the pullback of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rnnspec.contract.arrays import Array
from rnnspec.contract.kernel import Call, run_layer
from rnnspec.contract.results import LayerResult
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.output import Last
from rnnspec.running import noise as noises
from rnnspec.running.beginning import maps, with_states
from rnnspec.running.embedding import embedded, unembedded
from rnnspec.running.engine import Engine
from rnnspec.running.padding import counted, in_time, selected
from rnnspec.running.parts import parts
from rnnspec.running.reading import as_read, as_steps, has_step, logits, read, unlogits, unread
from rnnspec.tree import Tree, tree_map

__all__ = ["Ran", "Tape", "backward", "forward", "path"]


@dataclass(frozen=True)
class Ran:
    """The call of one half, and its result."""

    call: Call
    result: LayerResult


@dataclass(frozen=True)
class Tape:
    """What the pullback of a network reads: inputs, the result of each half, the values read, lengths, and masks.

    Inputs are class numbers where the network has an embedding, else None.
    """

    inputs: Array | None
    halves: list[dict[str, Ran]]
    read: Array
    lengths: Array | None
    steps: int
    batch: int
    head: list[dict[str, Ran]]
    noise: Tree = None


def forward(
    backend: Engine, net: Network, params: Tree, inputs: Array, state: Tree, lengths: Array | None,
    resets: Array | None = None, noise: Tree = None, *, pullback: bool,
) -> tuple[Array, Tree, Tape]:
    """Outputs, final state, and the tape, which `backward` can use where `pullback` was set; `noise` are masks."""
    arrays = backend.arrays
    steps, batch = inputs.shape[0], inputs.shape[1]
    seen = embedded(arrays, net, params, inputs)
    values = seen if lengths is None else backend.shown(seen, lengths)
    values, stack = _up(backend, "layers", net.layers, params, values, state, lengths, resets, pullback, noise)
    reading, head = read(arrays, net, values, lengths) if isinstance(net.read, Last) else values, list[dict[str, Ran]]()
    if net.head:
        reading, head = _through_head(backend, net, params, reading, lengths, steps, pullback, noise)
    outputs = logits(arrays, net, params, reading) if net.output else reading
    if net.output:
        outputs = selected(arrays, counted(arrays, net, steps, batch, lengths), outputs)
    final = [{half: ran.result.state for half, ran in halves.items()} for halves in stack]
    given = None if seen is inputs else inputs
    return outputs, final, Tape(given, stack, reading, lengths, steps, batch, head, noise)


def backward(
    backend: Engine, net: Network, params: Tree, tape: Tape, output_cotangent: Array, state_cotangent: Tree
) -> tuple[Tree, Array | None, Tree]:
    """The cotangents of the parameters, the inputs and the initial state; those of class numbers are None."""
    arrays, own = backend.arrays, dict[str, Tree]()
    real = counted(arrays, net, tape.steps, tape.batch, tape.lengths)
    cotangent = selected(arrays, real, output_cotangent)
    if net.output:
        own, cotangent = unlogits(arrays, net, params, tape.read, cotangent)
    if net.head:
        own["head"], cotangent = _back_through_head(backend, net, params, tape, cotangent)
    if isinstance(net.read, Last):
        cotangent = unread(arrays, net, (tape.steps, tape.batch), tape.lengths, cotangent)
    own["layers"], cotangent, states = _down(backend, "layers", net.layers, tape.halves, params, cotangent,
                                             state_cotangent, tape.lengths, tape.noise)  # fmt: skip
    return *unembedded(arrays, net, own, tape.inputs, cotangent), states


def path(tape: Tape) -> tuple[tuple[str, str], ...]:
    """The path of each layer and direction."""
    layers = [*tape.halves, *tape.head]
    return tuple([(ran.call.place, ran.result.path) for halves in layers for ran in halves.values()])


def _up(
    backend: Engine, kind: str, layers: Sequence[Layer], params: Tree, values: Array, state: Tree,
    lengths: Array | None, resets: Array | None, pullback: bool, noise: Tree,
) -> tuple[Array, list[dict[str, Ran]]]:
    """The outputs of the last of some layers, `layers` or `head`, and what the pullback of each half needs."""
    arrays, stack = backend.arrays, []
    steps, batch = values.shape[0], values.shape[1]
    for i, layer in enumerate(layers):
        halves, masks = {}, noises.of_layer(noise, kind, i)
        seen = noises.dropped(arrays, layer, masks, values)
        for half in layer.halves:
            call = Call(f"{kind}.{i}.{half}", layer.gradient, pullback, steps, batch, values.shape[2],
                        lengths is not None, resets is not None, layer.learned_state and resets is not None,
                        )  # fmt: skip
            halves[half] = _run_half(backend, layer, half, call, params[kind][i][half], seen, state[i][half],
                                     lengths, resets, masks)  # fmt: skip
        stack.append(halves)
        ordered = [in_time(arrays, half, ran.result.outputs, lengths) for half, ran in halves.items()]
        own = ordered[0] if len(ordered) == 1 else arrays.concatenate(ordered, -1)
        values = values + own if layer.residual else own
    return values, stack


def _down(
    backend: Engine, kind: str, layers: Sequence[Layer], stack: list[dict[str, Ran]], params: Tree, cotangent: Array,
    state_cotangent: Tree, lengths: Array | None, noise: Tree,
) -> tuple[list[Tree], Array, list[Tree]]:
    """The pullback of `_up`: the cotangents of the parameters, of the values and of the states of its layers."""
    found, states = [], []
    for i, layer in reversed(list(enumerate(layers))):
        halves, low, inputs, masks = {}, 0, None, noises.of_layer(noise, kind, i)
        for half in layer.halves:
            part = cotangent[..., low : low + layer.half_width]
            low += layer.half_width
            halves[half] = _pull_half(backend, layer, half, stack[i][half], params[kind][i][half], part,
                                      state_cotangent[i][half], lengths, masks)  # fmt: skip
            inputs = halves[half][1] if inputs is None else inputs + halves[half][1]
        through = noises.dropped(backend.arrays, layer, masks, inputs)
        cotangent = cotangent + through if layer.residual else through
        found.append({half: own[0] for half, own in halves.items()})
        states.append({half: own[2] for half, own in halves.items()})
    return found[::-1], cotangent, states[::-1]


def _through_head(
    backend: Engine, net: Network, params: Tree, values: Array, lengths: Array | None, steps: int, pullback: bool,
    noise: Tree,
) -> tuple[Array, list[dict[str, Ran]]]:
    """The values read after the head, which takes what `Last()` reads for one step that rows of length 0 lack."""
    arrays, state = backend.arrays, _nothing(net)
    if not isinstance(net.read, Last):
        return _up(backend, "head", net.head, params, values, state, lengths, None, pullback, noise)
    one = as_steps(arrays, values, steps)
    found, stack = _up(backend, "head", net.head, params, one, state, has_step(arrays, lengths), None, pullback, noise)
    return as_read(arrays, found), stack


def _back_through_head(
    backend: Engine, net: Network, params: Tree, tape: Tape, cotangent: Array
) -> tuple[list[Tree], Array]:
    """The pullback of `_through_head`: the cotangents of the head's parameters and of what it reads."""
    arrays, state = backend.arrays, _nothing(net)
    if not isinstance(net.read, Last):
        return _down(backend, "head", net.head, tape.head, params, cotangent, state, tape.lengths, tape.noise)[:2]
    one, ends = as_steps(arrays, cotangent, tape.steps), has_step(arrays, tape.lengths)
    own, found, _ = _down(backend, "head", net.head, tape.head, params, one, state, ends, tape.noise)
    return own, as_read(arrays, found)


def _nothing(net: Network) -> Tree:
    """The state of the head, whose cells have none."""
    return [{"forward": {}} for _ in net.head]


def _run_half(
    backend: Engine, layer: Layer, half: str, call: Call, params: Tree, inputs: Array, state: Tree,
    lengths: Array | None, resets: Array | None, masks: Tree,
) -> Ran:
    if layer.passes:
        return Ran(call, LayerResult(inputs, {}, "passed on"))
    if call.steps == 0 or call.batch == 0:
        zeros = backend.arrays.zeros((call.steps, call.batch, layer.half_width))
        return Ran(call, LayerResult(zeros, tree_map(backend.arrays.copy, state), "nothing to run"))
    ordered = in_time(backend.arrays, half, inputs, lengths)
    runner, cell = noises.kernel(backend, layer, half, call, masks, lengths)
    begun = parts(backend.arrays, layer, half, resets, lengths) if layer.cell.states else None
    own = params if call.learned else maps(params)
    return Ran(call, run_layer(runner, cell, own, ordered, state, lengths, call, begun))


def _pull_half(
    backend: Engine, layer: Layer, half: str, ran: Ran, params: Tree, cotangent: Array, state_cotangent: Tree,
    lengths: Array | None, masks: Tree,
) -> tuple[Tree, Array, Tree]:
    arrays, call = backend.arrays, ran.call
    if layer.passes:
        return params, cotangent, state_cotangent
    if call.steps == 0 or call.batch == 0:
        zeros = tree_map(lambda a: arrays.zeros(tuple(a.shape)), params)
        return zeros, arrays.zeros((call.steps, call.batch, call.inputs)), tree_map(arrays.copy, state_cotangent)
    ordered = in_time(arrays, half, cotangent, lengths)
    runner, cell = noises.kernel(backend, layer, half, call, masks, lengths)
    own = params if call.learned else maps(params)
    found = runner.layer_pullback(cell, own, ran.result, ordered, state_cotangent, call)
    return with_states(arrays, params, found.params), in_time(arrays, half, found.inputs, lengths), found.state
