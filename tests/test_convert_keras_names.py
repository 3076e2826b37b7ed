"""Keras as people have it: layers that act in training alone, arrays by name, files, and former versions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conversions import noted, refuses, same_params

import rnnspec
from rnnspec import Dense, Embedding, Steps, cell, cells
from rnnspec.convert import Note, from_keras
from rnnspec.convert.activations import hard_sigmoid_keras2
from rnnspec.derivation.correspondence import correspondence
from rnnspec.errors import ArgumentError, FileFormatError, NetworkError, TreeError, UnsupportedError
from rnnspec.primitives import tanh

keras = pytest.importorskip("keras")
h5py = pytest.importorskip("h5py")
kl = keras.layers
X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)


def ours(found, x=X):
    return rnnspec.get_backend("numpy").run(found.net, found.params, x).outputs


def built(*layers, shape=(5, 3)):
    model = keras.Sequential([keras.Input(shape), *layers])
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(-0.9, 0.9, w.shape) for w in model.get_weights()])
    return model


def agrees(found, model, x=X):
    """The network computes what the model does."""
    theirs = np.array(model(x.swapaxes(0, 1)))
    theirs = theirs.swapaxes(0, 1) if found.net.read == Steps() else theirs
    np.testing.assert_allclose(ours(found, x), theirs, atol=1e-5)


CHAINS = {
    "dropout": ([kl.LSTM(4, return_sequences=True, dropout=0.2, recurrent_dropout=0.1), kl.Dropout(0.2),
                 kl.SpatialDropout1D(0.1), kl.GaussianNoise(0.1), kl.LSTM(4), kl.Dense(2)], {Note.DROPOUT}),
    "a dense layer of each step": ([kl.LSTM(4, return_sequences=True), kl.TimeDistributed(kl.Dense(2))], set()),
    "dense layers between": ([kl.TimeDistributed(kl.Dense(4, activation="relu")), kl.GRU(4, return_sequences=True),
                              kl.Dense(5, activation="gelu"), kl.SimpleRNN(3, activation="relu"),
                              kl.Dense(4, activation="swish"), kl.Dense(2)], set()),
    "norms": ([kl.GRU(4, return_sequences=True), kl.LayerNormalization(), kl.LSTM(4), kl.Flatten(),
               kl.RMSNormalization(), kl.Dense(3), kl.LayerNormalization(center=False, epsilon=0.1)],
              {Note.PLAIN_NORM}),
    "activations": ([kl.GRU(4, return_sequences=True), kl.Activation("tanh"), kl.Dense(4), kl.LeakyReLU(), kl.Dense(4),
                     kl.ReLU(), kl.Dense(4), kl.ELU()], set()),
    "both directions": ([kl.Bidirectional(kl.LSTM(4, return_sequences=True, dropout=0.1)), kl.Dense(3),
                         kl.Bidirectional(kl.GRU(4)), kl.Dense(2)], {Note.DROPOUT}),
    "cells in one layer": ([kl.RNN([kl.LSTMCell(4), kl.GRUCell(3)], return_sequences=True),
                            kl.RNN(kl.StackedRNNCells([kl.SimpleRNNCell(4), kl.LSTMCell(5)]))], set()),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_read_as_it_computes_in_evaluation(name):
    layers, notes = CHAINS[name]
    model = built(*layers)
    found = from_keras(model)
    agrees(found, model)
    assert noted(found.notes) - {Note.SUMMED_BIASES} == notes | {Note.BATCH_FIRST}
    assert found.net == from_keras(*model.layers).net


ENDS = {"softmax": [kl.Dense(2, activation="softmax")], "sigmoid": [kl.Dense(2, activation="sigmoid")],
        "a layer": [kl.Dense(2), kl.Activation("softmax")], "Softmax": [kl.Dense(2), kl.Softmax()]}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_the_last_activation_is_left_to_the_caller(name):
    model = built(kl.LSTM(4), *ENDS[name])
    found = from_keras(model)
    told = [note for note in found.notes if note.what is Note.ACTIVATION]
    assert found.net.output == Dense(2) and [note.place for note in told] == ["output"]
    theirs = np.array(model(X.swapaxes(0, 1)))
    made = {"softmax": keras.ops.softmax, "sigmoid": keras.ops.sigmoid}[told[0].detail](ours(found))
    np.testing.assert_allclose(np.array(made), theirs, atol=1e-6)


@pytest.mark.parametrize("gate", ["hard_sigmoid", "sigmoid", "softsign"])
@pytest.mark.parametrize("squash", ["tanh", "relu", "linear", "elu"])
def test_a_recurrent_layer_may_have_any_activation_of_one_vector(gate, squash):
    options = {"activation": squash, "recurrent_activation": gate, "return_sequences": True}
    for layer in (kl.LSTM(3, **options), kl.GRU(3, **options), kl.GRU(3, reset_after=False, **options)):
        model = built(layer)
        agrees(from_keras(model), model)


def test_a_functional_model_may_be_a_chain_with_residual_connections():
    inputs = keras.Input((5, 3))
    one = kl.LSTM(4, return_sequences=True)(inputs)
    two = kl.Dropout(0.1)(kl.LSTM(4, return_sequences=True)(one))
    three = kl.Dense(4, activation="tanh")(added := kl.add([one, two]))
    model = keras.Model(inputs, kl.Dense(2)(kl.GRU(3)(kl.add([three, added]))))
    found = from_keras(model)
    assert [layer.residual for layer in found.net.layers] == [False, True, True, False]
    agrees(found, model)


def test_a_branch_is_refused_by_name():
    inputs = keras.Input((5, 3))
    one = kl.LSTM(4, name="one")(inputs)
    other = kl.LSTM(4, name="other")(inputs)
    model = keras.Model(inputs, kl.Dense(2)(kl.concatenate([one, other])))
    with pytest.raises(UnsupportedError, match=r"Concatenate 'concatenate\w*' at layers\[3\]"):
        from_keras(model)
    model = keras.Model(inputs, kl.add([one, other]))
    with pytest.raises(UnsupportedError, match="LSTM 'other', which reads input"):
        from_keras(model)


def test_class_numbers_are_embedded_and_masks_noted():
    model = built(kl.Embedding(9, 4, mask_zero=True), kl.GRU(3), kl.Dense(2), shape=(5,))
    found = from_keras(model)
    assert found.net.inputs == Embedding(9, 4)
    assert [(note.place, note.level.value) for note in found.notes if note.what is Note.MASK] == [
        ("embedding", "function")]  # fmt: skip
    numbers = np.random.default_rng(0).integers(1, 9, (5, 2))
    agrees(found, model, numbers)
    assert Note.MASK in noted(from_keras(built(kl.Masking(), kl.GRU(3))).notes)


def test_what_is_not_read_is_named_from_the_first_to_the_last_with_the_layers_that_can_be_given():
    model = built(kl.Conv1D(4, 2), kl.LSTM(4, return_sequences=True), kl.Dense(3), kl.GlobalMaxPooling1D(), kl.Dense(2))
    with pytest.raises(UnsupportedError, match=r"Conv1D 'conv1d\w*' at layers\[0\], GlobalMaxPooling1D '\w*' at "
                       r"layers\[3\]; give layers\[1:3\]"):  # fmt: skip
        from_keras(model)
    found, inputs = from_keras(*model.layers[1:3]), keras.Input((4, 4))
    assert found.net == from_keras(model, layers=slice(1, 3)).net
    agrees(found, keras.Model(inputs, model.layers[2](model.layers[1](inputs))), np.ones((4, 2, 4), np.float32))


ARRAYS = {"LSTM": (cells.lstm, {}), "GRU": (cells.gru, {}), "SimpleRNN": (cells.elman, {}),
          "a GRU of the paper": (cells.gru_reset_before, {"reset_after": False})}  # fmt: skip


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_come_by_name_with_their_cell(name):
    given, options = ARRAYS[name]
    kind = "GRU" if name.startswith("a ") else name
    model = built(kl.Bidirectional(getattr(kl, kind)(4, return_sequences=True, **options)),
                  getattr(kl, kind)(4, return_sequences=True, **options), kl.Dense(2))  # fmt: skip
    expected = from_keras(model)
    names = {w.path.partition("/")[2]: w.numpy() for w in model.weights}
    both, one, dense = (dict(list(names.items())[at]) for at in (slice(6), slice(6, 9), slice(9, 11)))
    for parts in (
        ((given, both), (given, one), (Dense, dense)),
        ((given, list(both.values())), (given, model.layers[1].get_weights()), (Dense, model.layers[2].get_weights())),
        tuple((what, names, next(iter(own)).partition("/")[0])
              for what, own in ((given, both), (given, one), (Dense, dense))),
        ((given, {f"{name}:0": a for name, a in both.items()}), *model.layers[1:]),
    ):  # fmt: skip
        found = from_keras(*parts)
        assert found.net == expected.net
        same_params(found.params, expected.params)


@cell
def hard_lstm(x, R, h, c):
    i, f, o = (hard_sigmoid_keras2(a) for a in (x.i + R.i(h), x.f + R.f(h), x.o + R.o(h)))
    c = f * c + i * tanh(x.g + R.g(h))
    return o * tanh(c), c


def test_a_cell_with_other_equations_takes_arrays_by_the_names_of_its_maps():
    layer = built(kl.LSTM(4, return_sequences=True)).layers[0]
    found = from_keras((hard_lstm, layer.get_weights()))
    assert found.net.layers[0].cell == hard_lstm and Note.EQUATIONS in noted(found.notes)
    same_params(found.params, from_keras(layer).params)


def cudnn(weights, gates):
    """The arrays as the layer of cuDNN stores them, by the definition of Keras."""
    kernel, recurrent, bias = weights
    kernels = [part.T.reshape(part.shape) for part in np.hsplit(kernel, gates)]
    first = np.linspace(-1, 1, bias.size) if gates == 4 else bias[0]
    second = bias - first if gates == 4 else bias[1]
    return [np.hstack(kernels), np.hstack([part.T for part in np.hsplit(recurrent, gates)]),
            np.concatenate([first, second]).astype("f")]  # fmt: skip


@pytest.mark.parametrize(("kind", "given", "gates"), [("LSTM", cells.lstm, 4), ("GRU", cells.gru, 3)])
def test_arrays_of_cudnns_layers_are_read(kind, given, gates):
    model = built(getattr(kl, kind)(4, return_sequences=True))
    found = from_keras((given, cudnn(model.get_weights(), gates)))
    agrees(found, model)
    assert Note.SUMMED_BIASES in noted(found.notes)


def of_keras1(weights, gates):
    kernel, recurrent, bias = (np.split(w, len(gates), axis=-1) for w in weights)
    order = {"i": 0, "f": 1, "c": 2, "o": 3} if len(gates) == 4 else {"z": 0, "r": 1, "h": 2}
    return {f"lstm_1_{kind}_{gate}": own[order[gate]] for gate in gates
            for kind, own in zip("WUb", (kernel, recurrent, bias), strict=True)}  # fmt: skip


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_arrays_of_keras_1_are_read(kind):
    layer = kl.LSTM(4, return_sequences=True) if kind == "LSTM" else kl.GRU(4, return_sequences=True, reset_after=False)
    model = built(layer)
    weights = of_keras1(model.get_weights(), "icfo" if kind == "LSTM" else "zrh")
    found = from_keras((cells.lstm if kind == "LSTM" else cells.gru_reset_before, weights))
    same_params(found.params, from_keras(model).params)


def test_files_of_this_keras_are_read(tmp_path):
    model = built(kl.Embedding(9, 4), kl.Bidirectional(kl.GRU(4, return_sequences=True)), kl.LayerNormalization(),
                  kl.RNN([kl.LSTMCell(4), kl.GRUCell(3)]), kl.Dense(2, activation="softmax"), shape=(5,))  # fmt: skip
    expected = from_keras(model)
    for name in ("model.keras", "model.h5"):
        model.save(tmp_path / name)
        found = from_keras(tmp_path / name)
        assert found.net == expected.net and found.notes == expected.notes
        same_params(found.params, expected.params)
        inner = from_keras(str(tmp_path / name), layers=slice(1 if name == "model.keras" else 2, None))
        assert inner.net.inputs == 4
    model.save_weights(path := tmp_path / "model.weights.h5")
    refuses(lambda: from_keras(path), ArgumentError, "layers/bidirectional/forward_layer/cell/")
    found = from_keras((cells.gru, path, "layers/bidirectional/"))
    same_params(found.params["layers"][0], expected.params["layers"][0])
    refuses(lambda: from_keras((cells.gru, path)), TreeError, "layers/bidirectional/backward_layer/cell/")
    refuses(lambda: from_keras((cells.gru, path, "nothing/")), TreeError, "nothing/")


def old_file(path, layers, version, weights):
    """A file as an older Keras writes it: the configuration as JSON, and arrays in groups by layer."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = version.encode()
        config = layers if version.startswith("1") else {"name": "sequential_1", "layers": layers}
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config}).encode()
        group = file.create_group("model_weights")
        for name, own in weights.items():
            part = group.create_group(name)
            part.attrs["weight_names"] = [key.encode() for key in own]
            for key, array in own.items():
                part[key] = array


