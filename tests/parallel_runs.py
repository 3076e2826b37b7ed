"""One layer run step by step and in parallel over time: values and gradients of both, with all that a call can have."""

from __future__ import annotations

import re

import numpy as np

from conformance.cases import hidden_for
from rnnspec import Layer, Path
from rnnspec.tree import leaves, tree_map

WIDTHS = (4, 3, 2, 5, 4)
"""All but one different, so that a swap of axes shows."""


def layer_of(cell, heads=None, shared=(), widths=WIDTHS, direction="forward"):
    """A layer with different widths where the cell allows it."""
    return Layer(cell, hidden_for(cell, widths), direction, heads=heads, shared=shared)


def given_for(net, steps, batch, seed=0, ragged=True, resets=True):
    """Parameters, inputs, cotangents of outputs and final state, and the named arguments of a call, all drawn."""
    rng = np.random.default_rng(seed)

    def drawn(shape):
        return 0.6 * rng.normal(size=shape)

    params = tree_map(lambda a: drawn(a.shape), net.init(seed=0))
    state, d_state = (
        [{half: {name: drawn((batch, *shape)) for name, shape in layer.state_shapes.items()} for half in layer.halves}
         for layer in net.layers]
        for _ in range(2)
    )  # fmt: skip
    named = {"state": state}
    if ragged:
        named["lengths"] = np.array([steps, 0, steps // 2, *[steps] * batch][:batch])
    if resets:
        named["resets"] = rng.random((steps, batch)) < 0.2
    inputs, d_outputs = (rng.normal(size=(steps, batch, width)) for width in (net.inputs, net.features))
    return (params, inputs, d_outputs, d_state), named


def answers(backend, net, given, named):
    """Outputs, final state and gradients by name, as NumPy arrays; and the kinds of paths that ran."""
    params, inputs, d_outputs, d_state = (backend.asarray(tree) for tree in given)
    own = {**named, "state": backend.asarray(named["state"])}
    result = backend.run(net, params, inputs, **own)
    back = backend.pullback(net, params, inputs, d_outputs, d_state, **own)
    found = {"outputs": result.outputs, "final": result.state, "params": back.params, "inputs": back.inputs,
             "initial": back.state}  # fmt: skip
    return dict(leaves(backend.to_numpy(found))), {re.split(r"\W", label)[0] for _, label in result.path}


def agree(backend, net, steps, batch=3, *, chunk=None, seed=0, ragged=True, resets=True, within=1e-9, witness=None):
    """Assert that both ways agree, and that each is the one that ran; the steps may be those of a witness."""
    given = given_for(net, steps, batch, seed, ragged, resets)
    parallel = backend.through(Path.PARALLEL)
    parallel = parallel if chunk is None else parallel.chunking(chunk)
    expected, stepwise = answers((witness or backend).through(Path.GENERIC), net, *given)
    found, beside = answers(parallel, net, *given)
    assert stepwise <= {"generic", "planned"}
    assert beside == {"parallel"}
    assert found.keys() == expected.keys()
    for name, a in expected.items():
        assert (found[name].shape, found[name].dtype) == (a.shape, a.dtype), name
        assert np.isfinite(a).all(), name
        assert np.abs(found[name] - a).max(initial=0.0) <= within * (1 + np.abs(a).max(initial=0.0)), name

