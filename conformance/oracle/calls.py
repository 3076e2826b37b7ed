"""The oracle's results in the form of a backend's: the same trees, with a leading axis of runs in each array."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

import numpy as np

from conformance.oracle.alignment import aligned
from conformance.oracle.arithmetic import EXACT, Arithmetic, Rounding
from conformance.oracle.network import Forward, forward, real_rows
from conformance.oracle.number import MapTape, Number
from rnnspec.contract.results import Gradients, Result, Step, Trained
from rnnspec.control.rule import Rule
from rnnspec.embedding import Embedding
from rnnspec.losses import CTC, Loss
from rnnspec.network import Network
from rnnspec.noise import Key
from rnnspec.output import Last
from rnnspec.tree import Tree, tree_map

__all__ = ["Batch", "pullback", "run", "shared", "train", "value_and_grad"]

Array = Any
Batch = tuple[Array, ...]
"""Inputs, targets, state or None, lengths or None, and resets or None, which may be left out."""


def run(
    net: Network, params: Tree, inputs: Array, state: Tree = None, lengths: Array = None,
    arithmetic: Arithmetic = EXACT, resets: Array = None, key: Key | None = None,
) -> Result:
    """Outputs and final state, as `Backend.run`: `(runs, time, batch, features)` and so on; `path` is empty."""
    with np.errstate(all="ignore"):
        rounding = Rounding(arithmetic)
        own = tree_map(lambda w: rounding.array(w)[None], params)
        given = _given(rounding, net, inputs, state, lengths, resets)
        found = forward(rounding, net, own, *given, recording=False, key=key)
        return Result(_outputs(net, found, inputs), _final(net, found), ())


def pullback(
    net: Network, params: Tree, inputs: Array, output_cotangent: Array, state_cotangent: Tree = None,
    state: Tree = None, lengths: Array = None, arithmetic: Arithmetic = EXACT, resets: Array = None,
    key: Key | None = None,
) -> Gradients:
    """The vector-Jacobian product, as `Backend.pullback`."""
    with np.errstate(all="ignore"):
        rounding = Rounding(arithmetic)
        own = tree_map(lambda w: rounding.array(w)[None], params)
        given = _given(rounding, net, inputs, state, lengths, resets)
        found = forward(rounding, net, own, *given, recording=True, key=key)
        rows = real_rows(net, len(inputs), given[2])
        seed = np.zeros(found.outputs.value.shape, arithmetic.dtype)
        seed[:, rows] = rounding.array(output_cotangent).reshape(1, found.outputs.value.shape[1], net.features)[:, rows]
        seeds = [(found.outputs, seed)]
        if state_cotangent is not None:
            def seed_state(number: Number, d: Array) -> None:
                seeds.append((number, rounding.array(d).reshape(1, *number.value.shape[1:])))

            tree_map(seed_state, found.final, state_cotangent)
        found.tape.pull_back(seeds)
        return _gradients(net, found, own, inputs)


def value_and_grad(
    net: Network, params: Tree, inputs: Array, targets: Array, state: Tree = None, lengths: Array = None,
    arithmetic: Arithmetic = EXACT, resets: Array = None, key: Key | None = None,
) -> Step:
    """The loss as `(sum, count)`, the gradients of the sum and the final state, as `Backend.value_and_grad`."""
    with np.errstate(all="ignore"):
        rounding = Rounding(arithmetic)
        own = tree_map(lambda w: rounding.array(w)[None], params)
        return _value_and_grad(rounding, net, own, (inputs, targets, state, lengths, resets), key=key)


def shared(
    net: Network, params: Tree, batches: Sequence[Batch], arithmetic: Arithmetic = EXACT,
    keys: Sequence[Key | None] = (),
) -> Step:  # fmt: skip
    """The loss, the count and the gradients of parameters of several workers, each with its own batch and key."""
    with np.errstate(all="ignore"):
        rounding = Rounding(arithmetic)
        own = tree_map(lambda w: rounding.array(w)[None], params)
        return _shared(rounding, net, own, batches, keys=keys)


def train(
    net: Network, rule: Rule, params: Tree, batches: Sequence[Batch | list[Batch]], arithmetic: Arithmetic = EXACT,
    rule_state: Tree = None,
) -> list[Trained]:
    """The results of one training step for each batch in turn, as `Backend.train_step`.

    `rule_state` is `rule.init(params)` if None. A batch is `(inputs, targets, state, lengths)`, the last two or None,
    and may have resets after them; a list has the batch of each of several workers.
    """
    with np.errstate(all="ignore"):
        rounding = Rounding(arithmetic)
        kept = rule.init(params) if rule_state is None else rule_state
        own, kept = (tree_map(lambda a: rounding.array(a)[None], tree) for tree in (params, kept))
        done = []
        for batch in batches:
            scale = rule.loss_scale(kept)
            step = (_shared(rounding, net, own, batch, scale) if isinstance(batch, list)
                    else _value_and_grad(rounding, net, own, batch, scale))  # fmt: skip
            own, kept = _update(rounding, rule, own, kept, step)
            done.append(Trained(own, kept, step.loss_sum, step.count, step.state))
        return done


def _given(
    rounding: Rounding, net: Network, inputs: Array, state: Tree, lengths: Array, resets: Array = None
) -> tuple[Array, Tree, Array, Array]:
    steps, batch = np.shape(inputs)[:2]
    if state is None:
        state = net.unset_state(batch, np.zeros)
    ends = np.full(batch, steps) if lengths is None else np.asarray(lengths)
    begins = np.zeros((steps, batch), bool) if resets is None else np.asarray(resets)
    given = np.asarray(inputs) if isinstance(net.inputs, Embedding) else rounding.array(inputs)
    return given, tree_map(lambda a: None if a is None else rounding.array(a), state), ends, begins


def _value_and_grad(
    rounding: Rounding, net: Network, params: Tree, batch: Batch, scale: Array = None, key: Key | None = None
) -> Step:
    assert net.loss is not None
    inputs, targets, *rest = batch
    given = _given(rounding, net, inputs, *rest)
    found = forward(rounding, net, params, *given, recording=True, key=key)
    loss_sum, count = _loss(net, net.loss, found, targets, given[2], len(inputs))
    seed = np.ones((1, 1, 1)) if scale is None else np.reshape(scale, (-1, 1, 1))
    found.tape.pull_back([(loss_sum, rounding.array(seed))])
    gradients = _gradients(net, found, params, inputs)
    return Step(_runs(rounding, loss_sum.value)[:, 0, 0], count, gradients, _final(net, found))


def _shared(
    rounding: Rounding, net: Network, params: Tree, batches: Sequence[Batch], scale: Array = None,
    keys: Sequence[Key | None] = (),
) -> Step:
    """The sums over workers, of which each stores its own ones."""
    given = zip_longest(batches, keys)
    steps = [_value_and_grad(rounding, net, params, batch, scale, key) for batch, key in given]
    own, losses = [step.grads.params for step in steps], [step.loss_sum for step in steps]
    grads = Gradients(tree_map(partial(_added, rounding), *own), None, None)
    return Step(_added(rounding, *losses), sum(step.count for step in steps), grads, None)


def _added(rounding: Rounding, *parts: Array) -> Array:
    size = sum(np.abs(part) for part in parts)
    found, own = sum(parts), rounding.arithmetic
    return rounding.round(found, own.accumulator * size + own.unit * np.abs(found))


def _loss(
    net: Network, loss: Loss, found: Forward, targets: Array, ends: Array, steps: int
) -> tuple[Number, int]:
    """The sum of the loss, and the count."""
    if isinstance(loss, CTC):
        return aligned(found.tape, loss, found.outputs, np.asarray(targets), ends), len(ends)
    rounding, rows = found.tape.rounding, real_rows(net, steps, ends)
    y = Number(found.tape, _targets(rounding, net, loss, targets, rows))
    return found.tape.add_up(loss.at(found.tape.take(found.outputs, rows), y)), len(rows)


def _targets(rounding: Rounding, net: Network, loss: Loss, targets: Array, rows: Array) -> Array:
    if not loss.integer_targets:
        return rounding.array(targets).reshape(1, np.size(targets) // net.features, net.features)[:, rows]
    labels = np.asarray(targets).reshape(-1)[rows]
    return rounding.array(labels[None, :, None] == np.arange(net.features))


def _update(rounding: Rounding, rule: Rule, params: Tree, kept: Tree, step: Step) -> tuple[Tree, Tree]:
    """The rule's changes added to the parameters; a unit is a row."""
    tape = MapTape(rounding)

    def whole(a: Array) -> Number:
        return Number(tape, a if a.ndim > 2 else a.reshape(len(a), -1, 1))

    gradients = tree_map(lambda g: whole(g) * (1.0 / max(step.count, 1)), step.grads.params)
    weights, state = tree_map(whole, params), tree_map(whole, kept)
    changes, new = rule.update(gradients, state, weights)
    added = tree_map(lambda w, change, a: _shaped(rounding, w + change, a), weights, changes, params)
    return added, tree_map(lambda number, a: _shaped(rounding, tape.lift(number), a), new, kept)


