"""Resets in the layers of frameworks: a module of PyTorch, a layer of Keras, functions of JAX."""

from __future__ import annotations

import numpy as np
import pytest

from rnnspec import Layer, Network, Path, cells
from rnnspec.errors import DtypeError, ShapeError
from rnnspec.policies import Truncated
from rnnspec.tree import leaves

STEPS, ROWS = 6, 3
NET = Network(2, [Layer(cells.gru, 3, "bidirectional", Truncated(2))])
PLAIN = Network(2, [Layer(cells.gru, 3)])
PARAMS = NET.init(1)
RNG = np.random.default_rng(0)
X, DY = RNG.normal(size=(STEPS, ROWS, 2)), RNG.normal(size=(STEPS, ROWS, 6))
RESETS = RNG.random((STEPS, ROWS)) < 0.4
LENGTHS = np.array([6, 4, 1])


def wanted(backend, lengths=None):
    ran = backend.run(NET, PARAMS, X, None, lengths, RESETS)
    pulled = backend.pullback(NET, PARAMS, X, DY, None, None, lengths, RESETS)
    return backend.to_numpy([ran.outputs, pulled.inputs, pulled.params])


def same(found, right):
    np.testing.assert_allclose(np.asarray(found), right, rtol=0, atol=1e-12)


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_module_of_pytorch(batch_first, open_backend):
    torch = pytest.importorskip("torch")
    backend = open_backend("torch", "f64")
    module = backend.as_layer(NET, params=PARAMS, batch_first=batch_first)
    outputs, inputs, params = wanted(backend, LENGTHS)

    def turned(a):
        return torch.from_numpy(np.array(a.swapaxes(0, 1) if batch_first else a))

    x = turned(X).requires_grad_()
    y, _ = module(x, lengths=torch.from_numpy(LENGTHS), resets=turned(RESETS))
    same(y.detach(), turned(outputs))
    y.backward(turned(DY))
    same(x.grad, turned(inputs))
    named = dict(leaves(params))
    for name, parameter in module.state_dict(keep_vars=True).items():
        same(parameter.grad, named[name])
    packed = torch.nn.utils.rnn.pack_padded_sequence(turned(X), LENGTHS, batch_first)
    again, _ = torch.nn.utils.rnn.pad_packed_sequence(module(packed, resets=turned(RESETS))[0], batch_first)
    same(again.detach(), turned(outputs))
    with pytest.raises(DtypeError, match="resets must be true or false, got dtype int64"):
        module(x, resets=turned(RESETS.astype(int)))


def test_an_exported_module_of_pytorch(open_backend):
    """A tracer does not see the numbers of resets: they are an input of what it exports."""
    torch = pytest.importorskip("torch")
    module = open_backend("torch", "f64").through(Path.FRAMEWORK).as_layer(PLAIN).eval()
    x, none = torch.from_numpy(X), torch.zeros((STEPS, ROWS), dtype=torch.bool)
    program = torch.export.export(module, (x,), {"resets": none}, strict=False).module()
    same(program(x, resets=torch.from_numpy(RESETS))[0].detach(),
         module(x, resets=torch.from_numpy(RESETS))[0].detach())  # fmt: skip
    with pytest.raises(ShapeError, match="resets must be a tensor of true and false"):
        torch.export.export(module, (x,), {"resets": none.T}, strict=False)


def test_functions_of_jax(open_backend):
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        backend = open_backend("jax", "f64")
        _, apply = backend.as_layer(NET)
        outputs, inputs, params = wanted(backend, LENGTHS)

        def loss(params, x, resets):
            y, _ = apply(params, x, None, LENGTHS, resets)
            return (y * DY).sum(), y

        (_, y), (own, dx) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(PARAMS, X, RESETS)
        same(y, outputs)
        same(dx, inputs)
        named = dict(leaves(params))
        for name, gradient in leaves(own):
            same(gradient, named[name])
        for wrong, error in ((RESETS.astype(int), DtypeError), (RESETS.T, ShapeError)):
            with pytest.raises(error, match=r"jax.as_layer.apply\(...\): resets must "):
                apply(PARAMS, X, resets=wrong)
            with pytest.raises(error, match=r"jax.as_layer.apply\(...\): resets must "):
                jax.jit(loss)(PARAMS, X, wrong)


def test_a_layer_of_keras(open_backend):
    tf = pytest.importorskip("tensorflow")
    backend = open_backend("tensorflow", "f64")
    layer, dy = backend.as_layer(PLAIN, seed=1), DY[..., :3]
    outputs = backend.run(PLAIN, PLAIN.init(1), X, None, LENGTHS, RESETS).outputs
    inputs = backend.pullback(PLAIN, PLAIN.init(1), X, dy, None, None, LENGTHS, RESETS).inputs
    x = tf.constant(X.swapaxes(0, 1))
    mask = np.arange(STEPS) < LENGTHS[:, None]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, mask=mask, resets=RESETS.T)
    same(y, tf.transpose(outputs, (1, 0, 2)))
    same(tape.gradient(y, x, tf.constant(dy.swapaxes(0, 1))), tf.transpose(inputs, (1, 0, 2)))
    with pytest.raises(DtypeError, match="resets must be true or false, got dtype int64"):
        layer(x, resets=RESETS.T.astype(int))
    with pytest.raises(ShapeError, match="resets must have the shape"):
        layer(x, resets=RESETS)


def test_a_model_of_keras_has_resets_as_an_input_of_any_length(open_backend):
    keras = pytest.importorskip("keras")
    backend = open_backend("tensorflow", "f64")
    x, resets = keras.Input((None, 2), dtype="float64"), keras.Input((None,), dtype="bool")
    model = keras.Model([x, resets], backend.as_layer(NET, seed=1)(x, resets=resets))
    found = model([X.swapaxes(0, 1), RESETS.T])
    same(found, wanted(backend)[0].swapaxes(0, 1))


def test_a_reset_at_a_masked_step_has_no_effect(open_backend):
    """A mask may have holes: the steps in them are not there."""
    tf = pytest.importorskip("tensorflow")
    backend = open_backend("tensorflow", "f64")
    layer, x = backend.as_layer(PLAIN), tf.constant(X.swapaxes(0, 1))
    mask = np.ones((ROWS, STEPS), bool)
    mask[:, 3] = False
    resets = np.zeros((ROWS, STEPS), bool)
    right = layer(x, mask=mask, resets=resets)
    resets[:, 3] = True
    same(layer(x, mask=mask, resets=resets), right)
    resets[:, 4] = True
    assert np.abs(layer(x, mask=mask, resets=resets) - right)[:, 4:].max() > 0
