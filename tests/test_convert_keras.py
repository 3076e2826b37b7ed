"""Keras 3, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import FEW, Question, drawn, map_gradients, same_network, told
from hypothesis import example, given
from hypothesis import strategies as st

from conformance.cases import Case
from rnnspec import Dense, Last, Layer, Network, Steps, cells
from rnnspec.convert import Loss, from_keras, to_keras
from rnnspec.convert.layout import layout_for
from rnnspec.convert.layouts import KERAS
from rnnspec.errors import ArgumentError, NetworkError, UnsupportedError

keras = pytest.importorskip("keras")
kl = keras.layers
ALL = Network(3, [Layer(row.cell, 4, "bidirectional") for row in KERAS], Steps(), Dense(2))


def halves(layer):
    return (layer.forward_layer, layer.backward_layer) if isinstance(layer, kl.Bidirectional) else (layer,)


def mask(case):
    return None if case.lengths is None else np.arange(case.steps) < np.array(case.lengths)[:, None]


def run(model, inputs, given_mask):
    """The model layer by layer, with the mask that each passes on."""
    values = inputs
    for layer in model.layers:
        values = layer(values) if isinstance(layer, kl.Dense) else layer(values, mask=given_mask)
    return values


def in_our_layout(case, outputs):
    if isinstance(case.net.read, Last):
        return outputs
    return np.where(case.real[..., None], outputs.swapaxes(0, 1), 0.0)


@FEW
@example(Case(ALL, 5, 3, (5, 1, 2)))
@given(drawn(KERAS, shortest=1))
def test_a_network_is_the_sequential_made_of_it(case):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow's tape")
    question = Question.of(case).without_state().without_state_cotangent()
    model = to_keras(case.net, question.params).model
    inputs = tf.constant(question.given.inputs.swapaxes(0, 1))
    seed = question.given.output_cotangent
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = run(model, inputs, mask(case))
        value = tf.reduce_sum(outputs * (seed if isinstance(case.net.read, Last) else seed.swapaxes(0, 1)))
    question.agree(in_our_layout(case, outputs.numpy()))
    owners = [half.cell for layer in model.layers[: len(case.net.layers)] for half in halves(layer)]
    names = ("kernel", "recurrent_kernel", "bias")
    variables = [[getattr(owner, name).value for name in names] for owner in owners]
    head = [v.value for v in model.layers[-1].trainable_variables] if case.net.output else []
    dx, found, ends = tape.gradient(value, [inputs, variables, head])
    left = iter(found)

    def layer(own, last):
        row, shaped = layout_for(KERAS, own.cell), {}
        for half in own.halves:
            grads = {name: np.array(a) for name, a in zip(names, next(left), strict=True)}
            shaped[half] = map_gradients(row, grads | {"bias": grads["bias"].reshape(-1)}, last)
        return shaped

    for last in (False, True):
        left = iter(found)
        params = {"layers": [layer(own, last) for own in case.net.layers]}
        if case.net.output:
            params["output"] = {"W": np.array(ends[0]).T, "b": np.array(ends[1])}
        question.agree_gradients(params, np.array(dx).swapaxes(0, 1), None)


@FEW
@given(drawn(KERAS))
def test_there_and_back_is_the_same_network_and_the_same_bits(case):
    params = case.arrays().params
    back = from_keras(to_keras(case.net, params).model)
    same_network(back, case.net, params)
    assert not back.losses


def test_a_reverse_layer_that_is_read_last_goes_backwards():
    case = Case(Network(3, [Layer(cells.gru, 4), Layer(cells.lstm, 4, "reverse")], Last(), Dense(2)), 4, 2, (4, 2))
    question = Question.of(case).without_state()
    model = to_keras(case.net, question.params).model
    question.agree(np.array(run(model, question.given.inputs.swapaxes(0, 1), mask(case))))
    assert from_keras(model).net == case.net


KINDS = {"SimpleRNN": ("SimpleRNN", {}), "SimpleRNN-relu": ("SimpleRNN", {"activation": "relu"}), "LSTM": ("LSTM", {}),
         "GRU": ("GRU", {}), "GRU-before": ("GRU", {"reset_after": False})}  # fmt: skip
OPTIONS = st.tuples(st.booleans(), st.booleans(), st.integers(0, 2**31))


@pytest.mark.parametrize("name", KINDS)
@FEW
@given(OPTIONS, st.none() | st.tuples(*[st.integers(1, 5)] * 2))
def test_a_layer_is_the_network_read_from_it(name, drawn_options, lengths):
    (kind, options), (both, use_bias, seed) = KINDS[name], drawn_options
    own = getattr(kl, kind)(4, return_sequences=True, return_state=True, use_bias=use_bias, dtype="float64", **options)
    own = kl.Bidirectional(own, dtype="float64") if both else own
    own.build((2, 5, 3))
    rng = np.random.default_rng(seed)
    own.set_weights([rng.uniform(-0.7, 0.7, w.shape) for w in own.get_weights()])
    found = from_keras(own)
    after = kind == "GRU" and "reset_after" not in options
    assert told(found.losses) == ({Loss.SUMMED_BIASES} if use_bias and after else set() if use_bias else {Loss.NO_BIAS})
    question = Question.about(found, 5, 2, lengths, seed)
    names, g = found.net.layers[0].cell.states, question.given
    state = [g.state[0][half][name] for half in found.net.layers[0].halves for name in names]
    given_mask = None if lengths is None else np.arange(5) < np.array(lengths)[:, None]
    out, *final = own(g.inputs.swapaxes(0, 1), initial_state=state, mask=given_mask)
    real = np.arange(5)[:, None] < np.array(lengths or [5, 5])
    ends = iter(np.array(a) for a in final)
    question.agree(np.where(real[..., None], np.array(out).swapaxes(0, 1), 0.0),
                   [{half: {name: next(ends) for name in names} for half in found.net.layers[0].halves}])  # fmt: skip


def test_what_a_sequential_loses_is_told():
    net = Network(3, [Layer(cells.gru, 4)], Last())
    assert told(to_keras(net, net.init(0)).losses) == {Loss.SECOND_BIAS, Loss.PADDING}
    layer = kl.LSTM(4, kernel_regularizer="l2", bias_constraint="non_neg")
    assert told(from_keras(built(layer)).losses) == {Loss.REGULARISERS}


def built(*layers):
    return keras.Sequential([keras.Input((None, 3)), *layers])


def reverse(read):
    net = Network(3, [Layer(cells.lstm, 4, "reverse")], read)
    return to_keras(net, net.init(0))


def lstm(**options):
    return lambda: from_keras(built(kl.LSTM(4, **options)))


def projected():
    net = Network(3, [Layer(cells.lstm_projected, {"h": 2, "c": 4})])
    return to_keras(net, net.init(0))


REFUSED = {
    "dropout": (lstm(dropout=0.5), UnsupportedError, "dropout=0.5"),
    "dropout of the state": (lstm(recurrent_dropout=0.5), UnsupportedError, "recurrent_dropout=0.5"),
    "an activation": (lstm(activation="relu"), UnsupportedError, "activation='relu'"),
    "an activation of gates": (
        lstm(recurrent_activation="hard_sigmoid"), UnsupportedError, "recurrent_activation='hard_sigmoid'"),
    "zero_output_for_mask": (lstm(zero_output_for_mask=True), UnsupportedError, "zero_output_for_mask=True"),
    "steps backwards": (lstm(go_backwards=True, return_sequences=True), UnsupportedError, "go_backwards=True"),
    "merge_mode": (lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), merge_mode="sum"))), UnsupportedError, "'sum'"),
    "stateful": (
        lambda: from_keras(keras.Sequential([keras.Input((None, 3), batch_size=2), kl.GRU(4, stateful=True)])),
        UnsupportedError, "stateful=True"),
    "a dropout inside of both": (
        lambda: from_keras(built(kl.Bidirectional(kl.GRU(4, dropout=0.1)))), UnsupportedError, "dropout=0.1"),
    "an unlike half": (
        lambda: from_keras(built(kl.Bidirectional(kl.GRU(4), backward_layer=kl.LSTM(4, go_backwards=True)))),
        UnsupportedError, "GRU and LSTM"),
    "a layer for training": (lambda: from_keras(built(kl.GRU(4), kl.Dropout(0.5))), UnsupportedError, "Dropout"),
    "probabilities": (
        lambda: from_keras(built(kl.GRU(4), kl.Dense(2, activation="softmax"))), UnsupportedError, "'softmax'"),
    "no sequences": (
        lambda: from_keras(built(kl.GRU(4)).layers[0], built(kl.GRU(4)).layers[0]), UnsupportedError, "after one"),
    "not built": (lambda: from_keras(kl.GRU(4)), ArgumentError, "without weights"),
    "no layer": (lambda: from_keras(3), ArgumentError, "int"),
    "nothing": (from_keras, NetworkError, "none"),
    "projection": (projected, UnsupportedError, "lstm_projected"),
    "reverse steps": (lambda: reverse(Steps()), UnsupportedError, "reverse in layers.0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    call, kind, evidence = REFUSED[name]
    with pytest.raises(kind) as caught:
        call()
    assert evidence in caught.value.got + caught.value.must
