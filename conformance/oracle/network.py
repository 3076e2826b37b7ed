"""A network by plain loops over layers, halves, steps, and in each step the rows that still run.

A sequence is one number whose row `t * batch + n` is row n at time t. A row that has ended is left out instead of
masked, so that nothing after its end has an effect. A row that a step resets takes zeros in place of its state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from conformance.oracle.arithmetic import Array, Rounding
from conformance.oracle.lookup import Table
from conformance.oracle.noise import Acting, acting, drawn, dropped, left
from conformance.oracle.number import Number, Parameter, Tape
from conformance.oracle.parts import joined, parameters, state_of
from rnnspec.embedding import Embedding
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.noise import Key
from rnnspec.output import Last, Tied
from rnnspec.policies import Recurrence
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import Input
from rnnspec.tracing.widths import INPUT
from rnnspec.tree import Tree, tree_map

__all__ = ["Forward", "forward", "real_rows"]


@dataclass(frozen=True)
class _Turn:
    """The rows that one step runs: the place of each in the sequence, and its index within its part, 0 at a reset.

    `fresh` is true for the rows that the step resets.
    """

    rows: Array
    places: Array
    index: Array
    fresh: Array


@dataclass(frozen=True)
class Forward:
    """A finished run of a network: its leaves, and its results as numbers on one tape.

    Inputs are None where they are class numbers.
    """

    tape: Tape
    params: Tree
    inputs: Number | None
    state: Tree
    outputs: Number
    final: Tree


class _Inputs:
    """What a half reads of its sequence, at real steps alone.

    A map is computed of all steps when a step first reads it. Each step could compute its own, which takes many times
    as long.
    """

    def __init__(self, tape: Tape, params: Tree, sequence: Number, order: Sequence[_Turn]) -> None:
        self.tape, self.params = tape, params
        self.places = np.sort(np.concatenate([turn.places for turn in order] or [np.zeros(0, int)]))
        self.read = tape.take(sequence, self.places)
        self.maps: dict[tuple[str, int], Number] = {}

    def at(self, places: Array) -> _Seen:
        """What the rows of a step read."""
        rows: Array = np.searchsorted(self.places, places)
        here = slice(rows[0], rows[-1] + 1) if len(rows) and (np.diff(rows) == 1).all() else rows
        return _Seen(self.tape.take(self.read, here), self, here)

    def mapped(self, name: str, head: int) -> Number:
        """`x.name` of a head, of all steps."""
        if (name, head) not in self.maps:
            W, b = (self.params[kind][name].of(head) for kind in "Wb")
            self.maps[name, head] = self.tape.affine(W, b, self.read)
        return self.maps[name, head]


@dataclass(frozen=True)
class _Seen:
    """What the rows of one step read: the inputs, and maps of them."""

    inputs: Number
    source: _Inputs
    rows: Array | slice

    def mapped(self, name: str, head: int) -> Number:
        """`x.name` of a head."""
        return self.inputs.tape.take(self.source.mapped(name, head), self.rows)


class _Names:
    """`R` or `p` of a cell's equations."""

    def __init__(self, give: Any) -> None:
        self._give = give

    def __getattr__(self, name: str) -> Any:
        return self._give(name)


@dataclass(frozen=True)
class _Map:
    """`R.name` of a cell's equations."""

    tape: Tape
    matrix: Parameter
    use: int

    def __call__(self, v: Number) -> Number:
        return self.tape.affine(self.matrix, None, v, self.use)

    def T(self, v: Number) -> Number:  # noqa: N802  # as in the equations
        """The product with the transposed map."""
        return self.tape.transposed(self.matrix, v, self.use)


