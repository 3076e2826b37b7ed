"""A process with three devices: rows spread over them, and a layer in Keras' `fit`; it gives what it found."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import rnnspec
from rnnspec import Dense, Dropout, Key, Last, Layer, Network, cells, losses
from rnnspec.tree import leaves, named_map
from tests.workers.launching import give
from tests.workers.problems import FIXED, PROBLEMS, trained
from tests.workers.trees import named

DEVICES = 3
NETS = {
    "bidirectional": Network(3, [Layer(cells.elman, 4, "bidirectional"), Dropout(0.5)], loss=losses.SquaredError()),
    "last": Network(rnnspec.Embedding(5, 3), [Layer(cells.elman, 4, learned_state=True)], read=Last(),
                    output=Dense(5), loss=losses.SoftmaxCrossEntropy()),
    "ctc": Network(3, [Layer(cells.elman, 4)], output=Dense(5), loss=losses.CTC()),
    "compiled": Network(3, [Layer(cells.elman, 4)], loss=losses.SquaredError()),
}  # fmt: skip
KEYS = {"bidirectional": {"key": Key(3)}}
ROWS, LENGTHS = 7, np.array([6, 2, 0, 3, 5, 2, 6])
REAL = np.arange(6) < np.array([6, 6, 6, 6, 1, 1])[:, None]
"""The steps of six rows for Keras: those of the last device are short."""


def arguments(name):
    """Parameters, inputs and targets of a network, and lengths."""
    net, rng = NETS[name], np.random.default_rng(0)
    steps = 32 if name == "compiled" else 6
    classes = isinstance(net.inputs, rnnspec.Embedding)
    inputs = rng.integers(0, 5, (steps, ROWS)) if classes else rng.normal(size=(steps, ROWS, 3))
    targets = {"last": rng.integers(0, 5, ROWS), "ctc": rng.integers(1, 5, (ROWS, 1))}
    return net.init(0), inputs, targets.get(name, np.zeros((steps, ROWS, net.features)))


def step_of(be, name):
    """What one call gives for a network."""
    lengths = np.maximum(LENGTHS, 1) if name == "ctc" else LENGTHS
    step = be.value_and_grad(NETS[name], *arguments(name), lengths=lengths, **KEYS.get(name, {}))
    parts = {"loss_sum": step.loss_sum, "count": step.count, "params": step.grads.params, "state": step.state}
    return be.to_numpy(parts | ({} if step.grads.inputs is None else {"inputs": step.grads.inputs}))


def right(be):
    """The mean over all real steps, whose marks stand beside the targets."""
    return lambda wanted, found: be.mean_loss(*_sums(wanted, found))


def plain(wanted, found):
    """What many write instead: the mean over the real steps of a replica."""
    loss_sum, count = _sums(wanted, found)
    return loss_sum / count


def _sums(wanted, found):
    real = wanted[..., -1:]
    return tf.reduce_sum(real * (found - wanted[..., :-1]) ** 2), tf.reduce_sum(real)


def fitted(be, strategy, loss, files=None, **options):
    """The weights after two epochs of `fit`, and what the callback and the checkpoint of TensorFlow kept of them."""
    rng, net = np.random.default_rng(1), Network(3, [Layer(cells.elman, 4)])
    x, wanted = rng.normal(size=(6, 6, 3)), rng.normal(size=(6, 6, 4))
    with strategy.scope():
        layer = be.as_layer(net, seed=0)
        model = keras.Sequential([keras.layers.Masking(), layer])
        model.compile(keras.optimizers.SGD(0.5, **options), loss, jit_compile=False)
    kept = [] if files is None else [keras.callbacks.ModelCheckpoint(files / "kept.weights.h5", save_weights_only=True)]
    told = model.fit(np.where(REAL[..., None], x, 0).astype("f"), np.concatenate([wanted, REAL[..., None]], -1),
                     batch_size=6, epochs=2, shuffle=False, verbose=0, callbacks=kept)  # fmt: skip
    found = {weight.name: weight.numpy() for weight in layer.weights}
    if files is not None:
        path = tf.train.Checkpoint(model=model).save(str(files / "kept"))
        reread(be, net, files, path)
    return found | {"loss": np.array(told.history["loss"])}


def reread(be, net, files, path):
    """Both checkpoints in a model of one device, as files of rnnspec, and from them in a layer again."""
    for name in ("keras", "tensorflow"):
        layer = be.as_layer(net, seed=1)
        model = keras.Sequential([keras.Input((6, 3)), keras.layers.Masking(), layer])
        if name == "keras":
            model.load_weights(files / "kept.weights.h5")
        else:
            tf.train.Checkpoint(model=model).restore(path).assert_existing_objects_matched().expect_partial()
        weights = {weight.name: weight.numpy() for weight in layer.weights}
        params = named_map(lambda name, _, weights=weights: weights[name], net.parameter_shapes())
        rnnspec.save(files / f"{name}.safetensors", net, params)
        _, params = rnnspec.load(files / f"{name}.safetensors")
        again = be.as_layer(net, seed=2)
        again.build((None, None, 3))
        again.set_weights([dict(leaves(params))[weight.name] for weight in again.weights])
        assert all(np.array_equal(weight.numpy(), weights[weight.name]) for weight in again.weights)


def main(folder):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * DEVICES)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(DEVICES)])
    be = rnnspec.get_backend("tensorflow").across(strategy)
    found = named("devices", {name: step_of(be, name) for name in NETS})
    found |= named("own", trained(be, PROBLEMS["own"], FIXED))
    half = rnnspec.get_backend("tensorflow", precision="bf16")
    params, x, y = arguments("bidirectional")
    for name, one in (("bf16.spread", half.across(strategy)), ("bf16.alone", half)):
        step = one.value_and_grad(NETS["bidirectional"], params, x, y, lengths=LENGTHS)
        found |= named(name, one.to_numpy({"loss_sum": step.loss_sum, "params": step.grads.params}))
    one = tf.distribute.get_strategy()
    found |= named("fit.right", fitted(be, strategy, right(be), Path(folder)))
    found |= named("fit.one", fitted(be, one, right(be)))
    found |= named("fit.plain", fitted(be, strategy, plain))
    found |= named("fit.clipped", fitted(be, strategy, right(be), global_clipnorm=0.01))
    found |= named("fit.clipped one", fitted(be, one, right(be), global_clipnorm=0.01))
    give(**found)


if __name__ == "__main__":
    main(*sys.argv[1:])
