"""The flow of gradients where layers have heads, states are matrices, and equations read `x` itself."""

from __future__ import annotations

import numpy as np
import pytest

from rnnspec import Dense, Layer, Network, cell, cells, gradient_flow, losses, out
from rnnspec.policies import ClipStateByNorm
from rnnspec.primitives import outer, sigmoid, tanh

LENGTHS = np.array([4, 0, 3])


@cell
def delta(x, R, p, S):
    k = tanh(x.k)
    S = sigmoid(p.f) * S + outer(x.v - S @ k, k)
    return out(S @ x.q + R.u(x.w @ S)), S


@cell
def skipping(x, R, p, h, s):
    h = tanh(x + R.h(h) + R.own.T(s) + R.c(x))
    return h, tanh(p.d * x + s * sigmoid(x.probe_h))


@cell
def row(x, R, S, h):
    return out(x.o + R.o(h)), outer(1, tanh(x.k + R.k(h))), S @ x.q


TRAINED = {"output": Dense(2), "loss": losses.SquaredError()}
NETS = {
    "heads": Network(3, [Layer(cells.lstm, 2, "bidirectional", heads=2, shared=("x.i", "R.f")),
                         Layer(cells.gru, 2, heads=1)], **TRAINED),
    "matrix": Network(3, [Layer(cells.elman, 2), Layer(delta, {"S.rows": 2, "S.columns": 3}, "reverse")], **TRAINED),
    "matrices": Network(3, [Layer(delta, {"S.rows": 2, "S.columns": 1}, "bidirectional", heads=2)], **TRAINED),
    "x": Network(4, [Layer(skipping, 4)], **TRAINED),
    "parts of x": Network(4, [Layer(skipping, 2, "reverse", heads=2)], **TRAINED),
    "one x": Network(4, [Layer(skipping, 4, heads=2, shared=("x", "R.own"))], **TRAINED),
    "one row": Network(3, [Layer(row, {"S.columns": 3, "R.o": 2})], **TRAINED),
}  # fmt: skip


def case(net, steps=4, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    return (net.init(seed), rng.normal(size=(steps, rows, net.inputs)), rng.normal(size=(steps, rows, 2)),
            net.state_tree(rows, lambda shape: rng.normal(size=shape)))  # fmt: skip


def flattened(states, layer):
    return np.concatenate([states[name].reshape(-1) for name in layer.state_sizes])


def differences(backend, net, params, x, state, step=1e-6):
    """ds_t/ds_{t-1} of one row by central differences, and the state after the step."""
    [layer] = net.layers

    def after(flat):
        given, low = {}, 0
        for name, shape in layer.state_shapes.items():
            given[name] = flat[low : (low := low + layer.state_sizes[name])].reshape(1, *shape)
        new = backend.run(net, params, x, [{"forward": given}]).state[0]["forward"]
        return flattened(new, layer), new

    flat = flattened(state, layer)
    columns = [(after(flat + e)[0] - after(flat - e)[0]) / (2 * step) for e in step * np.eye(len(flat))]
    return np.stack(columns, 1), after(flat)[1]


@pytest.mark.parametrize("name", NETS)
def test_jacobians_and_their_products_are_those_of_finite_differences(name, reference):
    net = NETS[name]
    params, x, y, state = case(net)
    flow = gradient_flow(reference, net, params, x, y, state, LENGTHS)
    layer, half = net.layers[0], net.layers[0].halves[-1]
    found = next(h for h in flow.halves if h.place == f"layers.0.{half}")
    alone = Network(net.inputs, [Layer(layer.cell, layer.hidden, heads=layer.heads, shared=layer.shared)])
    own = {"layers": [{"forward": params["layers"][0][half]}]}
    for row, (place, end) in enumerate(((0, 4), (2, 3))):
        now = {s: a[[place]] for s, a in state[0][half].items()}
        product = np.eye(sum(layer.state_sizes.values()))
        jacobians = []
        for t in range(end):
            time = t if half == "forward" else end - 1 - t
            jacobian, now = differences(reference, alone, own, x[time : time + 1, [place]], now)
            jacobians.append(jacobian)
            np.testing.assert_allclose(found.jacobians[t, row], np.linalg.norm(jacobian, 2), rtol=1e-6)
        for k, jacobian in enumerate(reversed(jacobians), 1):
            product = product @ jacobian
            np.testing.assert_allclose(10 ** found.products[k, row], np.linalg.norm(product, 2), rtol=1e-5)


@pytest.mark.parametrize("name", ["matrix", "parts of x", "one x", "one row"])
def test_what_reaches_a_state_is_the_gradient_of_the_rest_from_it(name, reference):
    """dL/ds_t is the initial state's gradient of the steps after t, and what step t's own loss adds to the output."""
    layer = NETS[name].layers[-1]
    net = Network(NETS[name].layer_inputs(len(NETS[name].layers) - 1),
                  [Layer(layer.cell, layer.hidden, heads=layer.heads, shared=layer.shared)], **TRAINED)  # fmt: skip
    params, x, y, state = case(net)
    flow = gradient_flow(reference, net, params, x, y, state, LENGTHS)
    for t in range(4):
        after = reference.run(net, params, x[: t + 1], state, np.clip(LENGTHS, 0, t + 1))
        rest = reference.value_and_grad(net, params, x[t + 1 :], y[t + 1 :], after.state,
                                        np.clip(LENGTHS - t - 1, 0, 9))  # fmt: skip
        own = (after.outputs[t] - y[t]) @ params["output"]["W"]
        for state_name, gradient in rest.grads.state[0]["forward"].items():
            wanted = gradient.reshape(3, -1) + (own if state_name == layer.cell.output_state else 0.0)
            norms = np.where(t < LENGTHS, np.linalg.norm(wanted, axis=-1), np.nan)
            np.testing.assert_allclose(flow.halves[0].norms[state_name][t], norms, atol=1e-13)


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("name", ["heads", "matrices", "parts of x"])
def test_every_backend_tells_the_same(backend, name, open_backend, reference):
    given = (NETS[name], *case(NETS[name]), LENGTHS)
    found, expected = gradient_flow(open_backend(backend, "f64"), *given), gradient_flow(reference, *given)
    for half, right in zip(found.halves, expected.halves, strict=True):
        for state, norms in right.norms.items():
            np.testing.assert_allclose(half.norms[state], norms, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(half.jacobians, right.jacobians, rtol=1e-11)
        np.testing.assert_allclose(half.products, right.products, atol=1e-11)


def test_a_policy_sees_a_state_as_one_vector_of_all_heads(reference):
    flows = []
    for policy in (None, ClipStateByNorm(0.01)):
        net = Network(3, [Layer(delta, {"S.rows": 2, "S.columns": 3}, heads=2, gradient=policy)], **TRAINED)
        flows.append(gradient_flow(reference, net, *case(net)).halves[0])
    free, clipped = flows
    assert np.nanmax(free.norms["S"]) > 0.1
    assert np.nanmax(clipped.norms["S"]) == pytest.approx(0.01)
    np.testing.assert_array_equal(free.jacobians, clipped.jacobians)
