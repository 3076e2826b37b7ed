"""A network as a layer of Keras: it runs, learns, is saved and masked as Keras has it, with the network's numbers."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from rnnspec import Dense, Last, Layer, Network, Path, cells
from rnnspec.errors import DtypeError, RnnSpecError, ShapeError, TreeError, UnsupportedError
from rnnspec.policies import Truncated
from rnnspec.tree import flat, leaves

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.config.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend here", allow_module_level=True)

NET = Network(2, [Layer(cells.elman, 3)])
X = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
LENGTHS = np.array([4, 2, 0])
MASK = np.arange(4) < LENGTHS[:, None]


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


GAPS = np.array([[1, 1, 1, 1], [0, 0, 1, 1], [0, 1, 0, 1]], bool)
MASKED = {
    "state": Network(2, [Layer(cells.lstm, 3, gradient=Truncated(2))]),
    "last": Network(2, [Layer(cells.elman, 3, "bidirectional")], Last(), Dense(2)),
    "two": Network(2, [Layer(cells.elman, 3, "bidirectional"), Layer(cells.elman, 2, "reverse")], output=Dense(2)),
}
WAYS = {
    "eager": lambda run: run,
    "graph": lambda run: tf.function(run, autograph=False),
    "unknown": lambda run: tf.function(run, autograph=False, input_signature=[
        tf.TensorSpec((None, None, 2)), tf.TensorSpec((None, None), tf.bool)]),
    "xla": lambda run: tf.function(run, autograph=False, jit_compile=True),
}  # fmt: skip


def recorded(layer):
    """The function that runs a layer with a mask, and returns its gradients too."""

    def run(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs, state = layer.with_state(x, mask=mask)
            loss = tf.reduce_sum(outputs**2) + sum(tf.reduce_sum(a**3) for _, a in leaves(state))
        return outputs, state, tape.gradient(loss, [x, *layer.trainable_variables])

    return run


@cache
def alone(backend, net):
    """What each row gives by itself, without its gaps."""
    run = recorded(backend.as_layer(net))
    return [run(tf.constant(X[row : row + 1, real]), tf.ones((1, real.sum()), tf.bool))
            for row, real in enumerate(GAPS)]  # fmt: skip


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("net", MASKED.values(), ids=MASKED)
def test_a_row_is_the_steps_of_its_mask_wherever_they_stand(backend, net, way):
    run = way(recorded(backend.as_layer(net)))
    padded = np.where(GAPS[..., None], X, np.nan).astype(np.float32)
    outputs, state, (slopes, *weights) = run(tf.constant(padded), tf.constant(GAPS))
    sums = [0.0 for _ in weights]
    for row, (real, (right, ends, (slope, *gradients))) in enumerate(zip(GAPS, alone(backend, net), strict=True)):
        over_time = not isinstance(net.read, Last)
        np.testing.assert_allclose(outputs[row][real] if over_time else outputs[row], right[0], atol=1e-6)
        np.testing.assert_allclose(slopes[row][real], slope[0], atol=1e-6)
        assert not (outputs[row][~real].numpy().any() if over_time else False)
        assert not slopes[row][~real].numpy().any()
        for (_, found), (_, expected) in zip(leaves(state), leaves(ends), strict=True):
            np.testing.assert_allclose(found[row], expected[0], atol=1e-6)
        sums = [a + b for a, b in zip(sums, gradients, strict=True)]
    for found, expected in zip(weights, sums, strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-6)


@pytest.mark.parametrize("options", [{"jit_compile": True}, {"jit_compile": False}, {"run_eagerly": True}], ids=str)
def test_a_model_learns_the_same_whichever_end_is_padded(backend, options):
    rows, labels = [[1, 2, 3], [4, 1], [2], [3, 4, 4]], np.array([0, 1, 0, 1])
    learning = model(backend.as_layer(Network(2, [Layer(cells.elman, 3)], Last())), **options)
    learning(np.ones((1, 3), int))  # it has its weights as of the first call
    learning.optimizer.build(learning.trainable_variables)
    variables, told = [*learning.weights, *learning.optimizer.variables], []
    first = [variable.numpy() for variable in variables]
    for end in ("pre", "post"):
        for variable, value in zip(variables, first, strict=True):
            variable.assign(value)
        words = keras.utils.pad_sequences(rows, padding=end)
        told.append(learning.fit(words, labels, epochs=2, verbose=0, shuffle=False).history["loss"])
    np.testing.assert_allclose(*told, rtol=1e-5)
    assert told[0][1] != told[0][0]


def test_a_mask_goes_with_its_inputs_where_a_state_is_given_too(backend):
    words, layer = np.array([[1, 2, 0, 0], [0, 3, 4, 1]]), backend.as_layer(MASKED["state"])
    embed = keras.layers.Embedding(5, 2, mask_zero=True)
    _, state = layer.with_state(X[:2])
    found = layer(embed(words), initial_state=state)
    expected = layer(tf.constant(embed(words).numpy()), mask=words != 0, initial_state=state)
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - layer(tf.constant(embed(words).numpy()), initial_state=state)).max() > 1e-3


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


STACKED = Network(2, [Layer(cells.elman, 2, "bidirectional"), Layer(cells.lstm, 2)])


def as_tree(layer, x):
    return layer.with_state(x)[1]


def as_tensors(layer, x):
    return layer(x, return_state=True)[1:]


@pytest.mark.parametrize("state_of", [as_tree, as_tensors], ids=lambda state_of: state_of.__name__)
def test_an_encoders_state_goes_on_in_a_functional_model(backend, tmp_path, state_of):
    read, written = keras.Input((None, 2)), keras.Input((None, 2))
    first, second = backend.as_layer(STACKED, 1), backend.as_layer(STACKED, 2)
    outputs = second(written, initial_state=state_of(first, read))
    assert outputs.shape == (None, None, 2)
    whole = keras.Model([read, written], outputs)
    expected = second(X[:, :2], initial_state=state_of(first, X))
    assert np.abs(expected - second(X[:, :2])).max() > 1e-3
    whole.save(tmp_path / "model.keras")
    copy = keras.models.clone_model(whole)
    copy.set_weights(whole.get_weights())
    for each in (whole, copy, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(each([X, X[:, :2]]), expected, atol=1e-6)
    before = [weight.numpy() for weight in first.trainable_variables]
    whole.compile(keras.optimizers.SGD(1.0), "mse", jit_compile=False)
    whole.fit([X, X[:, :2]], np.ones((3, 2, 2)), verbose=0)
    assert all((a != b.numpy()).any() for a, b in zip(before, first.trainable_variables, strict=True))


def test_a_layer_that_returns_its_state_gives_what_keras_does(backend):
    lstm = Network(2, [Layer(cells.lstm, 3)])
    theirs = keras.layers.LSTM(3, return_sequences=True, return_state=True)
    layer = backend.as_layer(lstm, return_state=True)
    for x in (X, keras.Input((4, 2))):
        found, expected = layer(x), theirs(x)
        assert [a.shape for a in found] == [a.shape for a in expected]
    again = type(layer).from_config(layer.get_config())
    (outputs, *state), (whole, tree) = again(X), layer.with_state(X)
    np.testing.assert_array_equal(outputs, whole)
    for found, right in zip(state, flat(tree), strict=True):
        np.testing.assert_array_equal(found, right)
    assert [tuple(shape) for shape in layer.compute_output_shape((5, 4, 2))] == [(5, 4, 3), (5, 3), (5, 3)]
    np.testing.assert_array_equal(layer(X, return_state=False), whole)
    np.testing.assert_array_equal(layer(X, initial_state=state)[0], layer(X, initial_state=tree)[0])


def test_a_state_that_does_not_fit_is_refused(backend):
    layer, symbolic = backend.as_layer(Network(2, [Layer(cells.lstm, 3)])), keras.Input((4, 2))
    row, rows = np.zeros((1, 3), np.float32), np.zeros((3, 3), np.float32)
    for x in (X, symbolic):
        for state, error, match in (([rows], TreeError, "2 tensors, got 1"),
                                    ([{"forward": {"h": rows}}], TreeError, "got 0.forward.h"),
                                    ([rows, rows[:, :2]], ShapeError, "must have the shape")):  # fmt: skip
            with pytest.raises(error, match=match):
                layer(x, initial_state=[tf.constant(a) if not isinstance(a, dict) else a for a in state])
    with pytest.raises(ShapeError, match=r"shape \(1, 3\)"):
        layer(X, initial_state=[row, row])
    with pytest.raises(ShapeError, match="mask must have the shape"):
        layer(X, mask=MASK[:, 1:])


def test_a_mixed_policy_casts_for_a_state_as_for_outputs(backend):
    layer, x = backend.as_layer(NET), tf.cast(X, tf.float16)
    outputs, state = layer.with_state(x)
    assert {outputs.dtype, *(a.dtype for a in flat(state))} == {tf.float32}
    np.testing.assert_array_equal(outputs, layer(x))
    again, _ = layer.with_state(x, [{"forward": {"h": tf.cast(state[0]["forward"]["h"], tf.float16)}}])
    assert again.dtype == tf.float32


def test_keras_direction_is_refused_with_what_to_write_instead(backend):
    with pytest.raises(UnsupportedError, match=r"write Layer.*direction='bidirectional'"):
        keras.layers.Bidirectional(backend.as_layer(NET))
    with pytest.raises(UnsupportedError, match=r"write Layer.*direction='bidirectional'"):
        keras.layers.Bidirectional(backend.as_layer(NET), backward_layer=backend.as_layer(NET))
    with pytest.raises(UnsupportedError, match=r"write Layer.*direction='bidirectional'"):
        backend.as_layer(NET, go_backwards=True)
