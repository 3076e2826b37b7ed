"""Matrices in equations: ranks and widths, what is refused, files, idioms, initial values, printing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import rnnspec
from conformance import oracle
from rnnspec import Layer, Network, cell, initialisers, out
from rnnspec.errors import EquationError, NetworkError, UnsupportedError
from rnnspec.losses import Loss, SquaredError
from rnnspec.policies import ClipStateByNorm, Recurrence
from rnnspec.primitives import logsumexp, mean, number, outer, sigmoid, tanh, total, where
from rnnspec.tracing.cell import Cell
from rnnspec.tracing.graph import from_json, to_json
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import UpdateRule


@cell
def delta(x, R, p, S, n):
    k = tanh(x.k)
    S = number(sigmoid(x.f)) * p.A * S + outer(sigmoid(x.b) * (x.v - S @ k), k)
    n = number(n)
    return out(S @ x.q / (1 + n * n) + R.r(x.w @ S)), S, total(S) / 8 + 0.5 * n


WIDTHS = {"S.rows": 2, "S.columns": 3}
NET = Network(4, [Layer(delta, WIDTHS)], loss=SquaredError())


def given(net, steps=5, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    return (net.init(seed), rng.normal(size=(steps, rows, net.inputs)), rng.normal(size=(steps, rows, net.features)),
            net.state_tree(rows, lambda shape: rng.normal(size=shape)), np.array([steps, 0, 2]))  # fmt: skip


def test_states_and_parameters_have_the_rank_of_their_use():
    assert delta.ranks == {"S": 2, "n": 1, "p.A": 2}
    assert delta.state_shapes(WIDTHS) == {"S": (2, 3), "n": (1,)}
    shapes = delta.parameter_shapes(4, WIDTHS)
    assert shapes["p"] == {"A": (2, 3)}
    assert shapes["U"] == {"r": (2, 3)}
    assert {name: shape[0] for name, shape in shapes["W"].items()} == {"k": 3, "f": 1, "b": 2, "v": 2, "q": 3, "w": 2}
    assert NET.layers[0].state_sizes == {"S": 6, "n": 1}
    assert NET.state_shapes(5)[0]["forward"]["S"] == (5, 2, 3)
    assert delta.has_matrices
    assert not rnnspec.cells.lstm.has_matrices


def test_one_number_is_the_width_of_rows_and_columns():
    linear = cell(lambda x, S: (out((S + outer(x.v, x.k)) @ x.q), S + outer(x.v, x.k)))
    assert linear.state_shapes(4) == {"S": (4, 4)}
    assert linear.state_shapes({"S.rows": 2, "S.columns": 5}) == {"S": (2, 5)}
    assert linear.state_shapes({"x.v": 2, "x.k": 5}) == {"S": (2, 5)}, "any name of the width"


WIDTHS_REFUSED = {
    "no columns": ({"S.rows": 2}, r"hidden must give the width of S\.columns, x\.k, x\.q"),
    "rows twice": ({"S.rows": 2, "x.v": 3, "S.columns": 2}, r"one width, got S\.rows=2, x\.v=3"),
    "the state": ({"S": 2}, "got 'S': 2; give the width of one of S.columns"),
}


@pytest.mark.parametrize(("hidden", "says"), WIDTHS_REFUSED.values(), ids=WIDTHS_REFUSED)
def test_widths_of_a_matrix_that_are_refused(hidden, says):
    linear = cell(lambda x, S: (out(S @ x.q), S + outer(x.v, x.k)))
    with pytest.raises(NetworkError, match=says):
        Layer(linear, hidden)


def test_a_column_fits_every_matrix_with_its_rows():
    gated = cell(lambda x, S: (out(S @ x.q), outer(sigmoid(x.g), 1) * S + outer(x.v, x.k) * outer(1, x.s)))
    assert gated.state_shapes(WIDTHS) == {"S": (2, 3)}
    assert {"S.rows", "x.g", "x.v"} <= next(names for names in gated.width_classes if "S.rows" in names)
    assert {"S.columns", "x.k", "x.s"} <= next(names for names in gated.width_classes if "S.columns" in names)


EQUATIONS_REFUSED = {
    "a matrix as the output": (lambda x, S: S + outer(x.v, x.k), "the output must be a vector, got a matrix"),
    "a vector plus a matrix": (lambda x, S: (out(S @ x.q), x.v + S + outer(x.v, x.k)), "got a vector and a matrix"),
    "a vector times a matrix": (lambda x, S: (out(S @ x.q), x.v * (S + outer(x.v, x.k))), "a vector and a matrix"),
    "a choice": (lambda x, S: (out(S @ x.q), where(x.v > 0, S, outer(x.v, x.k))), "a vector and a matrix"),
    "no matrix": (lambda x, h: tanh(x.a) @ tanh(x.b) + h, "got no matrix; multiply a matrix and a vector"),
    "two matrices": (lambda x, S: (out(S @ x.q), outer(x.v, x.k) @ outer(x.v, x.k) + S), "got two matrices"),
    "a mapped matrix": (lambda x, R, S: (out(S @ x.q), outer(R.a(S + outer(x.v, x.k)), x.k)), "got a matrix"),
    "logsumexp": (lambda x, S: (out(S @ x.q + logsumexp(outer(x.v, x.k))), S), r"logsumexp\(\.\.\.\): .* a matrix"),
    "an outer of a matrix": (lambda x, S: (out(S @ x.q), outer(outer(x.v, x.k), x.k)), r"outer\(\.\.\.\): .* a matrix"),
    "a matrix as a number": (lambda x, S: (out(number(outer(x.v, x.k)) * x.q), S), r"number\(\.\.\.\): .* a matrix"),
    "a state that becomes a vector": (lambda x, S: (out(x.q), (S + outer(x.v, x.k)) @ x.k), "the state S: .* a matrix"),
    "a state that becomes a matrix": (lambda x, R, h: (out(x.q), outer(R.a(h), x.k)), "the state h: .* a matrix"),
    "an unclear product": (lambda x, p, h, S: (p.A @ p.b + h, S), "whether . is a matrix"),
}


@pytest.mark.parametrize(("equations", "says"), EQUATIONS_REFUSED.values(), ids=EQUATIONS_REFUSED)
def test_equations_that_are_refused(equations, says):
    with pytest.raises(EquationError, match=says):
        cell(equations)


class Outer(Recurrence):
    def total(self, step, cotangents):
        return {"h": outer(cotangents["h"], 1)}


class Product(Loss):
    integer_targets = False

    def at(self, z, y):
        return z @ y


class Twice(UpdateRule):
    def init(self, params):
        return ()

    def update(self, gradients, state, params):
        return tree_map(outer, gradients, params), state


def test_policies_losses_and_rules_have_no_matrices(reference):
    plain = Network(3, [Layer(rnnspec.cells.elman, 2)], loss=Product())
    params, x, y, _, _ = given(plain)
    squared = Network(3, plain.layers, loss=SquaredError())
    for call in (lambda: Layer(rnnspec.cells.elman, 2, gradient=Outer()),
                 lambda: reference.value_and_grad(plain, params, x, y),
                 lambda: reference.train_step(squared, Twice(), params, (), x, y)):  # fmt: skip
        with pytest.raises(EquationError, match="only the equations of a cell have matrices"):
            call()


def test_every_backend_has_the_oracle_s_gradients(backend64):
    params, x, y, state, ends = given(NET)
    step = backend64.value_and_grad(NET, params, x, y, state, ends)
    wanted = oracle.value_and_grad(NET, params, x, y, state, ends)
    assert_allclose(backend64.to_numpy(step.loss_sum), wanted.loss_sum[0], rtol=1e-12)
    for got, right in ((step.grads.params, wanted.grads.params), (step.grads.inputs, wanted.grads.inputs),
                       (step.grads.state, wanted.grads.state), (step.state, wanted.state)):  # fmt: skip
        tree_map(lambda a, b: assert_allclose(a, b[0], rtol=1e-9, atol=1e-11), backend64.to_numpy(got), right)


def test_a_file_keeps_the_equations(tmp_path, reference):
    params, x, _, state, ends = given(NET)
    rnnspec.save(tmp_path / "net", NET, params)
    net, loaded = rnnspec.load(tmp_path / "net")
    assert net == NET
    assert net.layers[0].cell.ranks == delta.ranks
    assert_array_equal(reference.run(net, loaded, x, state, ends).outputs,
                       reference.run(NET, params, x, state, ends).outputs)  # fmt: skip


def test_json_gives_the_same_graph_and_none_that_equations_cannot_have():
    graph = from_json(json.loads(json.dumps(to_json(delta.graph))))
    assert graph == delta.graph
    assert Cell.of("again", delta.states, graph) == delta
    data = to_json(delta.graph)
    place = next(i for i, (op, *_) in enumerate(data["nodes"]) if op == "matmul")
    data["nodes"][place][1] = [data["nodes"][place][1][1]] * 2
    with pytest.raises(EquationError, match="a @ b"):
        Cell.of("spoilt", delta.states, from_json(data))


def test_a_torch_module_has_matrices(open_backend):
    pytest.importorskip("torch")
    module = open_backend("torch", "f32").as_layer(NET)
    assert {name: tuple(a.shape) for name, a in module.state_dict().items()} == {
        name: tuple(shape) for name, shape in leaves(NET.parameter_shapes())
    }
    _, final = module(module.first().new_zeros(4, 2, 4))
    assert final[0]["forward"]["S"].shape == (2, 2, 3)


def test_initial_values_of_a_learned_matrix():
    initial = {"p.A": initialisers.Orthogonal(2.0)}
    square = Network(4, [Layer(delta, 3, heads=2, initial=initial)]).init(0)["layers"][0]["forward"]["p"]["A"]
    for head in square:
        assert_allclose(head @ head.T, 4 * np.eye(3), atol=1e-12)
    assert np.abs(square[0] - square[1]).max() > 0.1


def test_a_policy_sees_all_entries_of_a_matrix_as_one_vector(reference):
    linear = cell(lambda x, S: (out(S @ x.q), 0.5 * S + outer(x.v, x.k)))
    limit, nets = 1e-3, [Network(4, [Layer(linear, WIDTHS, gradient=g)]) for g in (None, ClipStateByNorm(1e-3))]
    params, x, _, state, _ = given(nets[0], steps=1)
    d = np.random.default_rng(1).normal(size=(3, 2, 3))
    free, clipped = (reference.pullback(net, params, x, np.zeros((1, 3, 2)), [{"forward": {"S": d}}], state)
                     for net in nets)  # fmt: skip
    scale = limit / np.sqrt((d * d).sum((1, 2), keepdims=True))
    assert_allclose(free.state[0]["forward"]["S"], 0.5 * d + 0 * scale, rtol=1e-12)
    assert_allclose(clipped.state[0]["forward"]["S"], 0.5 * scale * d, rtol=1e-12)


def test_no_kernel_runs_matrices(open_backend):
    backend = open_backend("torch", "f32").through(rnnspec.Path.NATIVE)
    with pytest.raises(UnsupportedError, match="no kernel of PyTorch"):
        backend.run(NET, NET.init(0), np.zeros((3, 2, 4)))


def test_matrices_read_like_the_paper():
    linear = cell(lambda x, p, S: (out((p.A * S + outer(x.v, x.k)) @ x.q + mean(S) * (x.k @ S)),
                                   p.A * S - outer(x.v, 1)))  # fmt: skip
    assert str(linear).splitlines()[1:] == [
        "  u = p_A ⊙ S",
        "  y = (u + (W_v x + b_v) (W_k x + b_k)ᵀ) (W_q x + b_q) + mean(S) ⊙ Sᵀ (W_k x + b_k)",
        "  S' = u - (W_v x + b_v) 1ᵀ",
    ]
    assert str(delta).splitlines()[-1] == "  n' = Σ(S') / 8 + 0.5 ⊙ n", "a number has the letter of its state"
    assert delta.latex().splitlines()[4] == (
        r"S_t &= f \odot p_{A} \odot S_{t-1} + (b \odot (W_{v} x_t + b_{v} - S_{t-1} k)) k^\top \\"
    )
