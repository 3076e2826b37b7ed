"""Streams as each framework has them: what a module, a Keras layer and a pure step give is one run of the network."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Embedding, Last, Layer, Network, Tied, cells
from rnnspec.errors import ArgumentError, DtypeError, RnnSpecError, ShapeError, UnsupportedError
from rnnspec.tree import filled, flat, leaves, tree_map

NET = Network(3, [Layer(cells.lstm, 4), Layer(cells.elman, 3)], output=Dense(2))
LAST = Network(3, [Layer(cells.gru, 4)], read=Last(), output=Dense(2))
CLASSES = Network(Embedding(5, 3), [Layer(cells.elman, 3, learned_state=True)], output=Tied())
BOTH = Network(3, [Layer(cells.gru, 4), Layer(cells.gru, 3, "bidirectional")])
STEPS, ROWS = 6, 3
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS, ROWS, 3)).astype(np.float32)
LENGTHS = np.array([6, 4, 0])
RESETS = RNG.random((STEPS, ROWS)) < 0.3
CUTS = (0, 1, 6)
"""A window of one step and one of five."""
NEAR = {"rtol": 1e-5, "atol": 2e-6}


class TorchModule:
    """The module of `layer.stream()`."""

    def __init__(self, net, batch_first=False):
        torch = pytest.importorskip("torch")
        self.tensor, self.turned = torch.from_numpy, batch_first
        self.stream = rnnspec.get_backend("torch").as_layer(net, batch_first=batch_first).stream()
        self.reset, self.quiet = self.stream.reset_state, torch.no_grad

    def load(self, params):
        rows = {name: self.tensor(np.float32(a)) for name, a in leaves(params)}
        self.stream.layer.load_state_dict(rows)

    def window(self, x, lengths=None, resets=None):
        turned = (lambda a: a.swapaxes(0, 1)) if self.turned else (lambda a: a)
        with self.quiet():
            found = self.stream(self.tensor(turned(x)), None if lengths is None else self.tensor(lengths),
                                None if resets is None else self.tensor(turned(resets)))  # fmt: skip
        return found.numpy() if found.ndim < 3 else turned(found.numpy())

    def step(self, x):
        with self.quiet():
            return self.stream(self.tensor(x)).numpy()

    def state(self):
        return tree_map(lambda a: a.numpy(), self.stream.state)


class KerasLayer:
    """A layer with `stateful=True`."""

    def __init__(self, net):
        keras = pytest.importorskip("keras")
        if keras.config.backend() != "tensorflow":
            pytest.skip("Keras runs on another backend here")
        self.layer = rnnspec.get_backend("tensorflow").as_layer(net, stateful=True)
        self.reset = self.layer.reset_state

    def load(self, params):
        own = dict(leaves(params))
        self.layer.build((ROWS, None, *([] if isinstance(self.layer.net.inputs, Embedding) else [3])))
        self.layer.set_weights([own[weight.name] for weight in self.layer.weights])

    def window(self, x, lengths=None, resets=None):
        mask = None if lengths is None else np.arange(len(x)) < lengths[:, None]
        found = self.layer(x.swapaxes(0, 1), mask=mask, resets=None if resets is None else resets.T).numpy()
        return found if found.ndim < 3 else found.swapaxes(0, 1)

    def step(self, x):
        found = self.layer(x[:, None]).numpy()
        return found if found.ndim < 3 else found[:, 0]

    def state(self):
        return kept(self.layer)


class JaxPair:
    """The pure functions of `as_stream`, and a state that the test keeps."""

    def __init__(self, net):
        jax, be = pytest.importorskip("jax"), rnnspec.get_backend("jax")
        self.params = be.as_layer(net).init(0)
        init_state, step = be.as_stream(net)
        self.begin, self.run = partial(init_state, params=self.params), jax.jit(step)
        self.own = self.begin(ROWS)

    def load(self, params):
        self.params = tree_map(np.float32, params)
        self.begin = partial(self.begin.func, params=self.params)
        self.own = self.begin(ROWS)

    def window(self, x, lengths=None, resets=None):
        self.own, found = self.run(self.params, self.own, x, lengths, resets)
        return np.asarray(found)

    step = window

    def reset(self, rows=None):
        zeros = self.begin(ROWS)
        self.own = zeros if rows is None else tree_map(lambda a, z: np.where(rows[:, None], z, a), self.own, zeros)

    def state(self):
        return tree_map(np.asarray, self.own)


def kept(layer):
    """The state of a Keras layer."""
    return filled(layer.net.state_shapes(ROWS), [part.numpy() for part in layer.kept.parts])


KINDS = {"torch": TorchModule, "torch, batch first": partial(TorchModule, batch_first=True), "keras": KerasLayer,
         "jax": JaxPair}  # fmt: skip
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def whole(net, **around):
    be = rnnspec.get_backend("numpy")
    return be.run(net, net.init(0), X, **around)


def same_state(found, expected):
    found = dict(leaves(found))
    for name, one in leaves(expected):
        np.testing.assert_allclose(found[name], one, **NEAR, err_msg=name)


@EACH
def test_windows_of_ragged_rows_are_one_run(kind):
    stream, found = kind(NET), []
    for low, high in pairwise(CUTS):
        found.append(stream.window(X[low:high], np.clip(LENGTHS - low, 0, high - low), RESETS[low:high]))
    expected = whole(NET, lengths=LENGTHS, resets=RESETS)
    np.testing.assert_allclose(np.concatenate(found), expected.outputs, **NEAR)
    same_state(stream.state(), expected.state)


@EACH
@pytest.mark.parametrize("net", [NET, LAST], ids=["steps", "last"])
def test_single_steps_are_one_run_and_rows_begin_anew(kind, net):
    stream, bound = kind(net), rnnspec.get_backend("numpy").bound(net, net.init(0))
    rows = np.array([True, False, True])
    for t, x in enumerate(X[:5]):
        if t == 2:
            stream.reset(rows)
            bound.reset(rows)
        if t == 4:
            stream.reset()
            bound.reset()
        np.testing.assert_allclose(stream.step(x), bound.step(x), **NEAR)
    same_state(stream.state(), bound.state)


@EACH
def test_class_numbers_begin_with_learned_states(kind):
    stream, be = kind(CLASSES), rnnspec.get_backend("numpy")
    numbers, params = RNG.integers(0, 5, size=(4, ROWS)), CLASSES.init(0)
    params["layers"][0]["forward"]["initial"]["h"] += np.array([0.5, -0.5, 0.25])
    stream.load(params)
    bound, rows = be.bound(CLASSES, params), np.array([False, True, True])
    found = [stream.step(numbers[0]), *stream.window(numbers[1:3])]
    expected = [bound.step(x) for x in numbers[:3]]
    stream.reset(rows)
    bound.reset(rows)
    np.testing.assert_allclose([*found, stream.step(numbers[3])], [*expected, bound.step(numbers[3])], **NEAR)


def test_what_needs_later_steps_has_no_stream():
    pytest.importorskip("torch")
    for name, make in (("torch", lambda be: be.as_layer(BOTH).stream()), ("jax", lambda be: be.as_stream(BOTH)),
                       ("tensorflow", lambda be: be.as_layer(BOTH, stateful=True))):  # fmt: skip
        with pytest.raises(UnsupportedError, match=r"must run forward, got layers\.1 'bidirectional'; call run"):
            make(rnnspec.get_backend(name))


class TestTorch:
    """What is PyTorch's own about its stream."""

    def opened(self, **options):
        return rnnspec.get_backend("torch").as_layer(NET, **options).stream()

    def test_what_is_refused_leaves_the_state(self):
        torch = pytest.importorskip("torch")
        stream, twin = self.opened(), self.opened()
        x = torch.from_numpy(X)
        for made in (stream, twin):
            made(x[0])
        for wrong, error in ((x[0, :2], ShapeError), (x[0, :, :2], ShapeError), (x[:, :1], ShapeError),
                             (x[0].double(), DtypeError), (X[0].tolist(), ArgumentError)):  # fmt: skip
            with pytest.raises(error):
                stream(wrong)
        with pytest.raises(ShapeError, match=r"must have 3 rows, as the state has.*call reset_state\(\)"):
            stream(x[0, :2])
        for rows, error in ((np.ones(2, bool), ShapeError), (np.ones(3), DtypeError)):
            with pytest.raises(error, match="rows must"):
                stream.reset_state(rows)
        assert torch.equal(stream(x[1]), twin(x[1]))

    def test_it_learns_within_a_window_and_shares_the_layers_parameters(self):
        torch = pytest.importorskip("torch")
        stream, x = self.opened(), torch.from_numpy(X)
        before, state = stream(x[:4]), stream.state
        assert not any(a.requires_grad for a in flat(state))
        stream(x[4:]).square().sum().backward()
        layer = stream.layer
        assert before.requires_grad
        assert {id(p) for p in stream.parameters()} == {id(p) for p in layer.parameters()}
        found = [p.grad.clone() for p in layer.parameters()]
        layer.zero_grad()
        layer(x[4:], state)[0].square().sum().backward()
        for one, other in zip(found, layer.parameters(), strict=True):
            torch.testing.assert_close(one, other.grad)

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))], ids=["copy", "pickle"])
    def test_a_copy_goes_on_by_itself_in_any_dtype(self, copied):
        torch = pytest.importorskip("torch")
        stream, x = self.opened(), torch.from_numpy(X)
        stream(x[:4])
        other = copied(stream)
        np.testing.assert_array_equal(other(x[4]).detach(), stream(x[4]).detach())
        wide = copied(stream).double()
        torch.testing.assert_close(wide(x[5].double()).float(), stream(x[5]), rtol=1e-5, atol=1e-6)

    def test_a_packed_sequence_is_a_window(self):
        torch = pytest.importorskip("torch")
        stream, twin, x = self.opened(), self.opened(), torch.from_numpy(X)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x[:4], torch.tensor([4, 1, 2]), enforce_sorted=False)
        found, _ = torch.nn.utils.rnn.pad_packed_sequence(stream(packed))
        torch.testing.assert_close(found, twin(x[:4], torch.tensor([4, 1, 2])))
        torch.testing.assert_close(stream(x[4]), twin(x[4]))

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_a_trace_is_refused(self):
        torch = pytest.importorskip("torch")
        with pytest.raises(UnsupportedError, match="must have the state as an argument"):
            torch.jit.trace(self.opened(), (torch.from_numpy(X[:2]),))