def forward(
    rounding: Rounding, net: Network, params: Tree, inputs: Array, state: Tree, ends: Array, resets: Array,
    recording: bool, key: Key | None = None,
) -> Forward:
    """Run a network, with the noise of a key if there is one.

    `params` have runs first, `inputs` are (time, batch, feature) or class numbers (time, batch), `state` is as
    declared, None for a half that begins with its learned states, `ends` (batch,) are lengths, `resets` (time, batch)
    are true or false.
    """
    tape = Tape(rounding, recording)
    steps, batch = inputs.shape[:2]
    leaves: dict[str, Any] = {"layers": _leaves(tape, net.layers, params["layers"])}
    if isinstance(net.inputs, Embedding):
        leaves["embedding"] = {"E": Table(tape, params["embedding"]["E"])}
    if net.head:
        leaves["head"] = _leaves(tape, net.head, params["head"])
    if net.output is not None:
        leaves["output"] = tree_map(lambda w: Parameter(tape, w[:, None, :] if w.ndim == 2 else w), params["output"])
    first = _first(tape, leaves["layers"], state, batch)
    shape = (1, steps * batch, *inputs.shape[2:])
    given = None if isinstance(net.inputs, Embedding) else Number(tape, inputs.reshape(shape))
    values = _looked_up(leaves["embedding"]["E"], inputs, ends) if given is None else given
    noise = drawn(net, key, steps, batch)
    values, final = _stack(tape, net.layers, leaves["layers"], values, first, ends, resets, noise["layers"])
    if isinstance(net.read, Last):
        values = _last(tape, net.read_layer, values, ends, steps)
    if net.head:
        last, nothing = isinstance(net.read, Last), [{"forward": dict[str, Number]()} for _ in net.head]
        here = np.minimum(ends, 1) if last else ends
        fresh = np.zeros((1, batch) if last else (steps, batch), bool)
        values, _ = _stack(tape, net.head, leaves["head"], values, nothing, here, fresh, noise["head"])
    if net.output is not None:
        rows = real_rows(net, steps, ends)
        matrix = leaves["embedding"]["E"] if isinstance(net.output, Tied) else leaves["output"]["W"]
        logits = tape.affine(matrix, leaves["output"]["b"], tape.take(values, rows))
        values = tape.put([(logits, rows)], values.value.shape[1], net.features)
    return Forward(tape, leaves, given, first, values, final)


def _leaves(tape: Tape, layers: Sequence[Layer], params: Sequence[Tree]) -> list[Tree]:
    """The parameters of a stack of layers."""
    return [{half: parameters(tape, layer.cell, halves[half]) for half in layer.halves}
            for layer, halves in zip(layers, params, strict=True)]  # fmt: skip


def _stack(
    tape: Tape, layers: Sequence[Layer], params: Sequence[Tree], values: Number, first: Tree, ends: Array,
    resets: Array, noise: Sequence[Tree],
) -> tuple[Number, list[Tree]]:
    """The outputs of the last of some layers, and the final states of all."""
    final, steps = [], len(resets)
    for layer, own, begin, masks in zip(layers, params, first, noise, strict=True):
        halves, states, seen = [], {}, dropped(tape, layer, masks, values, steps)
        for half in layer.halves:
            order, equations = _order(half, ends, resets), acting(tape, layer, half, masks, steps)
            own[half] = left(tape, layer, half, masks, own[half])
            found, states[half] = _half(tape, layer, equations, own[half], seen, begin[half], order, len(ends))
            halves.append(found)
        joined_halves = tape.join(halves) if len(halves) > 1 else halves[0]
        values = _added(tape, joined_halves, values, ends) if layer.residual else joined_halves
        final.append(states)
    return values, final


def _added(tape: Tape, outputs: Number, inputs: Number, ends: Array) -> Number:
    """The outputs plus the inputs of a residual layer, at real steps alone."""
    count = outputs.value.shape[1]
    steps = count // len(ends) if len(ends) else 0
    rows = np.flatnonzero((np.arange(steps)[:, None] < ends[None, :]).ravel())
    found = tape.take(outputs, rows) + tape.take(inputs, rows)
    return tape.put([(found, rows)], count, outputs.value.shape[2])


