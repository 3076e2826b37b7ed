"""Noise as an argument: declarations, masks, equations by hand, splits, evaluation, files and messages."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from conformance import oracle
from rnnspec import Dense, Dropout, Embedding, Key, Last, Layer, LayerNorm, Network, Path, Windows, cells, chain
from rnnspec.errors import ArgumentError, NetworkError, UnsupportedError
from rnnspec.losses import SoftmaxCrossEntropy
from rnnspec.noise import GateDropout, Noise, PerSequence, WeightDrop, Zoneout
from rnnspec.noise.drawing import kept, kept_entries
from rnnspec.noise.masks import masks
from rnnspec.policies import ScaleLoss, Truncated
from rnnspec.primitives import tanh
from rnnspec.running import execution
from rnnspec.storage import from_json, load, save, to_json
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import SGD

STEPS, BATCH = 7, 5
RNG = np.random.default_rng(0)
X = RNG.normal(size=(STEPS, BATCH, 3))
LABELS = RNG.integers(0, 4, (STEPS, BATCH))
LENGTHS = np.array([7, 3, 0, 5, 7])
EVERY = (WeightDrop(0.3), Zoneout({"c": 0.4, "h": 0.1}), GateDropout("g", 0.25), Dropout(0.2))


def network(*layers, **options):
    return Network(3, layers, output=Dense(4), loss=SoftmaxCrossEntropy(), **options)


NETS = {
    "every noise": network(Layer(cells.lstm, 4, noise=EVERY), Dropout(0.5, PerSequence()), Layer(cells.gru, 2)),
    "both halves": network(Dropout(0.2), Layer(cells.lstm, 3, "bidirectional", noise=EVERY), Dropout(0.4)),
    "head": network(Layer(cells.gru, 3), head=[Dense(5, tanh), Dropout(0.5), LayerNorm()]),
    "head of the last": network(Layer(cells.gru, 3), head=[Dropout(0.5), Dense(5, tanh)], read=Last()),
    "residual": network(Layer(cells.gru, 3, noise=(Dropout(0.5), Zoneout(0.2)), residual=True), LayerNorm()),
    "policy": network(Layer(cells.lstm, 4, gradient=Truncated(2), noise=(Zoneout(0.3), WeightDrop(0.2)))),
    "learned states": network(Layer(cells.lstm, 4, learned_state=True, noise=EVERY)),
    "class numbers": Network(Embedding(4, 3), [Dropout(0.3), Layer(cells.gru, 3, noise=WeightDrop(0.4))],
                             output=Dense(4), loss=SoftmaxCrossEntropy()),
    "heads": Network(4, [Layer(cells.slstm, 2, heads=2, noise=(Zoneout({"h": 0.3}), GateDropout("z", 0.2)))],
                     output=Dense(4), loss=SoftmaxCrossEntropy()),
}  # fmt: skip


def asked(net):
    inputs = LABELS if net.inputs == Embedding(4, 3) else np.concatenate([X, X], -1)[..., : net.input_features]
    return inputs, LABELS[0] if isinstance(net.read, Last) else LABELS


def numbers(step):
    return dict(leaves((step.loss_sum, step.grads.params, step.grads.inputs, step.grads.state, step.state)))


@pytest.fixture
def be(open_backend):
    return open_backend("numpy", "f64")


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("key", [None, Key(5), Key(5, row=3, step=9)])
def test_values_and_gradients_are_the_oracles_with_the_same_masks(be, name, key):
    net, (x, labels) = NETS[name], asked(NETS[name])
    params = net.init(1)
    for lengths in (None, LENGTHS):
        found = numbers(be.value_and_grad(net, params, x, labels, lengths=lengths, key=key))
        expected = numbers(oracle.value_and_grad(net, params, x, labels, lengths=lengths, key=key))
        assert found.keys() == expected.keys()
        for place, a in found.items():
            if a is not None:
                np.testing.assert_allclose(a, expected[place][0], rtol=1e-9, atol=1e-12, err_msg=place)


def test_recomputing_stretches_and_held_paths_have_the_same_masks(be):
    net = NETS["every noise"]
    params, key = net.init(1), Key(5)
    expected = numbers(be.value_and_grad(net, params, X, LABELS, key=key))
    for other in (be.recomputing(2), be.recomputing(), be.through(Path.GENERIC)):
        for place, a in numbers(other.value_and_grad(net, params, X, LABELS, key=key)).items():
            np.testing.assert_allclose(a, expected[place], rtol=1e-9, atol=1e-12)


def test_resets_keep_the_mask_of_a_sequence(be):
    net = network(Dropout(0.5, PerSequence()), Layer(cells.gru, 3))
    params, resets = net.init(1), np.zeros((STEPS, BATCH), bool)
    resets[3] = True
    whole = be.run(net, params, X, resets=resets, key=Key(2)).outputs
    late = be.run(net, params, X[3:], key=Key(2, step=3)).outputs
    np.testing.assert_allclose(whole[3:], late)


def test_zoneout_and_gate_dropout_are_those_of_the_papers(be):
    """An LSTM written out, with the masks beside it."""
    layer = Layer(cells.lstm, 4, noise=(Zoneout({"h": 0.3, "c": 0.5}), GateDropout("g", 0.25)))
    net, key = Network(3, [layer]), Key(11)
    params = net.init(1)
    own = params["layers"][0]["forward"]
    drawn = masks(net, key, STEPS, BATCH)["layers"][0]["forward"]["x"]
    h = c = np.zeros((BATCH, 4))
    for t in range(STEPS):
        a = {n: X[t] @ own["W"][n].T + own["b"][n] + h @ own["U"][n].T for n in "ifgo"}
        i, f, o = (1 / (1 + np.exp(-a[n])) for n in "ifo")
        new = f * c + i * (drawn["kept_g"][t] * np.tanh(a["g"]) / 0.75)
        h, c = np.where(drawn["new_h"][t], o * np.tanh(new), h), np.where(drawn["new_c"][t], new, c)
        np.testing.assert_allclose(be.run(net, params, X, key=key).outputs[t], h, rtol=1e-9)
    h = c = np.zeros((BATCH, 4))
    for t in range(STEPS):
        a = {n: X[t] @ own["W"][n].T + own["b"][n] + h @ own["U"][n].T for n in "ifgo"}
        i, f, o = (1 / (1 + np.exp(-a[n])) for n in "ifo")
        new = f * c + i * np.tanh(a["g"])
        h, c = 0.3 * h + 0.7 * o * np.tanh(new), 0.5 * c + 0.5 * new
    np.testing.assert_allclose(be.run(net, params, X).state[0]["forward"]["c"], c, rtol=1e-9)


def test_weight_drop_is_a_network_with_other_maps(be):
    net, plain, key = network(Layer(cells.gru, 4, noise=WeightDrop(0.5))), network(Layer(cells.gru, 4)), Key(3)
    params = net.init(1)
    drawn = masks(net, key, STEPS, BATCH)["layers"][0]["forward"]["U"]
    own = params["layers"][0]["forward"]
    left = {**params, "layers": [{"forward": {**own, "U": {n: u * drawn[n] * 2 for n, u in own["U"].items()}}}]}
    one, other = (be.value_and_grad(*given, X, LABELS, key=key) for given in ((net, params), (plain, left)))
    np.testing.assert_allclose(one.loss_sum, other.loss_sum)
    U, whole = (step.grads.params["layers"][0]["forward"]["U"] for step in (one, other))
    for name, gradient in U.items():
        np.testing.assert_allclose(gradient, whole[name] * drawn[name] * 2)


def philox(key, counter):
    """Philox 4x64 with 10 rounds, by Salmon et al. (2011), one block in Python's own numbers."""
    low = 2**64 - 1
    k = [key & low, key >> 64]
    c = [counter >> 64 * i & low for i in range(4)]
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [b >> 64 ^ c[1] ^ k[0], b & low, a >> 64 ^ c[3] ^ k[1], a & low]
        k = [k[0] + 0x9E3779B97F4A7C15 & low, k[1] + 0xBB67AE8584CAA73B & low]
    return c