def entry(kind, **config):
    return {"class_name": kind, "config": {"name": kind.lower(), **config}}


def test_a_file_of_keras_2_is_read_with_its_hard_sigmoid(tmp_path):
    model = built(kl.LSTM(4, return_sequences=True), kl.Dense(2))
    lstm, dense = (own.get_weights() for own in model.layers)
    options = {"activation": "tanh", "recurrent_activation": "hard_sigmoid", "implementation": 0, "time_major": False}
    layers = [entry("LSTM", units=4, return_sequences=True, dropout=0.2, **options),
              entry("Dense", units=2, activation="softmax")]  # fmt: skip
    weights = {"lstm": dict(zip(("lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0"), lstm, strict=True)),
               "dense": dict(zip(("dense/kernel:0", "dense/bias:0"), dense, strict=True))}  # fmt: skip
    old_file(tmp_path / "old.h5", layers, "2.2.4", weights)
    found = from_keras(tmp_path / "old.h5")
    assert correspondence(found.net.layers[0].cell, hard_lstm)
    assert noted(found.notes) == {Note.DROPOUT, Note.ACTIVATION, Note.BATCH_FIRST}
    exact = from_keras((hard_lstm, lstm), (Dense, dense))
    same_params(found.params, exact.params)


def test_a_file_of_keras_1_and_one_of_cudnns_layers_are_read(tmp_path):
    model = built(kl.LSTM(4), kl.Dense(2))
    lstm, (kernel, bias) = (own.get_weights() for own in model.layers)
    former = {"lstm": of_keras1(lstm, "icfo"), "dense": {"dense_1_W": kernel, "dense_1_b": bias}}
    layers = [entry("LSTM", output_dim=4, activation="tanh", inner_activation="sigmoid", return_sequences=False),
              entry("Dropout", p=0.5), entry("Dense", output_dim=2, activation="linear")]  # fmt: skip
    old_file(tmp_path / "one.h5", layers, "1.2.2", former)
    agrees(found := from_keras(tmp_path / "one.h5"), model)
    assert Note.DROPOUT in noted(found.notes)
    layers[0] = entry("CuDNNLSTM", units=4, return_sequences=False)
    arrays = dict(zip(("lstm/kernel:0", "lstm/recurrent_kernel:0", "lstm/bias:0"), cudnn(lstm, 4), strict=True))
    old_file(tmp_path / "two.h5", layers, "2.1.6", former | {"cudnnlstm": arrays})
    agrees(from_keras(tmp_path / "two.h5"), model)


