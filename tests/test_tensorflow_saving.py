"""Every way by which Keras and TensorFlow save a model, with all weights of the network's layer."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rnnspec import Dense, Last, Layer, Network, Path, cells
from rnnspec.tree import leaves
from tests.workers.launching import ran

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.config.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

NET = Network(2, [Layer(cells.elman, 3, "bidirectional"), Layer(cells.gru, 2, "reverse")], Last(), Dense(2))
SMALL = Network(2, [Layer(cells.elman, 3, "reverse")], Last())
X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
WORDS = np.array([[1, 2, 0], [0, 3, 4], [4, 1, 2], [0, 0, 0]])
LOADED = """
import sys, keras, numpy
model, words, found = sys.argv[1:]
try:
    keras.models.load_model(model)
except TypeError as error:
    print(error)
import backends.tensorflow_backend.layer
numpy.save(found, keras.models.load_model(model).predict(numpy.load(words), verbose=0))
"""


def model(backend, seed, net=NET):
    """A model of another seed, and with other weights of its own."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((None, 2)), backend.as_layer(net, seed), keras.layers.Dense(1)])


def checkpoint(saved, other, folder):
    path = tf.train.Checkpoint(model=saved).save(f"{folder}/one")
    status = tf.train.Checkpoint(model=other).restore(path)
    status.assert_consumed()
    status.assert_existing_objects_matched()
    return other


def checkpoint_manager(saved, other, folder):
    tf.train.CheckpointManager(tf.train.Checkpoint(model=saved), folder, max_to_keep=2).save()
    restoring = tf.train.Checkpoint(model=other)
    restoring.restore(tf.train.CheckpointManager(restoring, folder, max_to_keep=2).latest_checkpoint).assert_consumed()
    return other


def saved_model(saved, other, folder):
    tf.saved_model.save(saved, folder)
    loaded = tf.saved_model.load(folder)
    return lambda x, loaded=loaded: next(iter(loaded.signatures["serving_default"](x).values()))


def function_of_a_module(saved, other, folder):
    held = tf.Module()
    held.model = saved
    held.run = tf.function(saved, input_signature=[tf.TensorSpec((None, None, 2))], autograph=False)
    tf.saved_model.save(held, folder)
    loaded = tf.saved_model.load(folder)
    return lambda x, loaded=loaded: loaded.run(x)


def export(saved, other, folder):
    saved.export(folder, verbose=False)
    loaded = tf.saved_model.load(folder)
    return lambda x, loaded=loaded: loaded.serve(x)


def keras_file(saved, other, folder):
    saved.save(f"{folder}/model.keras")
    return keras.models.load_model(f"{folder}/model.keras")


def weights_file(saved, other, folder):
    saved.save_weights(f"{folder}/model.weights.h5")
    other.load_weights(f"{folder}/model.weights.h5")
    return other


def weights_set(saved, other, folder):
    other.set_weights(saved.get_weights())
    return other


def cloned(saved, other, folder):
    found = keras.models.clone_model(saved)
    found.set_weights(saved.get_weights())
    return found


WAYS = (checkpoint, checkpoint_manager, saved_model, function_of_a_module, export, keras_file, weights_file,
        weights_set, cloned)  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_all_weights_come_back(open_backend, tmp_path, way):
    backend = open_backend("tensorflow", "f32")
    saved, other = model(backend, 0), model(backend, 1)
    expected = saved(X).numpy()
    assert not np.array_equal(other(X), expected)
    restored = way(saved, other, str(tmp_path))
    np.testing.assert_allclose(restored(tf.constant(X)), expected, atol=1e-6)
    for found, right in zip(getattr(restored, "weights", []), saved.weights, strict=isinstance(restored, keras.Model)):
        np.testing.assert_array_equal(found, right)