def test_masks_are_those_of_the_specification():
    """Row 2, step 1 of nine features: the second and third block of four words after those of step 0."""
    key = int.from_bytes(hashlib.blake2b(b"7:layers.0.inputs", digest_size=16).digest(), "little")
    words = [w for block in (1, 2) for w in philox(key, (2 << 128) + 1 * 2 + block)]
    lanes = [lane for w in words for lane in (w & 2**32 - 1, w >> 32)]
    found = kept(Key(7), "layers.0.inputs", 0.3, 3, 2, 9)[1, 2]
    assert found.tolist() == [lane >= round(0.3 * 2**32) for lane in lanes[:9]]


@pytest.mark.parametrize("features", [1, 8, 9, 70])
def test_a_mask_depends_on_row_and_step_alone(features):
    whole = kept(Key(3), "a", 0.4, 9, 11, features)
    for row, step, rows, steps in ((0, 0, 9, 5), (4, 0, 5, 11), (3, 7, 2, 1), (8, 10, 1, 1)):
        part = kept(Key(3).at(row, step), "a", 0.4, rows, steps, features)
        assert (part == whole[step : step + steps, row : row + rows]).all()
    assert (kept(Key(3), "b", 0.4, 9, 11, features) != whole).any()
    assert (kept(Key(4), "a", 0.4, 9, 11, features) != whole).any()
    assert (kept_entries(Key(3, row=5), "a", 0.4, (3, 4)) == kept_entries(Key(3, step=2), "a", 0.4, (3, 4))).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_shares_are_binomial(rate):
    drawn = kept(Key(3), "a", rate, 40, 50, 60)
    bound = 6 * np.sqrt(rate * (1 - rate) / drawn.size)
    assert abs((1 - drawn.mean()) - rate) <= bound
    for axis in range(3):  # no row, step or feature is more of the one than chance allows
        others = tuple(a for a in range(3) if a != axis)
        assert np.abs((1 - drawn.mean(others)) - rate).max() <= bound * np.sqrt(drawn.shape[axis])
    assert kept(Key(3), "a", rate, 0, 5, 6).shape == (5, 0, 6)


