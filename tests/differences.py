"""Central differences: the derivative that no backward equation takes part in."""

from __future__ import annotations

import rnnspec
from rnnspec.tree import leaves, tree_map

STEP = 1e-5


def everything(net, rng, steps, batch, scale=0.5):
    """Drawn parameters, inputs and state of a network, and the cotangents of its outputs and final state."""
    params = tree_map(lambda a: a + scale * rng.normal(size=a.shape), net.init(0))
    states = [{half: {name: rng.normal(size=shape) for name, shape in named.items()} for half, named in halves.items()}
              for halves in net.state_shapes(batch)]  # fmt: skip
    last = isinstance(net.read, rnnspec.Last)
    outputs = rng.normal(size=(batch, net.features) if last else (steps, batch, net.features))
    final = tree_map(lambda a: rng.normal(size=a.shape), states)
    given = {"params": params, "inputs": rng.normal(size=(steps, batch, net.inputs)), "state": states}
    return given, outputs, final


def pulled(backend, net, given, outputs, final, lengths=None):
    """The gradients that the backend derives, named as `given`."""
    found = backend.pullback(net, given["params"], given["inputs"], outputs, final, given["state"], lengths)
    return {"params": found.params, "inputs": found.inputs, "state": found.state}


def number(backend, net, given, outputs, final, lengths=None):
    """The number whose gradient `pulled` is."""
    result = backend.run(net, given["params"], given["inputs"], given["state"], lengths)
    ends = dict(leaves(result.state))
    return float((result.outputs * outputs).sum() + sum((ends[name] * a).sum() for name, a in leaves(final)))


def disagreement(function, given, gradients, rng):
    """The derived and the measured derivative along a drawn direction of all leaves together, in units of the
    larger of 1 and the sum of what the leaves contribute; None for both across a kink, where two step lengths measure
    different numbers."""
    assert {n: a.shape for n, a in leaves(gradients)} == {n: a.shape for n, a in leaves(given)}
    direction = tree_map(lambda a: rng.normal(size=a.shape), given)
    by_name = dict(leaves(gradients))
    parts = [float((by_name[name] * d).sum()) for name, d in leaves(direction)]

    def measured(step):
        ahead, behind = (tree_map(lambda a, d, by=by: a + by * d, given, direction) for by in (step, -step))
        return (function(ahead) - function(behind)) / (2 * step)

    coarse, fine = measured(STEP), measured(STEP / 3)
    scale = max(1.0, sum(map(abs, parts)))
    return (sum(parts) / scale, fine / scale) if abs(coarse - fine) < 1e-6 * scale else (None, None)
