"""A network as a layer of Keras: it runs, learns, is saved and masked as Keras has it, with the network's numbers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from rnnspec import Last, Layer, Network, Path, cells
from rnnspec.errors import DtypeError, LengthsError, RnnSpecError, ShapeError, UnsupportedError
from rnnspec.tree import leaves

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.config.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

NET = Network(2, [Layer(cells.elman, 3)])
X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
LENGTHS = np.array([4, 2, 0])
MASK = np.arange(4) < LENGTHS[:, None]
LOAD = """
import sys, keras, numpy
import backends.tensorflow_backend.layer
numpy.save(sys.argv[2], keras.models.load_model(sys.argv[1]).predict(numpy.load(sys.argv[3]), verbose=0))
"""


@pytest.fixture
def backend(open_backend):
    return open_backend("tensorflow", "f32")


@pytest.mark.parametrize("training", [None, True, False])
def test_outputs_state_and_gradients_are_the_backends(backend, training):
    layer, x = backend.as_layer(NET), tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs, state = layer.with_state(x, mask=tf.constant(MASK), training=training)
        loss = tf.reduce_sum(outputs * outputs)
    found = tape.gradient(loss, [x, *layer.trainable_variables])
    result = backend.run(NET, NET.init(0), X.swapaxes(0, 1), lengths=LENGTHS)
    pulled = backend.pullback(NET, NET.init(0), X.swapaxes(0, 1), 2 * result.outputs, lengths=LENGTHS)
    own = dict(zip([weight.name for weight in layer.trainable_variables], found[1:], strict=True))
    expected = dict(leaves(pulled.params))
    assert own.keys() == expected.keys()
    assert "layers.0.forward.W.h" in own
    np.testing.assert_allclose(outputs, backend.to_numpy(result.outputs).swapaxes(0, 1), atol=1e-6)
    np.testing.assert_allclose(state[0]["forward"]["h"], result.state[0]["forward"]["h"], atol=1e-6)
    np.testing.assert_allclose(found[0], backend.to_numpy(pulled.inputs).swapaxes(0, 1), atol=1e-6)
    for name, right in expected.items():
        np.testing.assert_allclose(own[name], right, atol=2e-6)


def test_what_came_out_goes_in_again(backend):
    layer = backend.as_layer(NET)
    whole, _ = layer.with_state(X)
    first, state = layer.with_state(X[:, :2])
    np.testing.assert_allclose(tf.concat([first, layer(X[:, 2:], initial_state=state)], 1), whole, atol=1e-6)


def labelled():
    words = np.random.default_rng(0).integers(1, 5, size=(20, 3))
    words[5:10, 2] = 0
    return words, (words[:, 0] > 2).astype(np.int64)


def model(layer, **options):
    keras.utils.set_random_seed(0)
    found = keras.Sequential([keras.layers.Embedding(5, 2, mask_zero=True), layer, keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found.compile(keras.optimizers.Adam(0.1), loss, **options)
    return found


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}], ids=str)
def test_a_model_learns(backend, options):
    words, labels = labelled()
    learning = model(backend.as_layer(Network(2, [Layer(cells.elman, 3)], Last())), **options)
    batches = tf.data.Dataset.from_tensor_slices((words, labels)).batch(10)
    told = learning.fit(batches, epochs=8, verbose=0, shuffle=False).history["loss"]
    assert told[-1] < 0.7 * told[0]
    assert learning.evaluate(batches, verbose=0) < told[0]
    assert learning.predict(words, verbose=0).shape == (20, 2)


def test_a_saved_model_loads_in_another_process(backend, tmp_path):
    words, _ = labelled()
    saved = model(backend.as_layer(Network(2, [Layer(cells.elman, 3, "reverse")], Last()), seed=3))
    expected = saved.predict(words, verbose=0)
    files = [str(tmp_path / name) for name in ("model.keras", "found.npy", "words.npy")]
    saved.save(files[0])
    np.save(files[2], words)
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True, timeout=280, capture_output=True)
    np.testing.assert_array_equal(np.load(files[1]), expected)


def test_a_mask_that_is_no_prefix_is_refused(backend):
    layer, wrong = backend.as_layer(NET), MASK[:, ::-1].copy()
    with pytest.raises(LengthsError, match="row 1"):
        layer(X, mask=wrong)
    traced = tf.function(lambda mask: layer(X, mask=mask))
    with pytest.raises(tf.errors.InvalidArgumentError, match="first steps"):
        traced(tf.constant(wrong))
    compiled = tf.function(lambda mask: layer(X, mask=mask), jit_compile=True)
    assert np.isnan(compiled(tf.constant(wrong)).numpy()).all(axis=(1, 2)).tolist() == [False, True, False]


def test_masks_and_shapes_go_on_as_they_should(backend):
    steps, last = backend.as_layer(NET), backend.as_layer(Network(2, [Layer(cells.elman, 3)], Last()))
    assert steps.compute_output_shape((None, None, 2)) == (None, None, 3)
    assert last.compute_output_shape((None, None, 2)) == (None, 3)
    assert steps.compute_mask(X, MASK) is MASK
    assert last.compute_mask(X, MASK) is None


def test_tensorflow_differentiates_twice_and_forwards(backend):
    layer, x = backend.through(Path.FRAMEWORK).as_layer(NET), tf.constant(X)
    direction = tf.ones_like(x)

    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x) ** 3)
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        along = tf.reduce_sum(slope(x) * direction)
    h = 1e-2
    expected = (slope(x + h * direction) - slope(x - h * direction)) / (2 * h)
    np.testing.assert_allclose(tape.gradient(along, x), expected, atol=2e-3)
    with tf.autodiff.ForwardAccumulator(x, direction) as forward:
        outputs = layer(x)
    expected = (layer(x + h * direction) - layer(x - h * direction)) / (2 * h)
    np.testing.assert_allclose(forward.jvp(outputs), expected, atol=1e-3)


def test_the_layers_dtype_is_the_backends(backend, monkeypatch):
    with pytest.raises(DtypeError, match="mixed_float16"):
        type(backend.as_layer(NET))(NET, backend, dtype="mixed_float16")
    with pytest.raises(DtypeError, match="int32"):
        backend.as_layer(NET)(np.ones((1, 1, 2), np.int32))
    with pytest.raises(ShapeError, match="2 features"):
        backend.as_layer(NET)(np.ones((1, 1, 3), np.float32))
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(UnsupportedError, match="Keras on jax"):
        backend.as_layer(NET)


def test_a_configuration_that_holds_no_network_is_refused(backend):
    layer = backend.as_layer(NET)
    with pytest.raises(RnnSpecError, match="declare a network"):
        type(layer).from_config(layer.get_config() | {"network": {"layers": 3}})


def test_segments_that_are_run_again_are_in_the_configuration(backend):
    layer = backend.recomputing(2).as_layer(NET)
    again = type(layer).from_config(layer.get_config())
    assert (again.backend.recomputes, again.backend.every) == (True, 2)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(again(tf.constant(X)) ** 2)
    assert all(gradient is not None for gradient in tape.gradient(loss, again.trainable_variables))
    unknown = tf.function(again.with_state, input_signature=[tf.TensorSpec((3, None, 2))], autograph=False)
    with pytest.raises(UnsupportedError, match="the time must be known"):
        unknown.get_concrete_function()
