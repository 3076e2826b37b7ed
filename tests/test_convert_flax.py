"""Flax nnx, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import noted, refuses

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells
from rnnspec.convert import Note, from_flax, to_flax
from rnnspec.errors import ArgumentError, ShapeError, TreeError, UnsupportedError

pytest.importorskip("flax")
import jax
from flax import linen, nnx


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def made(kind, inputs=3, seed=0, **options):
    drawn = dict.fromkeys(("kernel_init", "recurrent_kernel_init", "bias_init"), nnx.initializers.uniform(1.0))
    double = {"dtype": np.float64, "param_dtype": np.float64}
    return kind(inputs, 4, rngs=nnx.Rngs(seed), **drawn, **double, **options)


def test_parts_run_one_after_the_other():
    parts = (made(nnx.LSTMCell), made(nnx.GRUCell, inputs=4), nnx.Linear(4, 2, use_bias=False, rngs=nnx.Rngs(0)))
    found = from_flax(*parts, read=Last())
    assert found.net == Network(3, [Layer(cells.lstm, 4), Layer(cells.gru, 4)], Last(), Dense(2))
    assert noted(found.notes) == {Note.NO_INNER_BIAS, Note.NO_BIAS}


def inner_bias():
    net = Network(3, [Layer(cells.gru, 4)])
    return to_flax(net, net.init(0))


def reset_before():
    net = Network(3, [Layer(cells.gru_reset_before, 4)])
    return to_flax(net, net.init(0))


def merged():
    return from_flax(nnx.Bidirectional(nnx.RNN(made(nnx.GRUCell)), nnx.RNN(made(nnx.GRUCell)), merge_fn=max))


LINEN = {
    "LSTMCell": ({}, cells.lstm), "OptimizedLSTMCell": ({}, cells.lstm), "GRUCell": ({}, cells.gru),
    "SimpleCell": ({}, cells.elman), "SimpleCell with relu": ({"activation_fn": linen.relu}, cells.elman_relu),
    "MGUCell": ({"reset_gate": False}, cells.ugrnn),
}  # fmt: skip


def with_numbers(cell):
    """A linen cell with drawn numbers, biases among them."""
    shapes = jax.eval_shape(lambda: cell.init(jax.random.key(0), cell.initialize_carry(jax.random.key(0), (1, 3)),
                                              np.zeros((1, 3), np.float32)))["params"]  # fmt: skip
    rng = np.random.default_rng(0)
    return cell, jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32), shapes)


@pytest.mark.parametrize("name", LINEN)
def test_a_linen_cell_is_read_with_its_parameters(name):
    options, expected = LINEN[name]
    cell, params = with_numbers(getattr(linen, name.split()[0])(4, **options))
    found = from_flax((cell, params))
    assert found.net == Network(3, [Layer(expected, 4)]) and not found.notes
    x = np.random.default_rng(1).normal(size=(5, 2, 3)).astype(np.float32)
    theirs = linen.RNN(cell, time_major=True).apply({"params": {"cell": params}}, x)
    ours = rnnspec.get_backend("numpy").run(found.net, found.params, x).outputs
    np.testing.assert_allclose(ours, np.array(theirs), atol=1e-5)


def test_an_initial_state_of_a_linen_cell_is_noted():
    found = from_flax(with_numbers(linen.GRUCell(4, carry_init=nnx.initializers.ones)))
    assert [note.what for note in found.notes] == [Note.INITIAL_STATE]


REFUSED = {
    "a reset gate after the map": (lambda: from_flax(with_numbers(linen.MGUCell(4))), UnsupportedError,
                                   "reset_gate=True"),
    "a function of linen": (lambda: from_flax(with_numbers(linen.GRUCell(4, activation_fn=linen.gelu))),
                            UnsupportedError, "gelu"),
    "linen without a tree": (lambda: from_flax((linen.GRUCell(4), 3)), ArgumentError, "int"),
    "variables of linen": (lambda: from_flax((linen.GRUCell(4), {"params": with_numbers(linen.GRUCell(4))[1]})),
                           TreeError, "params.hn.bias"),
    "an inner bias": (inner_bias, UnsupportedError, "p.n of layers.0.forward"),
    "reset before": (reset_before, UnsupportedError, "gru_reset_before"),
    "a function of gates": (
        lambda: from_flax(made(nnx.GRUCell, gate_fn=nnx.relu)), UnsupportedError, "gate_fn=relu"),
    "a residual": (lambda: from_flax(made(nnx.SimpleCell, residual=True)), UnsupportedError, "residual=True"),
    "another order": (
        lambda: from_flax(nnx.RNN(made(nnx.GRUCell), reverse=True)), UnsupportedError, "keep_order=False"),
    "another merge": (merged, UnsupportedError, "max"),
    "unlike halves": (
        lambda: from_flax(nnx.Bidirectional(nnx.RNN(made(nnx.GRUCell)), nnx.RNN(made(nnx.LSTMCell)))),
        UnsupportedError, "GRUCell and LSTMCell"),
    "no part of a network": (lambda: from_flax(nnx.Conv(3, 4, 2, rngs=nnx.Rngs(0))), ArgumentError, "Conv"),
    "widths that do not fit": (
        lambda: from_flax(made(nnx.GRUCell), made(nnx.GRUCell)), ShapeError, "dense_i.kernel of layers.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    refuses(*REFUSED[name])