class TestKeras:
    """What is Keras' own about its stream."""

    @pytest.fixture(autouse=True)
    def on_tensorflow(self):
        self.keras = pytest.importorskip("keras")
        if self.keras.config.backend() != "tensorflow":
            pytest.skip("Keras runs on another backend here")

    def model(self, net=NET):
        layer = rnnspec.get_backend("tensorflow").as_layer(net, stateful=True)
        return self.keras.Sequential([self.keras.Input(batch_shape=(ROWS, None, 3)), layer])

    def test_predict_goes_on_from_batch_to_batch_and_a_loaded_model_begins_anew(self, tmp_path):
        tf, model, (low, high) = pytest.importorskip("tensorflow"), self.model(), (X[:4], X[4:6])
        expected = whole(NET).outputs
        given = [model.predict(x[:, None], verbose=0) for x in low]
        np.testing.assert_allclose(np.stack([y[:, 0] for y in given]), expected[:4], **NEAR)
        model.save(tmp_path / "model.keras")
        model.export(str(tmp_path / "served"), verbose=False)
        np.testing.assert_allclose(model.predict(high.swapaxes(0, 1), verbose=0).swapaxes(0, 1), expected[4:6], **NEAR)
        loaded = self.keras.models.load_model(tmp_path / "model.keras")
        assert loaded.layers[0].stateful
        for reset in (lambda: None, loaded.layers[0].reset_state, loaded.layers[0].reset_states):
            reset()
            for t, x in enumerate(X[:2]):
                np.testing.assert_allclose(loaded(x[:, None])[:, 0], expected[t], **NEAR)
        served = tf.saved_model.load(str(tmp_path / "served"))
        for t, x in enumerate(X[4:6], 4):  # it was exported in the middle of a stream
            np.testing.assert_allclose(served.serve(x[:, None])[:, 0], expected[t], **NEAR)

    def test_the_state_is_no_weight_and_no_gradient_passes_it(self):
        model = self.model(LAST)
        assert len(model.weights) == len(flat(LAST.parameter_shapes()))
        _, *final = model.layers[0](X[:2].swapaxes(0, 1), return_state=True)
        before = kept(model.layers[0])
        for held, given in zip(flat(before), final, strict=True):
            np.testing.assert_array_equal(held, given)
        model.compile("sgd", "mse", jit_compile=True)
        model.train_on_batch(X[2:4].swapaxes(0, 1), np.zeros((ROWS, 2), np.float32))
        after = kept(model.layers[0])
        assert all((a != b).any() for a, b in zip(flat(before), flat(after), strict=True))

    def test_a_given_state_is_where_a_call_starts(self):
        layer = rnnspec.get_backend("tensorflow").as_layer(NET, stateful=True)
        expected = whole(NET).outputs
        _, state = layer.with_state(X[:2].swapaxes(0, 1))
        layer.reset_state()
        found = layer(X[2:4].swapaxes(0, 1), initial_state=state)
        np.testing.assert_allclose(found.numpy().swapaxes(0, 1), expected[2:4], **NEAR)
        np.testing.assert_allclose(layer(X[4:6].swapaxes(0, 1))[:, 1], expected[5], **NEAR)

    def test_other_rows_are_refused(self):
        layer = rnnspec.get_backend("tensorflow").as_layer(NET, stateful=True)
        layer.reset_state()  # nothing is kept yet
        with pytest.raises(ShapeError, match="must know the number of rows, got batch None"):
            self.keras.Sequential([self.keras.Input((None, 3)), layer])
        layer = self.model().layers[0]
        with pytest.raises(ShapeError, match="must have 3 rows, as it was built, got 2 rows"):
            layer(X[:2, :2].swapaxes(0, 1))
        for rows, error in ((np.ones(2, bool), ShapeError), (np.ones(3), DtypeError)):
            with pytest.raises(error, match="rows must"):
                layer.reset_state(rows)