@pytest.mark.parametrize("way", [saved_model, keras_file], ids=lambda way: way.__name__)
def test_layers_of_every_kind_come_back(open_backend, tmp_path, way):
    backend = open_backend("tensorflow", "f32")
    for number, held in enumerate((backend.through(Path.FRAMEWORK), backend.recomputing(2))):
        layer = held.as_layer(SMALL, number)
        saved = keras.Sequential([keras.Input((4, 2)), layer])
        layer.with_state(X, mask=np.arange(4) < np.array([[4], [2], [0]]))
        restored = way(saved, None, str(tmp_path / str(number)) if way is saved_model else str(tmp_path))
        np.testing.assert_allclose(restored(tf.constant(X)), saved(X), atol=1e-6)


def test_a_loaded_function_has_the_derived_adjoints_gradients(open_backend, tmp_path):
    saved = model(open_backend("tensorflow", "f32"), 0, SMALL)
    loaded = function_of_a_module(saved, None, str(tmp_path))

    def slope(run):
        x = tf.constant(X)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(run(x) ** 2)
        return tape.gradient(loss, x)

    np.testing.assert_allclose(slope(loaded), slope(saved), atol=1e-6)


def test_a_checkpoint_holds_every_weight_once_and_no_other(open_backend, tmp_path):
    layer = open_backend("tensorflow", "f32").as_layer(NET)
    layer(X)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "one"))
    kept = [name for name, _ in tf.train.list_variables(path) if name.endswith("VARIABLE_VALUE")]
    assert len(kept) == len(layer.weights) == len(list(leaves(NET.parameter_shapes())))


def test_training_goes_on_where_a_checkpoint_was_made(open_backend, tmp_path):
    models = [model(open_backend("tensorflow", "f32"), seed, SMALL) for seed in (0, 1)]
    y = np.ones((3, 1), np.float32)
    for each in models:
        each.compile(keras.optimizers.Adam(0.1), "mse", jit_compile=False)
        each.train_on_batch(X, y)
    saved, other = (tf.train.Checkpoint(model=each, optimizer=each.optimizer) for each in models)
    other.restore(saved.save(str(tmp_path / "one"))).assert_consumed()
    for each in models:
        each.train_on_batch(X, y)
    for found, right in zip(models[1].get_weights(), models[0].get_weights(), strict=True):
        np.testing.assert_array_equal(found, right)


def test_a_saved_file_names_the_weights_as_the_specification_does(open_backend, tmp_path):
    h5py = pytest.importorskip("h5py")
    saved = model(open_backend("tensorflow", "f32"), 0)
    saved.save_weights(tmp_path / "model.weights.h5")
    with h5py.File(tmp_path / "model.weights.h5") as file:
        (held,) = (set(group) for name, group in file["layers/network_layer"].items() if name == "vars")
    assert held == {name for name, _ in leaves(NET.parameter_shapes())}


@pytest.fixture(scope="module")
def elsewhere(open_backend, tmp_path_factory):
    """A model of words, and what another process prints and predicts that loads it without the layer, and with it."""
    layer = open_backend("tensorflow", "f32").as_layer(SMALL, 3)
    saved = keras.Sequential([keras.layers.Embedding(5, 2, mask_zero=True), layer, keras.layers.Dense(2)])
    expected = saved.predict(WORDS, verbose=0)
    folder = tmp_path_factory.mktemp("elsewhere")
    files = [str(folder / name) for name in ("model.keras", "words.npy", "found.npy")]
    saved.save(files[0])
    np.save(files[1], WORDS)
    said = ran([sys.executable, "-c", LOADED, *files], timeout=280)
    return said, np.load(files[2]), expected


def test_a_process_that_does_not_know_the_layer_is_told_what_to_import(elsewhere):
    told, _, _ = elsewhere
    assert "make sure they are all imported" in told
    assert "'module': 'backends.tensorflow_backend.layer'" in told


def test_a_saved_model_loads_in_another_process(elsewhere):
    _, found, expected = elsewhere
    np.testing.assert_array_equal(found, expected)