def test_a_file_that_is_none_of_keras_is_refused(tmp_path):
    (tmp_path / "no.h5").write_bytes(b"\x80\x04pickle")
    refuses(lambda: from_keras(tmp_path / "no.h5"), FileFormatError, "no.h5")
    refuses(lambda: from_keras(tmp_path / "absent.keras"), FileFormatError, "absent.keras")


class Variable:
    def __init__(self, name, array):
        self.name, self.array = name, array

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def of_tf_keras(kind, config, weights):
    """A layer of another Keras, which is known by its module and asked for its configuration and weights."""
    own = type(kind, (), {"name": kind.lower(), "built": True, "get_config": lambda self: config})
    own.__module__ = f"tf_keras.src.layers.{kind.lower()}"
    layer = own()
    layer.weights = [Variable(f"{kind.lower()}/{name}:0", a) for name, a in weights.items()]
    return layer


def test_a_layer_of_tf_keras_is_read_with_its_own_hard_sigmoid():
    weights = dict(zip(("kernel", "recurrent_kernel", "bias"), built(kl.LSTM(4)).get_weights(), strict=True))
    config = {"recurrent_activation": "hard_sigmoid", "return_sequences": True, "time_major": True}
    found = from_keras(of_tf_keras("LSTM", config, weights))
    assert correspondence(found.net.layers[0].cell, hard_lstm) and found.net.read == Steps()
    assert Note.BATCH_FIRST not in noted(found.notes)
    same_params(found.params, from_keras((hard_lstm, weights)).params)
    own = type("LSTM", (), {"name": "lstm"})
    own.__module__ = "tf_keras.src.layers.rnn.lstm"
    refuses(lambda: from_keras(own()), ArgumentError, "tf_keras")