class TestJax:
    """What is JAX's own about its stream."""

    def test_a_scan_of_steps_is_one_run_with_its_gradients(self):
        jax = pytest.importorskip("jax")
        be = rnnspec.get_backend("jax")
        (init, apply), (init_state, step) = be.as_layer(NET), be.as_stream(NET)

        def by_steps(params, x):
            _, outputs = jax.lax.scan(partial(step, params), init_state(ROWS), x)
            return (outputs**2).sum(), outputs

        def at_once(params, x):
            outputs, _ = apply(params, x)
            return (outputs**2).sum(), outputs

        params = init(0)
        (found, outputs), (right, expected) = (
            jax.jit(jax.grad(run, (0, 1), has_aux=True))(params, X) for run in (by_steps, at_once)
        )
        np.testing.assert_allclose(outputs, expected, **NEAR)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def test_a_pickle_is_the_backend_and_the_network(self):
        be = rnnspec.get_backend("jax")
        params = be.as_layer(LAST).init(0)
        for one in (be.as_layer(LAST), be.as_stream(LAST)):
            one[1](params, *((X,) if hasattr(one, "apply") else (one[0](ROWS), X)))  # what is kept is no part of it
            for copied in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
                assert type(copied) is type(one)
                given = (copied.init(0), X) if hasattr(one, "apply") else (params, copied.init_state(ROWS), X)
                for a, b in zip(flat(list(copied[1](*given))), flat(list(one[1](*given))), strict=True):
                    np.testing.assert_array_equal(a, b)

    def test_errors_are_those_of_apply(self):
        init_state, step = rnnspec.get_backend("jax").as_stream(NET)
        params = NET.init(0)
        for wrong in (X[0, :2], X[0, :, :2], X[0].tolist()):
            with pytest.raises(RnnSpecError):
                step(params, init_state(ROWS), wrong)
