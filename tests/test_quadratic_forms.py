"""Recurrences of today beside what they must equal: sums over all pairs of steps, no stabiliser, and exact recall."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rnnspec
from rnnspec import Layer, Network, cells
from rnnspec.tree import leaves
from tests import papers_today

STEPS, ROWS, INPUTS, HEADS, KEYS, VALUES = 9, 2, 5, 2, 3, 4
BACKEND = rnnspec.get_backend("numpy", precision="f64")


def drawn(cell, hidden):
    """A network of one layer of two heads, its parameters and an input."""
    net = Network(INPUTS, [Layer(cell, hidden, heads=HEADS)])
    return net, net.init(3), np.random.default_rng(5).normal(size=(STEPS, ROWS, INPUTS))


def mapped(params, name, x):
    """W x + b, (time, batch, head, width)."""
    half = params["layers"][0]["forward"]
    return (x @ half["W"][name].T + half["b"][name]).reshape(*x.shape[:2], HEADS, -1)


def summed(q, k, v, decay):
    """The sum over s up to t of decay_ts (q_t k_s) v_s; decay is (time, time, batch, head)."""
    causal = np.tril(np.ones((STEPS, STEPS)))
    return np.einsum("ts,tsbh,tbhk,sbhk,sbhv->tbhv", causal, decay, q, k, v).reshape(STEPS, ROWS, -1)


def test_gla_without_decay_is_linear_attention():
    net, params, x = drawn(cells.gla, {"x.k": KEYS, "x.v": VALUES})
    half = params["layers"][0]["forward"]
    half["W"]["a"][:], half["b"]["a"][:] = 0, 800
    q, k, v = (mapped(params, name, x) for name in "qkv")
    expected = summed(q, k, v, np.ones((STEPS, STEPS, ROWS, HEADS)))
    np.testing.assert_allclose(BACKEND.run(net, params, x).outputs, expected, rtol=0, atol=1e-14)


def test_retention_is_a_sum_over_pairs_with_powers_of_its_decay():
    net, params, x = drawn(cells.retnet, {"x.k": KEYS, "x.v": VALUES})
    gamma = 1 - 2.0 ** (-5 - np.arange(HEADS))
    params["layers"][0]["forward"]["p"]["gamma"][:] = gamma
    apart = np.maximum(np.subtract.outer(np.arange(STEPS), np.arange(STEPS)), 0)
    decay = np.broadcast_to((gamma ** apart[..., None])[:, :, None], (STEPS, STEPS, ROWS, HEADS))
    expected = summed(*(mapped(params, name, x) for name in "qkv"), decay)
    np.testing.assert_allclose(BACKEND.run(net, params, x).outputs, expected, rtol=0, atol=1e-14)


def test_mamba2_is_a_sum_over_pairs_with_products_of_its_decays():
    net, params, x = drawn(cells.mamba2, {"x.B": KEYS, "x.v": VALUES})
    half = params["layers"][0]["forward"]
    dt, v = np.logaddexp(mapped(params, "dt", x), 0), mapped(params, "v", x)
    total = np.cumsum(-dt[..., 0] * np.exp(half["p"]["A"]), axis=0)
    decay = np.exp(np.minimum(total[:, None] - total[None], 0))
    expected = summed(mapped(params, "C", x), mapped(params, "B", x), dt * v, decay)
    expected += (half["p"]["D"][:, None] * v).reshape(STEPS, ROWS, -1)
    np.testing.assert_allclose(BACKEND.run(net, params, x).outputs, expected, rtol=0, atol=1e-14)


def test_the_stabiliser_of_the_mlstm_changes_no_output_and_no_gradient():
    """From a state of zeros they are those of the recurrence without m."""
    net, params, x = drawn(cells.mlstm, {"n": KEYS, "C.rows": VALUES})
    cotangent = np.random.default_rng(7).normal(size=(STEPS, ROWS, HEADS * VALUES))
    named = {name: torch.tensor(a, requires_grad=True) for name, a in leaves(params)}
    own = {name.removeprefix("layers.0.forward."): leaf for name, leaf in named.items()}
    states = (torch.zeros(ROWS, HEADS, VALUES, KEYS, dtype=torch.float64),
              torch.zeros(ROWS, HEADS, KEYS, dtype=torch.float64))  # fmt: skip
    outputs = []
    for step in torch.tensor(x):
        output, states = papers_today.mlstm_unstabilised(own, step, *states, HEADS)
        outputs.append(output)
    (torch.stack(outputs) * torch.tensor(cotangent)).sum().backward()
    ran = BACKEND.run(net, params, x)
    np.testing.assert_allclose(ran.outputs, torch.stack(outputs).detach(), rtol=0, atol=1e-14)
    final = ran.state[0]["forward"]
    np.testing.assert_allclose(final["n"] * np.exp(final["m"]), states[1].detach(), rtol=1e-13, atol=1e-14)
    pulled = dict(leaves(BACKEND.pullback(net, params, x, cotangent).params))
    for name, leaf in named.items():
        np.testing.assert_allclose(pulled[name], leaf.grad, rtol=1e-12, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("shift", [-200.0, 0.0, 200.0])
def test_input_gates_of_the_mlstm_of_any_size_give_finite_numbers(shift):
    """e^200 is above the largest number of float32, and e^-200 below the smallest."""
    be = rnnspec.get_backend("numpy", precision="f32")
    net, params, x = drawn(cells.mlstm, {"n": KEYS, "C.rows": VALUES})
    params["layers"][0]["forward"]["b"]["i"] += shift
    pulled = be.pullback(net, params, x, np.ones((STEPS, ROWS, HEADS * VALUES)))
    assert all(np.isfinite(a).all() for _, a in leaves([be.run(net, params, x).outputs, vars(pulled)]))


def test_the_delta_rule_recalls_a_value_under_its_key():
    """Gates of 1 and orthonormal keys: what a later step writes leaves the first value as it is."""
    net = Network(2 * KEYS + VALUES, [Layer(cells.deltanet(epsilon=0.0), {"x.k": KEYS, "x.v": VALUES})])
    rng, params = np.random.default_rng(0), net.init(0)
    keys, values = np.linalg.qr(rng.normal(size=(KEYS, KEYS)))[0], rng.normal(size=(KEYS, VALUES))
    eye, half = np.eye(2 * KEYS + VALUES), params["layers"][0]["forward"]
    half["W"] = {"k": eye[:KEYS], "q": eye[KEYS : 2 * KEYS], "v": eye[2 * KEYS :], "b": 0 * eye[:1]}
    half["b"] = {name: np.full(len(a), 40.0 * (name == "b")) for name, a in half["W"].items()}
    x = np.concatenate([keys, np.broadcast_to(keys[0], keys.shape), values], axis=1)[:, None]
    ran = BACKEND.run(net, params, x)
    np.testing.assert_allclose(ran.outputs[:, 0], np.broadcast_to(values[0], (KEYS, VALUES)), rtol=0, atol=1e-14)
    np.testing.assert_allclose(keys @ ran.state[0]["forward"]["S"][0].T, values, rtol=0, atol=1e-14)


def test_a_start_of_the_rglru_reads_no_state_and_scales_no_input():
    net = Network(4, [Layer(cells.rglru, 2, heads=2)])
    params, x = net.init(0), np.random.default_rng(0).normal(size=(1, 1, 4))
    half = params["layers"][0]["forward"]
    gate = np.einsum("hoi,hi->ho", half["U"]["i"], x.reshape(2, 2)).ravel() + half["p"]["i"]
    for h in (0.0, 5.0):
        state = [{"forward": {"h": np.full((1, 2, 2), h), "age": np.zeros((1, 2, 1))}}]
        np.testing.assert_allclose(BACKEND.run(net, params, x, state).outputs[0, 0], x[0, 0] / (1 + np.exp(-gate)),
                                   rtol=0, atol=1e-15)  # fmt: skip
