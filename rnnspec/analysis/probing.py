"""Gradients of a layer's states, and Jacobians from step to step, computed with a backend's own pullback.

The gradient of a state is that of its probe, for any direction, lengths and policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnspec import cells
from rnnspec.analysis.probes import Probes
from rnnspec.interface.backend import Backend
from rnnspec.layer import Layer
from rnnspec.network import Network
from rnnspec.running.beginning import LEARNED
from rnnspec.tree import Tree

__all__ = ["Half", "in_order", "jacobians", "output_gradients", "state_gradients", "with_resets"]

Array = Any


@dataclass(frozen=True)
class Half:
    """One half of a layer with its inputs, all as NumPy arrays; `ends` (batch,) are the ends of rows.

    `resets` (time, batch) are those of the call, None where it has none.
    """

    backend: Backend
    layer: Layer
    name: str
    params: Tree
    inputs: Array
    state: Mapping[str, Array]
    ends: Array
    resets: Array | None = None


def output_gradients(
    backend: Backend, net: Network, params: Tree, outputs: Array, targets: Array, state: Tree, ends: Array,
    resets: Array | None = None,
) -> Array:
    """dL/dy_t (time, batch, feature) of the first layer's `outputs` y, with its inputs added where it is residual.

    In its place stands a layer that hands each half its own features, so that `Last()` reads them as those of a half.
    """
    layer, maps, low = net.layers[0], {}, 0
    for half in layer.halves:
        chosen = np.eye(layer.half_width, layer.width, low, dtype=outputs.dtype)
        maps[half] = {"W": {"y": chosen}, "b": {"y": np.zeros(layer.half_width, outputs.dtype)}, "U": {}, "p": {}}
        low += layer.half_width
    passing = replace(net, inputs=layer.width, layers=[Layer(cells.dense, layer.half_width, layer.direction),
                                                       *net.layers[1:]])  # fmt: skip
    own = {**params, "layers": [maps, *params["layers"][1:]]}
    first = [{half: {} for half in layer.halves}, *state[1:]]
    found = backend.value_and_grad(passing, own, outputs, targets, first, ends, **with_resets(resets))
    return backend.to_numpy(found.grads.inputs)


def state_gradients(
    backend: Backend, net: Network, params: Tree, inputs: Array, gradients: Array, state: Tree, ends: Array,
    resets: Array | None = None,
) -> dict[str, dict[str, Array]]:
    """dL/ds_t of the states of one layer, `[half][state]` (time, batch, entries), in time order, 0 after a row's end.

    `gradients` are those of its outputs. A state is one vector of a row, as policies see it: heads side by side, rows
    of a matrix one after the other.
    """
    layer = replace(net.layers[0], residual=False)
    probes = Probes(layer, net.input_features)
    probed = Network(probes.wide, [probes.probed])
    own = {"layers": [{half: probes.params(half, given) for half, given in params["layers"][0].items()}]}
    held = np.concatenate([inputs, np.zeros((*inputs.shape[:2], probes.wide - net.input_features), inputs.dtype)], -1)
    found = backend.pullback(probed, own, held, gradients, state=state, lengths=ends, **with_resets(resets)).inputs
    gradient = np.asarray(backend.to_numpy(found), np.float64)
    return {half: {name: gradient[..., probes.places[half, name]] for name in layer.state_sizes}
            for half in layer.halves}  # fmt: skip


def jacobians(half: Half) -> tuple[Array, Array]:
    """ds_t/ds_{t-1} (time, batch, n, n) in processing order, all states side by side, and the states (time, batch, n).

    A step that starts afresh depends on no state before it. Policies are ignored. Values after a row's end have no
    meaning.
    """
    layer = replace(half.layer, direction="forward", gradient=None, residual=False)
    steps, batch = half.inputs.shape[:2]
    net, params = Network(half.inputs.shape[2], [layer]), {"layers": [{"forward": half.params}]}
    inputs = in_order(half.inputs, half.name, half.ends)
    fresh = _fresh(half)
    states = _states(half.backend, net, params, inputs, half.state, fresh)
    learned = half.params.get(LEARNED, {})
    before = {s: _anew(fresh, np.concatenate([half.state[s][None], a[:-1]]), learned.get(s, 0))
              for s, a in states.items()}  # fmt: skip
    flat = {s: a.reshape(steps * batch, *a.shape[2:]) for s, a in before.items()}
    given = net, params, inputs.reshape(1, steps * batch, -1), np.zeros((1, steps * batch, layer.half_width))
    rows = []
    for state, size in layer.state_sizes.items():
        for entry in range(size):
            seed = {s: np.zeros_like(a) for s, a in flat.items()}
            seed[state].reshape(steps * batch, size)[:, entry] = 1.0
            found = half.backend.pullback(*given, [{"forward": seed}], [{"forward": flat}]).state[0]["forward"]
            rows.append(_beside(half.backend.to_numpy(found), layer, (steps, batch)))
    return _anew(fresh, np.stack(rows, 2), 0), _beside(states, layer, (steps, batch))


def with_resets(resets: Array | None) -> dict[str, Array]:
    """The argument of a call's resets, left out where there are none."""
    return {} if resets is None else {"resets": resets}


def in_order(a: Array, half: str, ends: Array) -> Array:
    """An array (time, batch, ...) in processing order: the reverse half has each row's real steps reversed."""
    if half == "forward":
        return a
    turned = np.array(a)
    for row, end in enumerate(ends):
        turned[:end, row] = a[:end, row][::-1]
    return turned


def _fresh(half: Half) -> Array:
    """The steps (time, batch), in processing order, before which the half starts afresh."""
    if half.resets is None:
        return np.zeros(half.inputs.shape[:2], bool)
    real = half.resets & (np.arange(len(half.inputs))[:, None] < half.ends)
    return in_order(real if half.name == "forward" else np.append(real[1:], real[:1] & False, 0), half.name, half.ends)


def _anew(fresh: Array, a: Array, first: Array) -> Array:
    """Values (time, batch, ...), those of a row where it begins at the steps that start afresh."""
    return np.where(fresh.reshape(*fresh.shape, *(1,) * (a.ndim - 2)), first, a)


def _states(
    backend: Backend, net: Network, params: Tree, inputs: Array, first: Mapping[str, Array], fresh: Array
) -> dict[str, Array]:
    """Every state after each step, of a network of one forward layer, where some steps start afresh."""
    found, now = [], [{"forward": dict(first)}]
    learned = params["layers"][0]["forward"].get(LEARNED, {})
    for x, begins in zip(inputs, fresh, strict=True):
        before = {s: _anew(begins[None], np.asarray(a)[None], learned.get(s, 0))[0]
                  for s, a in now[0]["forward"].items()}  # fmt: skip
        now = backend.to_numpy(backend.run(net, params, x[None], [{"forward": before}]).state)
        found.append(now[0]["forward"])
    return {name: np.stack([np.asarray(state[name]) for state in found]) for name in first}


def _beside(states: Mapping[str, Array], layer: Layer, leading: tuple[int, int]) -> Array:
    """All states of a row as one vector."""
    return np.concatenate([np.asarray(states[s], np.float64).reshape(*leading, -1) for s in layer.state_sizes], -1)