def test_a_stateful_layer_is_read_and_noted():
    layer = kl.GRU(4, stateful=True)
    model = keras.Sequential([keras.Input((5, 3), batch_size=2), layer])
    found = from_keras(model)
    assert [note.detail for note in found.notes if note.what is Note.INITIAL_STATE] == [
        f"{layer.name} is stateful: give the state after the call before"]  # fmt: skip
    model(X.swapaxes(0, 1))
    state = rnnspec.get_backend("numpy").run(found.net, found.params, X).state
    second = rnnspec.get_backend("numpy").run(found.net, found.params, X, state=state).outputs
    np.testing.assert_allclose(second, np.array(model(X.swapaxes(0, 1))), atol=1e-5)


REFUSED = {
    "dense layers alone": (lambda: from_keras(built(kl.Dense(2))), NetworkError, "recurrent"),
    "a layer of ones own": (lambda: from_keras(type("Mine", (kl.LSTM,), {})(4)), UnsupportedError, "Mine"),
    "a norm over other axes": (
        lambda: from_keras(built(kl.GRU(4, return_sequences=True), kl.LayerNormalization(axis=(1, 2)))),
        UnsupportedError, "axis="),
    "a flat sequence": (lambda: from_keras(built(kl.GRU(4, return_sequences=True), kl.Flatten())), UnsupportedError,
                        "Flatten"),
    "an embedding later": (lambda: from_keras(built(kl.GRU(4)), built(kl.Embedding(3, 4), shape=(5,))), NetworkError,
                           "embedding"),
    "arrays of no cell": (lambda: from_keras((cells.mgu, {})), UnsupportedError, "mgu"),
    "arrays that lack one": (lambda: from_keras((cells.lstm, {"kernel": np.ones((3, 16))})), TreeError,
                             "no recurrent_kernel"),
    "an array too many": (lambda: from_keras((Dense, {"kernel": np.ones((3, 4)), "gamma": np.ones(4)})), TreeError,
                          "gamma"),
    "no arrays": (lambda: from_keras((cells.lstm, 3)), ArgumentError, "int"),
    "arrays of another prefix": (lambda: from_keras((cells.lstm, {"a/kernel": np.ones(3)}, "b/")), ArgumentError,
                                 "a/kernel"),
    "two arrays of one name": (
        lambda: from_keras((Dense, {"a/kernel": np.ones((3, 4)), "b/kernel": np.ones((4, 4))})), TreeError, "b/kernel"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_with_evidence(name):
    refuses(*REFUSED[name])
