"""Flax nnx, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import FEW, Question, drawn, map_gradients, same_network, told
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, cells
from rnnspec.convert import Loss, from_flax, to_flax
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import FLAX
from rnnspec.errors import ArgumentError, ShapeError, UnsupportedError
from rnnspec.tree import tree_map

pytest.importorskip("flax")
import jax
from flax import nnx

BOTH = ("forward", "reverse", "bidirectional")
DEEP = Network(3, [Layer(cells.elman, 4), Layer(cells.lstm, 3, "bidirectional"), Layer(cells.gru, 2, "reverse")],
               Last(), Dense(2))  # fmt: skip
FEWER = settings(FEW, max_examples=2)
"""Each compiles a program for every half of every layer."""


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def at(tree, name):
    for part in name.split("."):
        tree = tree[part]
    return np.array(tree[...])


def trainable(case):
    """The parameters with zeros where Flax has no place."""
    params = case.arrays().params
    for layer in params["layers"]:
        for own in layer.values():
            own["p"] = {name: np.zeros_like(a) for name, a in own["p"].items()}
    return params


@FEWER
@example(Case(DEEP, 5, 3, (5, 0, 2)))
@given(drawn(FLAX, BOTH))
def test_a_network_is_the_module_made_of_it(case):
    params = trainable(case)
    question = Question(case.net, params, case.arrays())
    g, model = question.given, to_flax(case.net, params).model
    definition, weights, rest = nnx.split(model, nnx.Param, ...)
    lengths = None if case.lengths is None else jax.numpy.asarray(g.lengths)

    def run(weights, inputs, state):
        return nnx.merge(definition, weights, rest)(inputs, state, lengths)

    @jax.jit
    def pulled(given, cotangents):
        answer, pull = jax.vjp(run, *given)
        return answer, pull(cotangents)

    given_arrays = (weights, *tree_map(jax.numpy.asarray, (g.inputs, g.state)))
    cotangents = tree_map(jax.numpy.asarray, (g.output_cotangent, g.state_cotangent))
    (outputs, final), (grads, dx, dstate) = pulled(given_arrays, cotangents)
    question.agree(np.array(outputs), tree_map(np.array, final))
    found = {"layers": []}
    for i, layer in enumerate(case.net.layers):
        row = layout_for(FLAX, layer.cell)
        own = {half: {t: at(grads["layers"][i][half]["cell"], t) for t in row.tensors} for half in layer.halves}
        found["layers"].append({half: map_gradients(row, tensors, last=False) for half, tensors in own.items()})
    if case.net.output:
        found["output"] = {"W": np.array(grads["output"]["kernel"][...]).T, "b": np.array(grads["output"]["bias"][...])}
    question.agree_gradients(with_inner_bias(question, found), np.array(dx), tree_map(np.array, dstate))


def with_inner_bias(question, found):
    """Flax has no gradient for the inner bias: ours stands for it."""
    for i, layer in enumerate(question.pullback().params["layers"]):
        for half, own in layer.items():
            found["layers"][i][half]["p"] = own["p"]
    return found


@FEW
@given(drawn(FLAX, BOTH))
def test_there_and_back_is_the_same_network_and_the_same_bits(case):
    params = trainable(case)
    back = from_flax(to_flax(case.net, params).model)
    same_network(back, case.net, params)
    inner = any(layout_for(FLAX, layer.cell).absent() for layer in case.net.layers)
    assert told(back.losses) == ({Loss.NO_INNER_BIAS} if inner else set())


KINDS = {
    "SimpleCell": (nnx.SimpleCell, {}), "SimpleCell-relu": (nnx.SimpleCell, {"activation_fn": nnx.relu}),
    "LSTMCell": (nnx.LSTMCell, {}), "OptimizedLSTMCell": (nnx.OptimizedLSTMCell, {}), "GRUCell": (nnx.GRUCell, {}),
}  # fmt: skip


def made(kind, inputs=3, seed=0, **options):
    double = {"dtype": np.float64, "param_dtype": np.float64}
    return kind(inputs, 4, bias_init=nnx.initializers.uniform(1.0), rngs=nnx.Rngs(seed), **double, **options)


@pytest.mark.parametrize("name", KINDS)
@FEWER
@given(st.sampled_from(BOTH), st.booleans(), st.integers(0, 2**31), st.none() | st.tuples(*[st.integers(1, 5)] * 2))
def test_a_cell_is_the_network_read_from_it(name, direction, time_major, seed, lengths):
    kind, options = KINDS[name]
    one, other = made(kind, seed=seed, **options), made(kind, seed=seed + 1, **options)
    if direction == "bidirectional":
        rnn = nnx.Bidirectional(nnx.RNN(one), nnx.RNN(other), time_major=time_major)
    else:
        rnn = nnx.RNN(one, time_major=time_major, reverse=direction == "reverse", keep_order=True)
    found = from_flax(rnn)
    assert told(found.losses) == ({Loss.NO_INNER_BIAS} if name == "GRUCell" else set()) | (
        set() if time_major else {Loss.BATCH_FIRST})  # fmt: skip
    question = Question.about(found, 5, 2, lengths, seed)
    layer, g = found.net.layers[0], question.given
    carries = [tuple(g.state[0][half][s] for s in ("c", "h") if s in layer.cell.states) for half in layer.halves]
    carries = [carry if len(carry) > 1 else carry[0] for carry in carries]
    inputs = g.inputs if time_major else g.inputs.swapaxes(0, 1)
    carry, rows = tuple(carries) if len(carries) > 1 else carries[0], None if lengths is None else np.array(lengths)
    ends, out = rnn(jax.numpy.asarray(inputs), initial_carry=carry, seq_lengths=rows, return_carry=True)
    ends = ends if direction == "bidirectional" else (ends,)
    final = {half: dict(zip(("c", "h"), map(np.array, end), strict=True)) if "c" in layer.cell.states
             else {"h": np.array(end)} for half, end in zip(layer.halves, ends, strict=True)}  # fmt: skip
    real = np.arange(5)[:, None] < np.array(lengths or [5, 5])
    out = np.array(out) if time_major else np.array(out).swapaxes(0, 1)
    question.agree(np.where(real[..., None], out, 0.0), [final])


def test_parts_run_one_after_the_other():
    parts = (made(nnx.LSTMCell), made(nnx.GRUCell, inputs=4), nnx.Linear(4, 2, use_bias=False, rngs=nnx.Rngs(0)))
    found = from_flax(*parts, read=Last())
    assert found.net == Network(3, [Layer(cells.lstm, 4), Layer(cells.gru, 4)], Last(), Dense(2))
    assert told(found.losses) == {Loss.NO_INNER_BIAS, Loss.NO_BIAS}


def test_without_double_precision_numbers_are_rounded_and_it_is_told():
    net = Network(3, [Layer(cells.lstm, 4)])
    with jax.enable_x64(False):
        found = to_flax(net, net.init(0))
    assert told(found.losses) == {Loss.ROUNDED}
    assert from_flax(found.model).params["layers"][0]["forward"]["W"]["i"].dtype == np.float32


def test_what_a_cell_loses_is_told():
    with pytest.warns(UserWarning, match="carry_init"):
        cell = made(nnx.LSTMCell, carry_init=nnx.initializers.ones)
    assert told(from_flax(cell).losses) == {Loss.INITIAL_STATE}
    shared = nnx.RNN(made(nnx.LSTMCell))
    assert told(from_flax(nnx.Bidirectional(shared, shared, time_major=True)).losses) == {Loss.SHARED}


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
    call, kind, evidence = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert evidence in caught.value.got + caught.value.must