def _shaped(rounding: Rounding, number: Number, like: Array) -> Array:
    return _runs(rounding, number.value).reshape(rounding.runs, *like.shape[1:])


def _runs(rounding: Rounding, a: Array) -> Array:
    return np.broadcast_to(a, (rounding.runs, *a.shape[1:])).copy()


def _outputs(net: Network, found: Forward, inputs: Array) -> Array:
    steps, batch = np.shape(inputs)[:2]
    shape = (batch, net.features) if isinstance(net.read, Last) else (steps, batch, net.features)
    return _runs(found.tape.rounding, found.outputs.value).reshape(found.tape.rounding.runs, *shape)


def _final(net: Network, found: Forward) -> Tree:
    return _as_declared(net, tree_map(lambda number: _runs(found.tape.rounding, number.value), found.final))


def _as_declared(net: Network, flat: Tree) -> Tree:
    """The states, each one vector of a row, in their declared shapes."""
    return [{half: {name: a.reshape(*a.shape[:2], *layer.state_shapes[name]) for name, a in states.items()}
             for half, states in halves.items()} for layer, halves in zip(net.layers, flat, strict=True)]  # fmt: skip


def _gradients(net: Network, found: Forward, params: Tree, inputs: Array) -> Gradients:
    runs = found.tape.rounding.runs
    own = tree_map(lambda number, w: number.gradient().reshape(runs, *w.shape[1:]), found.params, params)
    pulled = None if found.inputs is None else found.inputs.gradient().reshape(runs, *np.shape(inputs))
    first = tree_map(lambda number: number.gradient(), found.state)
    return Gradients(own, pulled, _as_declared(net, first))