def _first(tape: Tape, layers: Tree, state: Tree, batch: int) -> Tree:
    """The initial states, each one vector of a row: those given, or the learned ones in every row."""

    def given(a: Array) -> Number:
        return Number(tape, a.reshape(1, batch, a.size // batch if batch else 1))

    def half(own: Tree, states: Tree) -> Tree:
        if states is None:
            return {name: tape.learned(learned, batch) for name, learned in own["initial"].items()}
        return {name: given(a) for name, a in states.items()}

    return [{name: half(own[name], states) for name, states in halves.items()}
            for own, halves in zip(layers, state, strict=True)]  # fmt: skip


def _looked_up(table: Table, classes: Array, ends: Array) -> Number:
    """The rows of a table at real steps, zeros at others, whose class numbers are not read."""
    rows = np.flatnonzero((np.arange(len(classes))[:, None] < ends).ravel())
    found = table.look_up(classes.ravel()[rows])
    return table.tape.put([(found, rows)], classes.size, table.value.shape[2])


def real_rows(net: Network, steps: int, ends: Array) -> Array:
    """The rows of the outputs that count: real steps, or with `Last()` rows that have one."""
    if isinstance(net.read, Last):
        return np.flatnonzero(ends > 0)
    return np.flatnonzero((np.arange(steps)[:, None] < ends[None, :]).ravel())


def _order(half: str, ends: Array, resets: Array) -> list[_Turn]:
    """What each step runs, in processing order; the reverse half comes to a part from where the next one begins."""
    batch, order, index = len(ends), [], np.zeros(len(ends), int)
    for k in range(len(resets)):
        rows = np.flatnonzero(ends > k)
        time = np.full(len(rows), k) if half == "forward" else ends[rows] - 1 - k
        begin = time if half == "forward" else time + 1
        inside = begin < ends[rows]
        fresh = inside & resets[np.where(inside, begin, 0), rows]
        index[rows[fresh]] = 0
        order.append(_Turn(rows, time * batch + rows, index[rows], fresh))
        index[rows] += 1
    return order


def _half(
    tape: Tape, layer: Layer, noise: Acting, params: Tree, sequence: Number, state: Mapping[str, Number],
    order: list[_Turn], batch: int,
) -> tuple[Number, dict[str, Number]]:
    outputs, now, inputs = [], dict(state), _Inputs(tape, params, sequence, order)
    for k, turn in enumerate(order):
        if not len(turn.rows):
            break
        everybody = len(turn.rows) == batch
        old = now if everybody else {name: tape.take(number, turn.rows) for name, number in now.items()}
        old = _carried(tape, layer, params.get("initial"), k > 0, turn, old)
        here = Acting(noise.cell, {name: tape.take(mask, turn.places) for name, mask in noise.masks.items()})
        output, new = _step(tape, layer, here, params, inputs.at(turn.places), old)
        own = layer.cell.output_state
        new = {name: tape.in_rows(number, len(turn.rows)) for name, number in new.items()}
        if layer.gradient is not None:
            new = _hooked(tape, layer.gradient.total, turn.index, new)
        outputs.append((output if own is None else new[own], turn.places))
        now = new if everybody else _held(tape, new, turn.rows, now, batch)
    return tape.put(outputs, sequence.value.shape[1], layer.half_width), now


def _carried(
    tape: Tape, layer: Layer, learned: Tree, later: bool, turn: _Turn, old: dict[str, Number]
) -> dict[str, Number]:
    """What the rows of a step bring along: what a policy lets pass from the step before; where a part begins zeros, or
    what is learned."""
    kept, count, begun = np.flatnonzero(~turn.fresh), len(turn.rows), np.flatnonzero(turn.fresh)
    if len(kept) < count:
        old = {name: tape.take(number, kept) for name, number in old.items()}
    if layer.gradient is not None and later:
        old = _hooked(tape, layer.gradient.carry, turn.index[kept], old)
    if len(kept) < count:
        pieces = {name: [(number, kept)] for name, number in old.items()}
        for name, own in (learned or {}).items():
            pieces[name].append((tape.learned(own, len(begun)), begun))
        old = {name: tape.put(pieces[name], count, number.value.shape[2]) for name, number in old.items()}
    return old


def _held(
    tape: Tape, new: dict[str, Number], running: Array, now: dict[str, Number], batch: int
) -> dict[str, Number]:
    """The new states of the rows that ran, and the final states of the others."""
    ended = np.setdiff1d(np.arange(batch), running)
    return {
        name: tape.put([(new[name], running), (tape.take(number, ended), ended)], batch, number.value.shape[2])
        for name, number in now.items()
    }


def _step(
    tape: Tape, layer: Layer, noise: Acting, params: Tree, seen: _Seen, states: dict[str, Number]
) -> tuple[Number, dict[str, Number]]:
    """The equations of every head; an output that is a state is that state, whose cotangent a policy may change."""
    shared: dict[str, Number] = {}
    heads = range(layer.cell.heads or 1)
    found = [_equations(tape, layer, noise, params, seen, states, head, shared) for head in heads]
    new = {name: tape.reached(joined(tape, [own[name] for _, own in found])) for name in layer.cell.states}
    if layer.cell.output_state is not None:
        return new[layer.cell.output_state], new
    return tape.reached(joined(tape, [output for output, _ in found])), new


def _equations(
    tape: Tape, layer: Layer, noise: Acting, params: Tree, seen: _Seen, states: dict[str, Number], head: int,
    shared: dict[str, Number],
) -> tuple[Number, dict[str, Number]]:
    """The equations of one head; `shared` are the values of the maps that heads share, whose cotangents add up.

    `x.name` and `p.name` are one number in each row, so that the cotangents of several uses are added up there.
    """
    cell, x, leaves, uses = noise.cell, seen.inputs, dict[str, Number](), Counter[str]()

    def once(name: str, make: Callable[[], Number]) -> Number:
        known = shared if name.startswith("x.") and name in cell.shared else leaves
        if name not in known:
            known[name] = make()
        return known[name]

    def mapped(name: str) -> Number:
        def found() -> Number:
            if name in noise.masks:
                return _of_head(tape, cell, noise.masks[name], head)
            if cell.given is not None:
                return _given(tape, cell, x, name, f"x.{name}", head)
            return seen.mapped(name, head)

        return once(f"x.{name}", found)

    def learned(name: str) -> Number:
        return once(f"p.{name}", lambda: tape.learned(params["p"][name].of(head), x.value.shape[1]))

    def recurrent(name: str) -> _Map:
        uses[name] += 1
        return _Map(tape, params["U"][name].of(head), uses[name])

    width, parts = x.value.shape[2], cell.beside(INPUT)
    own = x if parts == 1 else tape.features(x, slice(width // parts * head, width // parts * (head + 1)))
    if cell.given is not None and cell.reads_input:
        own = _given(tape, cell, x, INPUT, INPUT, head)
    inputs = Input(own, mapped)
    given = {name: state_of(tape, layer.state_shapes[name], cell.heads, head, states[name]) for name in cell.states}
    return cell.equations(inputs, _Names(recurrent), _Names(learned), given)


def _of_head(tape: Tape, cell: Cell, mask: Number, head: int) -> Number:
    """The part of a mask for a head."""
    width = mask.value.shape[2] // (cell.heads or 1)
    return mask if cell.heads is None else tape.features(mask, slice(width * head, width * (head + 1)))


def _given(tape: Tape, cell: Cell, x: Number, name: str, label: str, head: int) -> Number:
    """The features of an x.name, or of `x` itself, among those that stand side by side where nothing maps them."""
    low = 0
    for other, features in cell.given or ():
        if other == name:
            own = features // cell.beside(label)
            return tape.features(x, slice(low, low + own) if own == features else
                                 slice(low + own * head, low + own * (head + 1)))  # fmt: skip
        low += features
    raise KeyError(name)


def _hooked(tape: Tape, policy: Any, index: Array, states: dict[str, Number]) -> dict[str, Number]:
    """The states unchanged, with cotangents that the policy changes; `index` is the step of each row."""
    names = list(states)

    def pull(*cotangents: Array) -> list[Array]:
        aside = Tape(tape.rounding, recording=False)
        given = {name: Number(aside, d) for name, d in zip(names, cotangents, strict=True)}
        passed = policy(Number(aside, tape.rounding.array(index[None, :, None])), given)
        return [np.broadcast_to(aside.lift(passed[name]).value, given[name].value.shape) for name in names]

    if getattr(Recurrence, policy.__name__) is policy.__func__:
        return states
    found = tape.record_all([number.value for number in states.values()], list(states.values()), pull)
    return dict(zip(names, found, strict=True))


def _last(tape: Tape, layer: Layer, values: Number, ends: Array, steps: int) -> Number:
    """Each half's last processed step: the row's last real one, or time 0 for the reverse half."""
    batch, rows, low, halves = len(ends), np.flatnonzero(ends > 0), 0, []
    if not steps:
        rows = rows[:0]
    for half in layer.halves:
        time = ends[rows] - 1 if half == "forward" else np.zeros(len(rows), int)
        halves.append((time * batch + rows, slice(low, low := low + layer.half_width)))
    found = [tape.features(tape.take(values, places), part) for places, part in halves]
    return tape.put([(tape.join(found), rows)], batch, layer.width)
