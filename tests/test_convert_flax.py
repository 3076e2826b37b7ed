"""Flax nnx, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import noted, refuses

from rnnspec import Dense, Last, Layer, Network, cells
from rnnspec.convert import Note, from_flax, to_flax
from rnnspec.errors import ArgumentError, ShapeError, UnsupportedError

pytest.importorskip("flax")
import jax
from flax import nnx


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


REFUSED = {
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
