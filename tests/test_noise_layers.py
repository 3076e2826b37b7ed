"""Noise in the layers of the frameworks: training and evaluation, where the seed comes from, and given keys."""

from __future__ import annotations

import numpy as np
import pytest

from rnnspec import Dense, Dropout, Key, Layer, Network, Path, cells, get_backend
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.losses import SquaredError
from rnnspec.noise import GateDropout, PerSequence, WeightDrop, Zoneout
from rnnspec.tree import leaves

NET = Network(3, [Layer(cells.lstm, 4, noise=(WeightDrop(0.3), Zoneout({"c": 0.4}), GateDropout("g", 0.25))),
                  Dropout(0.5, PerSequence()), Layer(cells.gru, 2, "bidirectional"), Dropout(0.3)],
              output=Dense(2), loss=SquaredError())  # fmt: skip
STEPS, BATCH = 6, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS, BATCH, 3)).astype(np.float32)
PARAMS = NET.init(1)


def run(key=None):
    return get_backend("numpy").run(NET, get_backend("numpy").asarray(PARAMS), X, key=key).outputs


def gradients(key):
    be = get_backend("numpy")
    found = be.pullback(NET, be.asarray(PARAMS), X, np.ones((STEPS, BATCH, 2), np.float32), key=key)
    return dict(leaves(found.params)), found.inputs


def close(a, b):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-4, atol=1e-5)


class TestTorch:
    torch = pytest.importorskip("torch")

    def layer(self, **options):
        return get_backend("torch").as_layer(NET, params=PARAMS, **options)

    def test_training_draws_a_seed_from_the_generator_and_evaluation_has_no_noise(self):
        layer, x = self.layer(), self.torch.tensor(X)
        self.torch.manual_seed(3)
        one, two = layer(x)[0], layer(x)[0]
        self.torch.manual_seed(3)
        assert self.torch.equal(layer(x)[0], one)
        assert not self.torch.equal(one, two)
        close(layer.eval()(x)[0].detach(), run())
        self.torch.manual_seed(3)
        close(one.detach(), run(Key(int(self.torch.randint(2**63 - 1, ())))))

    @pytest.mark.parametrize("path", [None, Path.FRAMEWORK])
    def test_a_given_key_has_its_masks_in_values_and_gradients(self, path):
        be = get_backend("torch")
        layer = (be if path is None else be.through(path)).as_layer(NET, params=PARAMS).eval()
        x = self.torch.tensor(X, requires_grad=True)
        outputs, _ = layer(x, key=Key(7, row=2))
        close(outputs.detach(), run(Key(7, row=2)))
        outputs.sum().backward()
        own, inputs = gradients(Key(7, row=2))
        close(x.grad, inputs)
        for name, parameter in layer.named_parameters():
            close(parameter.grad, own[name.replace("forward_", "forward")])

    def test_recomputing_has_the_same_masks_again(self):
        layer = get_backend("torch").recomputing(2).as_layer(NET, params=PARAMS)
        x = self.torch.tensor(X, requires_grad=True)
        layer(x, key=Key(7))[0].sum().backward()
        close(x.grad, gradients(Key(7))[1])

    def test_batch_first_and_packed_inputs_have_the_masks_of_their_rows(self):
        rnn, x = self.torch.nn.utils.rnn, self.torch.tensor(X)
        turned = self.layer(batch_first=True)(x.transpose(0, 1), key=Key(7))[0]
        close(turned.transpose(0, 1).detach(), run(Key(7)))
        packed = rnn.pack_padded_sequence(x, self.torch.full((BATCH,), STEPS), enforce_sorted=False)
        close(rnn.pad_packed_sequence(self.layer()(packed, key=Key(7))[0])[0].detach(), run(Key(7)))

    def test_a_trace_must_be_of_evaluation(self):
        held = get_backend("torch").through(Path.FRAMEWORK)
        layer, x = held.as_layer(NET, params=PARAMS), self.torch.tensor(X)
        with pytest.raises(UnsupportedError, match="traced without it"):
            self.torch.export.export(layer, (x,), strict=False)
        exported = self.torch.export.export(layer.eval(), (x,), strict=False)
        close(exported.module()(x)[0].detach(), run())

    def test_a_number_is_no_key(self):
        with pytest.raises(ArgumentError, match="key must be a Key"):
            self.layer()(self.torch.tensor(X), key=7)


class TestJax:
    jax = pytest.importorskip("jax")

    def test_a_key_has_its_masks_also_where_the_program_is_compiled(self):
        be = get_backend("jax")
        _, apply = be.as_layer(NET)
        params = be.asarray(PARAMS)
        close(apply(params, X)[0], run())
        close(self.jax.jit(lambda p, x: apply(p, x, key=Key(7))[0])(params, X), run(Key(7)))
        grads = self.jax.grad(lambda p: apply(p, X, key=Key(7))[0].sum())(params)
        own, _ = gradients(Key(7))
        for name, gradient in leaves(grads):
            close(gradient, own[name])

    def test_a_traced_key_of_jax_draws_masks_when_the_program_runs(self):
        be = get_backend("jax")
        _, apply = be.as_layer(NET)
        params, key = be.asarray(PARAMS), self.jax.random.key(3)
        high, low = map(int, np.asarray(self.jax.random.bits(key, (2,), "uint32")))
        compiled = self.jax.jit(self.jax.value_and_grad(lambda p, k: apply(p, X, key=k)[0].sum()))
        value, grads = compiled(params, key)
        close(value, run(Key(high << 32 | low)).sum())
        own, _ = gradients(Key(high << 32 | low))
        for name, gradient in leaves(grads):
            close(gradient, own[name])
        assert compiled(params, self.jax.random.key(4))[0] != value

    def test_a_number_is_no_key(self):
        be = get_backend("jax")
        with pytest.raises(ArgumentError, match="key must be a Key"):
            be.as_layer(NET)[1](be.asarray(PARAMS), X, key=7)


class TestKeras:
    keras = pytest.importorskip("keras")

    @pytest.fixture(autouse=True)
    def on_tensorflow(self):
        if self.keras.config.backend() != "tensorflow":
            pytest.skip("Keras runs on another backend here")

    def layer(self):
        layer = get_backend("tensorflow").as_layer(NET, seed=1)
        layer.build((BATCH, STEPS, 3))
        return layer

    def test_training_has_noise_of_seeds_of_its_own_and_evaluation_has_none(self):
        layer, x = self.layer(), np.swapaxes(X, 0, 1)
        one, two = layer(x, training=True), layer(x, training=True)
        assert not np.array_equal(one, two)
        close(np.swapaxes(layer(x, training=False), 0, 1), run())
        close(np.swapaxes(layer(x), 0, 1), run())
        close(np.swapaxes(layer(x, key=Key(7)), 0, 1), run(Key(7)))
        assert np.array_equal(self.layer()(x, training=True), one)

    def test_fit_draws_masks_in_its_graph_of_any_batch(self):
        inputs = self.keras.Input((None, 3))
        model = self.keras.Model(inputs, self.layer()(inputs))
        model.compile("sgd", "mse")
        x = np.swapaxes(X, 0, 1)
        model.fit(x, np.zeros((BATCH, STEPS, 2), np.float32), batch_size=3, verbose=0)
        assert np.array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))

    def test_the_config_has_the_noise(self):
        layer = self.layer()
        again = type(layer).from_config(layer.get_config())
        assert again.net == NET

    def test_a_number_is_no_key(self):
        with pytest.raises(ArgumentError, match="key must be a Key"):
            self.layer()(np.swapaxes(X, 0, 1), key=7)
