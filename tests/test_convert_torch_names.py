"""Parts of torch.nn as people have them: modules of one step, checkpoints with prefixes, modules that torch wraps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conversions import noted, refuses, same_params

import rnnspec
from rnnspec import Dense, Last, cell, cells
from rnnspec.convert import Note, from_torch
from rnnspec.convert.activations import hard_sigmoid_keras2
from rnnspec.errors import ArgumentError, FileFormatError, TreeError, UnsupportedError
from rnnspec.primitives import tanh

torch = pytest.importorskip("torch")
nn = torch.nn
X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
STEPS = {nn.LSTMCell: cells.lstm, nn.GRUCell: cells.gru, nn.RNNCell: cells.elman}


def ours(found, x=X):
    return rnnspec.get_backend("numpy").run(found.net, found.params, x).outputs


def theirs(module, x=X):
    with torch.no_grad():
        return module(torch.tensor(x))[0].numpy()


@pytest.mark.parametrize("kind", STEPS)
def test_a_module_of_one_step_is_a_layer(kind):
    module, state, steps = kind(3, 4), None, []
    with torch.no_grad():
        for x in torch.tensor(X):
            state = module(x, state)
            steps.append(state[0].numpy() if isinstance(state, tuple) else state.numpy())
    for part in (module, (STEPS[kind], module.state_dict())):
        found = from_torch(part)
        assert found.net.layers[0].cell == STEPS[kind]
        np.testing.assert_allclose(ours(found), np.stack(steps), atol=1e-6)


def test_a_module_of_one_step_with_relu_and_without_biases():
    found = from_torch(nn.RNNCell(3, 4, bias=False, nonlinearity="relu"))
    assert found.net.layers[0].cell == cells.elman_relu and noted(found.notes) == {Note.NO_BIAS}


@pytest.mark.parametrize("training", [True, False])
def test_dropout_between_layers_is_noted_and_not_computed(training):
    module = nn.LSTM(3, 4, 2, dropout=0.3).train(training)
    found = from_torch(module)
    assert [note.detail for note in found.notes if note.what is Note.DROPOUT] == [
        "Dropout(0.3) between layers.0 and layers.1 in training"]  # fmt: skip
    np.testing.assert_allclose(ours(found), theirs(module.eval()), atol=1e-6)


def test_a_sequential_may_hold_what_does_nothing_in_evaluation():
    lstm, linear = nn.LSTM(3, 4), nn.Linear(4, 2)
    found = from_torch(nn.Sequential(nn.Identity(), lstm, nn.Dropout(0.2), linear), read=Last())
    same_params(found.params, from_torch(lstm, linear, read=Last()).params)
    assert Note.DROPOUT in noted(found.notes)


@pytest.mark.parametrize("ending", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_the_last_activation_is_left_to_the_caller(ending):
    found = from_torch(nn.GRU(3, 4), nn.Linear(4, 2), getattr(nn, ending)())
    told = [note for note in found.notes if note.what is Note.ACTIVATION]
    assert [note.place for note in told] == ["output"] and ending.lower() == told[0].detail.replace("_", "")


def checkpoint(lstm, linear, before="model."):
    state = {f"{before}encoder.rnn.{name}": a for name, a in lstm.state_dict().items()}
    return state | {f"{before}out.{name}": a for name, a in linear.state_dict().items()}


@pytest.mark.parametrize("before", ["model.", "module.", "module._orig_mod.model.", ""])
def test_a_prefix_picks_the_tensors_of_a_part(before):
    lstm, linear = nn.LSTM(3, 4, 2, bidirectional=True), nn.Linear(8, 2)
    state = checkpoint(lstm, linear, before)
    found = from_torch((cells.lstm, state, f"{before}encoder.rnn."), (Dense, state, f"{before}out."))
    same_params(found.params, from_torch(lstm, linear).params)
    refuses(lambda: from_torch((cells.lstm, state)), TreeError, f"{before}encoder.rnn.")
    with pytest.raises(TreeError, match=rf"give a prefix, as in \(cell, state_dict, '{before}encoder.rnn.'\)"):
        from_torch((cells.lstm, state, "decoder."))


@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_a_part_is_read_from_a_file(tmp_path, ending):
    lstm, linear = nn.LSTM(3, 4), nn.Linear(4, 2)
    path = tmp_path / f"model.{ending}"
    if ending == "pt":
        nested = {"epoch": 3, "state_dict": checkpoint(lstm, linear), "name": "a model"}
        torch.save(nested, path)
        before = "state_dict.model."
    else:
        from safetensors.torch import save_file  # noqa: PLC0415

        save_file(checkpoint(lstm, linear), path)
        before = "model."
    found = from_torch((cells.lstm, path, f"{before}encoder.rnn."), (Dense, str(path), f"{before}out."))
    same_params(found.params, from_torch(lstm, linear).params)
    refuses(lambda: from_torch(path), ArgumentError, f"{before}encoder.rnn.")


def test_a_file_of_objects_is_not_unpickled(tmp_path):
    torch.save(nn.LSTM(3, 4), tmp_path / "whole.pt")
    refuses(lambda: from_torch((cells.lstm, tmp_path / "whole.pt")), FileFormatError, "whole.pt")
    refuses(lambda: from_torch((cells.lstm, tmp_path / "absent.pt")), FileFormatError, "absent.pt")
    (tmp_path / "no.safetensors").write_bytes(b"\x80\x04pickle")
    refuses(lambda: from_torch((cells.lstm, tmp_path / "no.safetensors")), FileFormatError, "no.safetensors")


@cell
def hard_lstm(x, R, h, c):
    i, f, o = (hard_sigmoid_keras2(a) for a in (x.i + R.i(h), x.f + R.f(h), x.o + R.o(h)))
    c = f * c + i * tanh(x.g + R.g(h))
    return o * tanh(c), c


def test_a_cell_with_other_equations_is_read_by_the_names_of_its_maps():
    lstm = nn.LSTM(3, 4)
    found = from_torch((hard_lstm, lstm.state_dict()))
    assert found.net.layers[0].cell == hard_lstm
    same_params(found.params, from_torch(lstm).params)
    assert [note.detail for note in found.notes if note.what is Note.EQUATIONS] == ["hard_lstm in place of LSTM"]
    with pytest.raises(UnsupportedError, match=r"convert\.Layout"):
        from_torch((cells.mgu, lstm.state_dict()))


def quiet(make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch says of its former functions
        return make()


def test_scripted_modules_are_read_as_what_they_were_made_of():
    plain = nn.Sequential(nn.LSTM(3, 4, 2, bidirectional=True), nn.RNN(8, 3, nonlinearity="relu", batch_first=True))
    found, expected = from_torch(*quiet(lambda: [torch.jit.script(own) for own in plain])), from_torch(*plain)
    assert found.net == expected.net and found.notes == expected.notes
    same_params(found.params, expected.params)


def traced():
    return torch.jit.trace(nn.RNN(3, 4, nonlinearity="relu").eval(), torch.tensor(X))


def former_spectral_norm():
    """A module after one call in training, which finds the norm: before, the weight can be of any size."""
    module = nn.utils.spectral_norm(nn.LSTM(3, 4), "weight_hh_l0", 20)
    module(torch.tensor(X))
    return module.eval()


WRAPPED = {
    "traced": (lambda: quiet(traced), set()),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"), {Note.COMPUTED}),
    "the former weight norm": (lambda: quiet(lambda: nn.utils.weight_norm(nn.GRU(3, 4), "weight_ih_l0")),
                               {Note.COMPUTED}),
    "spectral norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.RNN(3, 4), "weight_hh_l0").eval(),
                      {Note.COMPUTED}),
    "the former spectral norm": (lambda: quiet(former_spectral_norm), {Note.COMPUTED}),
    "an orthogonal map": (lambda: nn.utils.parametrizations.orthogonal(nn.RNN(3, 4), "weight_hh_l0"), {Note.COMPUTED}),
    "several devices": (lambda: nn.DataParallel(nn.GRU(3, 4)), set()),
    "compiled": (lambda: torch.compile(nn.GRU(3, 4), backend="eager"), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_a_module_is_read_however_torch_wraps_it(name):
    make, notes = WRAPPED[name]
    module = make()
    found = from_torch(module)
    np.testing.assert_allclose(ours(found), quiet(lambda: theirs(module)), atol=1e-6)
    assert noted(found.notes) == notes | {Note.SUMMED_BIASES}


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weight_norm_is_computed_in_a_state_dict_too(norm):
    module = quiet(lambda: norm(nn.LSTM(3, 4), "weight_hh_l0"))
    state = {f"rnn.{name}": a for name, a in module.state_dict().items()}
    found = from_torch((cells.lstm, state, "rnn."))
    np.testing.assert_allclose(ours(found), theirs(module), atol=1e-6)
    with pytest.raises(TreeError, match=r"'rnn\.'"):
        from_torch((cells.lstm, state))


def test_reading_a_module_in_training_changes_nothing_in_it():
    module = nn.utils.parametrizations.spectral_norm(nn.RNN(3, 4), "weight_hh_l0")
    before = {name: a.clone() for name, a in module.state_dict().items()}
    from_torch(module)
    assert module.training and module.parametrizations.weight_hh_l0.training
    assert all(torch.equal(a, before[name]) for name, a in module.state_dict().items())


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "LSTMCell", "GRUCell", "RNNCell"])
def test_a_quantised_module_has_the_numbers_that_it_stands_for(kind):
    plain = getattr(nn, kind)(3, 4)
    whole = nn.Sequential(plain, nn.Linear(4, 2))
    made = quiet(lambda: torch.ao.quantization.quantize_dynamic(whole, {type(plain), nn.Linear}))
    found = from_torch(*made)
    assert Note.QUANTISED in noted(found.notes)
    exact = from_torch(plain, whole[1])
    assert found.net == exact.net
    for (name, a), (_, b) in zip(rnnspec.tree.leaves(found.params), rnnspec.tree.leaves(exact.params), strict=True):
        np.testing.assert_allclose(a, b, atol=0.01, err_msg=name)
        assert {"W", "U"}.isdisjoint(name.split(".")) or not np.array_equal(a, b)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.dropout, self.encoder, self.fc = nn.Dropout(0.3), nn.LSTM(3, 4), nn.Linear(4, 2)


def test_a_whole_model_is_refused_as_such_and_its_recurrent_parts_are_named():
    with pytest.raises(ArgumentError, match=r"a part must be .* got Model, in which encoder is recurrent, .*; .*"
                       r"from_torch\(model\.encoder, \.\.\.\)"):  # fmt: skip
        from_torch(Model())


BETWEEN = (nn.Linear(8, 7), nn.ReLU(), nn.LayerNorm(7), nn.LSTM(7, 4, 2), nn.Tanh(), nn.RMSNorm(4), nn.Linear(4, 6),
           nn.GELU(), nn.Linear(6, 2))  # fmt: skip
ACTIVATIONS = ("ELU", "GELU", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish", "ReLU",
               "ReLU6", "SELU", "SiLU", "Sigmoid", "Softplus", "Softsign", "Tanh", "Tanhshrink")  # fmt: skip


@pytest.mark.parametrize("read", [rnnspec.Steps(), Last()])
def test_what_stands_between_layers_becomes_layers_and_what_follows_the_last_the_head(read):
    modules = (nn.LSTM(3, 4, bidirectional=True), *BETWEEN)
    found = from_torch(*modules, read=read)
    assert [layer.cell.name for layer in found.net.layers] == ["lstm", "dense", "layer_norm", "lstm", "lstm"]
    assert [layer.cell.name for layer in found.net.head] == ["tanh", "rms_norm", "dense"]
    assert found.net.output == Dense(2)
    values = torch.tensor(X)
    with torch.no_grad():
        for module in modules:
            values = module(values)
            values = values[0] if isinstance(values, tuple) else values
    np.testing.assert_allclose(ours(found), values.numpy()[-1] if read == Last() else values.numpy(), atol=1e-6)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_is_that_of_torch(name):
    module, wide, square, activation = nn.GRU(3, 4), nn.Linear(4, 5), nn.Linear(5, 5), getattr(nn, name)()
    with torch.no_grad():
        wide.weight *= 9  # so that every piece of a function is met
        steps = module(torch.tensor(X))[0]
        after, between = activation(steps).numpy(), square(activation(wide(steps))).numpy()
    np.testing.assert_allclose(ours(from_torch(module, activation)), after, atol=1e-6)
    np.testing.assert_allclose(ours(from_torch(module, wide, activation, square)), between, atol=1e-5)


def test_a_norm_without_learned_numbers_gets_ones_and_zeros():
    module, norm = nn.GRU(3, 4), nn.LayerNorm(4, elementwise_affine=False)
    found = from_torch(module, norm)
    assert [note.place for note in found.notes if note.what is Note.PLAIN_NORM] == ["head.0"]
    np.testing.assert_allclose(ours(found), norm(torch.tensor(theirs(module))).numpy(), atol=1e-6)
