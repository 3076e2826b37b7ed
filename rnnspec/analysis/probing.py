"""Gradients of a layer's states, and Jacobians from step to step, computed with a backend's own pullback.

A probed cell adds an extra input to every new state. The input is 0, so that it changes no value, and its gradient is
the gradient of the state, for any direction, lengths and policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnspec.interface.backend import Backend
from rnnspec.network import Layer, Network
from rnnspec.output import Steps
from rnnspec.tracing.cell import OUTPUT, Cell
from rnnspec.tracing.graph import Graph, GraphBuilder
from rnnspec.tree import Tree, tree_map

__all__ = ["Half", "in_order", "jacobians", "state_gradients", "with_resets"]

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


def state_gradients(
    backend: Backend, net: Network, params: Tree, inputs: Array, targets: Array, state: Tree, ends: Array,
    resets: Array | None = None,
) -> dict[str, dict[str, Array]]:
    """dL/ds_t of the first layer's states, `[half][state]` (time, batch, width), in time order, 0 after a row's end."""
    layer, places, wide = net.layers[0], {}, net.inputs
    for half in layer.halves:
        for name, width in layer.state_sizes.items():
            places[half, name] = slice(wide, wide := wide + width)
    named = {} if isinstance(layer.widths_given, int) else layer.widths_given
    shown = replace(layer, cell=_probed(layer.cell), hidden={**named, **layer.state_sizes})
    probed = replace(net, inputs=wide, layers=[shown, *net.layers[1:]])
    first = {half: _with_probes(layer, half, given, places, wide) for half, given in params["layers"][0].items()}
    own = {**params, "layers": [first, *params["layers"][1:]]}
    held = np.concatenate([inputs, np.zeros((*inputs.shape[:2], wide - net.inputs), inputs.dtype)], -1)
    found = backend.value_and_grad(probed, own, held, targets, state, ends, **with_resets(resets)).grads.inputs
    gradient = np.asarray(backend.to_numpy(found), np.float64)
    return {half: {name: gradient[..., places[half, name]] for name in layer.state_sizes} for half in layer.halves}


def jacobians(half: Half) -> tuple[Array, Array]:
    """ds_t/ds_{t-1} (time, batch, n, n) in processing order, all states concatenated, and the states (time, batch, n).

    A step that starts from zeros depends on no state. Policies are ignored. Values after a row's end have no meaning.
    """
    states, (steps, batch) = _states(half), half.inputs.shape[:2]
    fresh = _fresh(half)[..., None]
    before = {s: np.where(fresh, 0, np.concatenate([half.state[s][None], a[:-1]])) for s, a in states.items()}
    layer = replace(half.layer, direction="forward", gradient=None)
    net = Network(half.inputs.shape[2], [layer])
    flat = {s: a.reshape(steps * batch, -1) for s, a in before.items()}
    given = net, {"layers": [{"forward": half.params}]}, in_order(half.inputs, half.name, half.ends).reshape(
        1, steps * batch, -1), np.zeros((1, steps * batch, layer.half_width))  # fmt: skip
    rows = []
    for state, width in layer.state_sizes.items():
        for unit in range(width):
            seed = {s: np.zeros_like(a) for s, a in flat.items()}
            seed[state][:, unit] = 1.0
            found = half.backend.pullback(*given, [{"forward": seed}], [{"forward": flat}]).state[0]["forward"]
            rows.append(_beside(half.backend.to_numpy(found), layer).reshape(steps, batch, -1))
    return np.where(fresh[..., None], 0, np.stack(rows, 2)), _beside(states, layer)


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
    """The steps (time, batch), in processing order, before which the half starts from zeros."""
    if half.resets is None:
        return np.zeros(half.inputs.shape[:2], bool)
    real = half.resets & (np.arange(len(half.inputs))[:, None] < half.ends)
    return in_order(real if half.name == "forward" else np.append(real[1:], real[:1] & False, 0), half.name, half.ends)


def _beside(states: Mapping[str, Array], layer: Layer) -> Array:
    return np.concatenate([np.asarray(states[s], np.float64) for s in layer.state_sizes], -1)


def _states(half: Half) -> dict[str, Array]:
    """Every state after each step, in processing order, from one run for each state."""
    found = {}
    for state in half.layer.state_sizes:
        layer = replace(half.layer, cell=_showing(half.layer.cell, state), direction=half.name, gradient=None)
        net = Network(half.inputs.shape[2], [layer], Steps())
        outputs = half.backend.run(net, {"layers": [{half.name: half.params}]}, half.inputs,
                                   [{half.name: dict(half.state)}], half.ends,
                                   **with_resets(half.resets)).outputs  # fmt: skip
        found[state] = in_order(np.asarray(half.backend.to_numpy(outputs)), half.name, half.ends)
    return found


def _showing(cell: Cell, state: str) -> Cell:
    """The cell with a state as its output."""
    results = tuple((name, cell.graph.result(state) if name == OUTPUT else i) for name, i in cell.graph.results)
    return Cell(cell.name, cell.states, Graph(cell.graph.nodes, results))


def _probe(cell: Cell, state: str) -> str:
    """The name of a state's probe, which the cell does not use."""
    name = f"probe_{state}"
    while name in cell.graph.names("input"):
        name += "_"
    return name


def _probed(cell: Cell) -> Cell:
    """The cell with an input added to each state."""
    builder = GraphBuilder(list(cell.graph.nodes))
    results = {s: builder.primitive("add", cell.graph.result(s), builder.vector("input", _probe(cell, s)).index)
               for s in cell.states}  # fmt: skip
    output = cell.graph.result(OUTPUT) if cell.output_state is None else results[cell.output_state]
    return Cell(cell.name, cell.states, builder.graph({OUTPUT: output, **results}))


def _with_probes(
    layer: Layer, half: str, params: Tree, places: Mapping[tuple[str, str], slice], wide: int
) -> dict[str, Tree]:
    """The parameters of a half with a probed cell; each probe reads its own input features."""
    W = tree_map(lambda w: np.concatenate([w, np.zeros((len(w), wide - w.shape[1]), w.dtype)], 1), params["W"])
    b = dict(params["b"])
    for state, width in layer.state_sizes.items():
        probe, dtype = _probe(layer.cell, state), np.float64
        W[probe], b[probe] = np.zeros((width, wide), dtype), np.zeros(width, dtype)
        W[probe][:, places[half, state]] = np.eye(width)
    return {**params, "W": W, "b": b}