def test_shards_of_rows_and_windows_of_steps_add_up_to_the_whole(be):
    net, key = NETS["every noise"], Key(9)
    params = net.init(1)
    whole = be.value_and_grad(net, params, X, LABELS, key=key)
    parts = [be.value_and_grad(net, params, X[:, rows], LABELS[:, rows], key=key.at(row=rows.start))
             for rows in (slice(0, 2), slice(2, 5))]  # fmt: skip
    total = tree_map(np.add, *(part.grads.params for part in parts))
    for name, gradient in leaves(total):
        np.testing.assert_allclose(gradient, dict(leaves(whole.grads.params))[name], rtol=1e-9, atol=1e-12)
    windows = Windows(every=3, back=9).value_and_grad(be, net, params, X, LABELS, key=key)
    np.testing.assert_allclose(windows.loss_sum, whole.loss_sum)
    for name, gradient in leaves(windows.grads.params):
        np.testing.assert_allclose(gradient, dict(leaves(whole.grads.params))[name], rtol=1e-9, atol=1e-12)


def test_a_training_step_has_noise_with_a_key_alone_and_a_scaled_loss_has_the_same(be):
    net, params = NETS["every noise"], NETS["every noise"].init(1)
    sgd, scaled = chain(SGD(0.1)), ScaleLoss(SGD(0.1))
    plain, noisy = (be.train_step(net, sgd, params, sgd.init(params), X, LABELS, key=key) for key in (None, Key(1)))
    again = be.train_step(net, scaled, params, scaled.init(params), X, LABELS, key=Key(1))
    np.testing.assert_allclose(plain.loss_sum, be.value_and_grad(net, params, X, LABELS).loss_sum)
    np.testing.assert_allclose(noisy.loss_sum, be.value_and_grad(net, params, X, LABELS, key=Key(1)).loss_sum)
    assert noisy.loss_sum != plain.loss_sum
    np.testing.assert_allclose(again.loss_sum, noisy.loss_sum)
    for (_, a), (_, b) in zip(leaves(again.params), leaves(noisy.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_bound_call_takes_a_key_and_streams_are_evaluation(be):
    net, params = NETS["every noise"], NETS["every noise"].init(1)
    bound = be.bound(net, params)
    np.testing.assert_allclose(bound.run(X, key=Key(1)).outputs, be.run(net, params, X, key=Key(1)).outputs)
    cotangent = np.ones((STEPS, BATCH, 4))
    one, other = bound.pullback(X, cotangent, key=Key(1)), be.pullback(net, params, X, cotangent, key=Key(1))
    np.testing.assert_allclose(one.inputs, other.inputs)
    expected = be.run(net, params, X)
    for t in range(STEPS):
        np.testing.assert_allclose(bound.step(X[t]), expected.outputs[t], rtol=1e-9, atol=1e-12)
    state = bound.state
    assert state[1] == {"forward": {}}
    np.testing.assert_allclose(state[2]["forward"]["h"], expected.state[2]["forward"]["h"])
    bound.state = state


def test_a_call_without_a_key_is_that_of_the_network_without_noise(be, monkeypatch):
    """The same programs with the same arguments, to the bit, and nothing is drawn."""
    plain = network(Layer(cells.lstm, 4), Layer(cells.gru, 2))
    noisy = network(Dropout(0.3), Layer(cells.lstm, 4, noise=(WeightDrop(0.5), GateDropout("g", 0.5))), Dropout(0.2),
                    Layer(cells.gru, 2))  # fmt: skip
    params = plain.init(1)
    first, second = params["layers"]
    given = {**params, "layers": [noisy.init(1)["layers"][0], first, noisy.init(1)["layers"][2], second]}
    monkeypatch.setattr(np.random, "Philox", None)
    one, other = be.value_and_grad(plain, params, X, LABELS), be.value_and_grad(noisy, given, X, LABELS)
    assert one.loss_sum == other.loss_sum
    assert (one.grads.inputs == other.grads.inputs).all()
    taken = []
    monkeypatch.setattr(type(be), "program", lambda self, function, *_: taken.append(function) or _recorded(taken))
    with pytest.raises(Stopped):
        be.run(noisy, given, X)
    assert taken == [execution.run, 5]


class Stopped(Exception):
    pass


def _recorded(taken):
    def call(*arguments):
        taken.append(len(arguments))
        raise Stopped

    return call


def test_a_network_without_noise_takes_any_key(be):
    net = network(Layer(cells.gru, 2))
    params = net.init(1)
    assert (be.run(net, params, X, key=Key(3)).outputs == be.run(net, params, X).outputs).all()


def test_dropout_among_the_layers_keeps_its_place_and_shows_the_halves_below():
    net = network(Layer(cells.gru, 3, "bidirectional"), Dropout(0.5), read=Last())
    plain = network(Layer(cells.gru, 3, "bidirectional"), read=Last())
    assert net.parameter_shapes()["layers"][1] == {"forward": {"W": {}, "b": {}, "U": {}, "p": {}}}
    assert net.state_shapes(2)[1] == {"forward": {}}
    assert net.layers[1].passes
    params = net.init(1)
    lower = {**params, "layers": params["layers"][:1]}
    one, other = (oracle.run(n, p, X) for n, p in ((net, params), (plain, lower)))
    np.testing.assert_array_equal(one.outputs, other.outputs)


@pytest.mark.parametrize("name", NETS)
def test_files_hold_the_declaration(tmp_path, name):
    net = NETS[name]
    assert from_json(json.loads(json.dumps(to_json(net)))) == net
    save(tmp_path / "net.safetensors", net, net.init(1))
    assert load(tmp_path / "net.safetensors")[0] == net


def test_a_network_shows_its_noise():
    shown = repr(network(Dropout(0.3), Layer(cells.gru, 2, noise=Zoneout(0.1))))
    assert "Dropout(rate=0.3, masks=PerStep())" in shown
    assert "Zoneout(rate=0.1)" in shown


class Mine(Noise):
    """A kind that nothing runs."""


@pytest.mark.parametrize(("make", "says"), [
    (lambda: Dropout(1.0), "Dropout(...): rate must be a number from 0 to below 1, got 1.0"),
    (lambda: Zoneout({"h": -0.1}), "Zoneout(...): rate must be a number from 0 to below 1, got -0.1"),
    (lambda: WeightDrop(True), "WeightDrop(...): rate must be a number from 0 to below 1, got True"),
    (lambda: Dropout(0.5, "step"), "Dropout(...): masks must be PerStep() or PerSequence(), got 'step'"),
    (lambda: GateDropout(1, 0.5), "GateDropout(...): gate must be the name of a map, got 1"),
    (lambda: Zoneout({1: 0.5}), "Zoneout(...): rate must map names of states to rates, got 1"),
    (lambda: Layer(cells.lstm, 4, noise=Zoneout({"z": 0.1})),
     "Layer(...): Zoneout must name states that are vectors: h, c, got 'z'"),
    (lambda: Layer(cells.gla, 4, noise=Zoneout(0.1)), "Layer(...): Zoneout must name states that are vectors: none"),
    (lambda: Layer(cells.lstm, 4, noise=GateDropout("n", 0.1)),
     "Layer(...): GateDropout must name the x.name that one function reads: f, g, i, o, got 'n'"),
    (lambda: Layer(cells.mingru, 4, noise=WeightDrop(0.1)),
     "Layer(...): WeightDrop must have recurrent maps: none, got 'mingru'"),
    (lambda: Layer(cells.gru, 4, noise=0.5), "noise must be one kind of rnnspec.noise, or several, got 0.5"),
    (lambda: Layer(cells.gru, 4, noise=(Zoneout(0.1), Zoneout(0.2))), "each kind of noise must be given once"),
    (lambda: Layer(cells.mingru, 4, mapped=False, noise=Zoneout(0.1)), "a layer without maps must have no noise"),
    (lambda: Network(3, [Dropout(0.5)]), "layers must be more than dropout"),
    (lambda: Layer(cells.gru, 2, noise=Mine()), "noise must be one kind of rnnspec.noise, or several"),
])  # fmt: skip
def test_declarations_that_cannot_be_are_refused(make, says):
    with pytest.raises(NetworkError) as raised:
        make()
    assert says in str(raised.value)


@pytest.mark.parametrize("numbers", [(-1,), (1.0,), (True,), (0, -1), (0, 0, 2**63)])
def test_a_key_is_of_whole_numbers(numbers):
    with pytest.raises(ArgumentError, match="must be a whole number of at least 0"):
        Key(*numbers)


def test_a_number_is_no_key(be):
    net = NETS["every noise"]
    with pytest.raises(ArgumentError) as raised:
        be.run(net, net.init(1), X, key=7)
    assert "run(...): key must be a Key, or None, got 7; write rnnspec.Key(seed)" in str(raised.value)


def test_a_backend_without_recur_refuses_masks_in_equations_alone(be, monkeypatch):
    monkeypatch.setattr(type(be), "capabilities", type(be.capabilities)())
    net, plain = (network(Layer(cells.gru, 2, noise=one)) for one in (Zoneout(0.1), WeightDrop(0.1)))
    params = net.init(1)
    with pytest.raises(UnsupportedError, match="no recur"):
        be.run(net, params, X, key=Key(1))
    be.run(net, params, X)
    be.run(plain, params, X, key=Key(1))
