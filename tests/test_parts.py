"""Layers without a state, heads and residual layers: what a network writes out, refuses, runs and stores."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from rnnspec import (
    Dense,
    Last,
    Layer,
    LayerNorm,
    Network,
    Path,
    RMSNorm,
    Steps,
    cell,
    cells,
    get_backend,
    gradient_flow,
    linearity,
    load,
    losses,
    policies,
    save,
    storage,
    updates,
)
from rnnspec.analysis.probing import in_order
from rnnspec.errors import EquationError, NetworkError, ShapeError, UnsupportedError
from rnnspec.primitives import relu, sigmoid, tanh, total
from rnnspec.tree import leaves, tree_map

TIME, BATCH, INPUTS = 6, 4, 3
LENGTHS = np.array([6, 0, 2, 5])


@cell
def gated(x, R):
    return R.down(sigmoid(x.gate) * x.gate * x.up)


def whole_model(read=Steps()):  # noqa: B008  # it is frozen
    layers = [Layer(cells.lstm, 4), Dense(5, tanh), LayerNorm(), Layer(cells.gru, 5, residual=True), RMSNorm()]
    return Network(INPUTS, layers, read, Dense(2), losses.SquaredError(), [Dense(6, relu), LayerNorm()])


def drawn(net, seed=0):
    rng = np.random.default_rng(seed)
    params = tree_map(lambda a: a + 0.1 * rng.normal(size=a.shape), net.init(seed))
    return params, rng.normal(size=(TIME, BATCH, net.inputs))


@pytest.fixture(scope="module")
def be():
    return get_backend("numpy", precision="f64")


def test_short_names_become_layers_of_cells_without_a_state():
    net = whole_model()
    dense, norm = net.layers[1], net.layers[2]
    assert (dense.cell.name, dense.hidden, dense.cell.states) == ("dense", 5, ())
    assert norm.cell == cells.layer_norm and norm.hidden == 5 and norm.inputs == 5
    assert net == whole_model() and hash(net) == hash(whole_model())
    assert Network(3, [Dense(4)]) == Network(3, [Layer(cells.dense, 4)])
    assert Network(3, [RMSNorm(0.5)]).layers[0].cell == cells.rms_norm(epsilon=0.5)


@pytest.mark.parametrize("policy", [policies.Truncated(2), policies.ClipStateByNorm(1.0, joint=True)])
def test_a_policy_has_nothing_to_act_on_in_a_layer_without_a_state(policy):
    assert Layer(cells.dense, 4, gradient=policy) == Layer(cells.dense, 4)
    with pytest.raises(NetworkError, match="gradient must be a policy"):
        Layer(cells.dense, 4, gradient=3)


def test_parameters_have_the_names_of_the_specification():
    shapes = dict(leaves(whole_model().parameter_shapes()))
    expected = {"layers.1.forward.W.y": (5, 4), "layers.1.forward.b.y": (5,), "layers.2.forward.p.scale": (5,),
                "layers.2.forward.p.shift": (5,), "layers.4.forward.p.scale": (5,), "head.0.forward.W.y": (6, 5),
                "head.1.forward.p.shift": (6,), "output.W": (2, 6)}  # fmt: skip
    assert expected.items() <= shapes.items()
    assert whole_model().state_shapes(7)[1] == {"forward": {}}


def test_initial_values_follow_the_seed_the_name_and_the_inputs():
    net = whole_model()
    first = dict(leaves(net.init(0)))
    assert (first["layers.2.forward.p.scale"] == 1).all() and (first["head.1.forward.p.shift"] == 0).all()
    assert np.abs(first["head.0.forward.W.y"]).max() <= 1 / np.sqrt(5)
    assert not np.array_equal(first["head.0.forward.W.y"], dict(leaves(net.init(1)))["head.0.forward.W.y"])
    assert not np.array_equal(first["layers.1.forward.b.y"], first["head.0.forward.b.y"][:5])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Network(3, [Layer(cells.lstm, 4)], output=Dense(3, tanh)), "put it last in head"),
        (lambda: Network(3, [Layer(cells.lstm, 4, residual=True)]), "4 for inputs of 3"),
        (lambda: Network(3, [Layer(cells.lstm, 3, "bidirectional", residual=True)]), "6 for inputs of 3"),
        (lambda: Network(3, [Layer(cells.lstm, 4)], head=[Layer(cells.gru, 4)]), "every layer of head"),
        (lambda: Network(3, [Dense(4)], head=[Layer(cells.dense, 4, "reverse")]), "every layer of head"),
        (lambda: Network(3, [Dense(4)], head=4), "head must be layers"),
        (lambda: Network(3, []), "at least one Layer"),
        (lambda: Network(3, [Dense(0)]), "features of Dense"),
        (lambda: Dense(3, "tanh"), "activation must be a function"),
        (lambda: LayerNorm(-1.0), "epsilon"),
        (lambda: RMSNorm(float("nan")), "epsilon"),
        (lambda: Layer(cells.dense, 4, residual=1), "residual must be"),
        (lambda: Network(3, [Layer(cells.rms_norm, 4)]), "must have one width, got hidden=4, x=3"),
        (lambda: Network(3, [Layer(gated, 4)]), "x.gate"),
    ],
)
def test_what_does_not_fit_is_refused(make, match):
    with pytest.raises(NetworkError, match=match):
        make()


def test_an_activation_that_is_no_function_of_the_primitives_is_refused():
    with pytest.raises(EquationError, match="primitives only"):
        Network(3, [Dense(4, np.tanh)])
    with pytest.raises(NetworkError, match=r"x\.y"):
        Network(3, [Dense(4, total)])


def test_the_norms_are_those_of_the_papers(be):
    x = np.random.default_rng(3).normal(2.0, 3.0, (2, 3, 5))
    scale, shift = np.arange(1.0, 6.0), np.arange(5.0)
    given = {"layers": [{"forward": {"W": {}, "b": {}, "U": {}, "p": {"scale": scale, "shift": shift}}}]}
    found = be.run(Network(5, [LayerNorm(1e-3)]), given, x).outputs
    expected = scale * (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3) + shift
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    del given["layers"][0]["forward"]["p"]["shift"]
    found = be.run(Network(5, [RMSNorm(1e-3)]), given, x).outputs
    np.testing.assert_allclose(found, scale * x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-3), rtol=1e-12)


def test_a_residual_is_the_sum_of_inputs_and_outputs_at_real_steps(be):
    plain = Network(4, [Layer(cells.lstm, 2, "bidirectional")])
    params, x = drawn(plain)
    held = np.where((np.arange(TIME)[:, None] < LENGTHS)[..., None], x, 0.0)
    x[held == 0] = np.nan
    found = be.run(Network(4, [Layer(cells.lstm, 2, "bidirectional", residual=True)]), params, x, lengths=LENGTHS)
    assert np.array_equal(found.outputs, held + be.run(plain, params, x, lengths=LENGTHS).outputs)


def test_a_head_after_last_has_nothing_to_say_of_a_row_without_a_step(be):
    net = whole_model(Last())
    params, x = drawn(net)
    result = be.run(net, params, x, lengths=LENGTHS)
    assert not result.outputs[1].any() and result.outputs[[0, 2, 3]].all()
    bare = Network(net.inputs, net.layers, Last(), head=net.head)
    own = {name: params[name] for name in ("layers", "head")}
    assert not be.run(bare, own, x, lengths=LENGTHS).outputs[1].any()
    one = np.where(np.arange(BATCH)[:, None] == 1, 1.0, 0.0) * np.ones(6)
    found = be.pullback(bare, own, x, one, lengths=LENGTHS)
    assert not any(a.any() for _, a in leaves([found.params, found.inputs, found.state]))


@pytest.mark.parametrize("shape", [(0, BATCH), (TIME, 0), (0, 0)])
@pytest.mark.parametrize("read", [Steps(), Last()])
def test_no_steps_and_no_rows(be, shape, read):
    net = whole_model(read)
    params, _ = drawn(net)
    result = be.run(net, params, np.zeros((*shape, INPUTS)))
    assert not result.outputs.any()
    found = be.pullback(net, params, np.zeros((*shape, INPUTS)), np.ones(result.outputs.shape))
    assert dict(leaves(found.params)).keys() == dict(leaves(params)).keys()
    assert not any(a.any() for _, a in leaves(found.params))


@pytest.mark.parametrize("read", [Steps(), Last()])
def test_gradients_are_those_of_differences(be, read):
    net = whole_model(read)
    params, x = drawn(net)
    rng = np.random.default_rng(5)
    targets = rng.normal(size=be.run(net, params, x).outputs.shape)
    step = be.value_and_grad(net, params, x, targets, lengths=LENGTHS)
    direction = tree_map(lambda a: rng.normal(size=a.shape), params)

    def loss(by):
        moved = tree_map(lambda a, d: a + by * d, params, direction)
        return float(be.value_and_grad(net, moved, x, targets, lengths=LENGTHS).loss_sum)

    along = dict(leaves(direction))
    expected = sum((a * along[name]).sum() for name, a in leaves(step.grads.params))
    assert np.isclose((loss(1e-6) - loss(-1e-6)) / 2e-6, expected, rtol=1e-6)


def test_a_network_of_single_steps_is_the_same_for_any_order_of_steps(be):
    net = Network(INPUTS, [Dense(4, tanh), Layer(gated, {"R.down": 4, "x.up": 7}, residual=True)])
    params, x = drawn(net)
    order = np.random.default_rng(1).permutation(TIME)
    assert np.array_equal(be.run(net, params, x[order]).outputs, be.run(net, params, x).outputs[order])
    resets = np.ones((TIME, BATCH), bool)
    assert np.array_equal(be.run(net, params, x, resets=resets).outputs, be.run(net, params, x).outputs)


def test_streams_have_the_outputs_of_a_run(be):
    for net in (whole_model(), whole_model(Last()), Network(INPUTS, [Dense(4, tanh)])):
        params, x = drawn(net)
        bound = be.bound(net, params)
        found = np.stack([bound.step(now) for now in x])
        expected = be.run(net, params, x).outputs
        np.testing.assert_allclose(found if expected.ndim == 3 else found[-1], expected, atol=1e-12)
        bound.state = bound.state
        assert bound.step(x[0]).shape[0] == BATCH


def test_recomputation_and_paths_change_no_number(be):
    net = Network(INPUTS, [Layer(cells.mingru, 4), Dense(4, tanh), LayerNorm()], head=[Dense(2)])
    params, x = drawn(net)
    w = np.random.default_rng(2).normal(size=(TIME, BATCH, 2))
    expected = dict(leaves(be.pullback(net, params, x, w, lengths=LENGTHS).params))
    for other in (be.recomputing(2), be.through(Path.PARALLEL), be.through(Path.GENERIC)):
        found = dict(leaves(other.pullback(net, params, x, w, lengths=LENGTHS).params))
        assert all(np.allclose(a, expected[name], atol=1e-12) for name, a in found.items())
    paths = dict(be.through(Path.PARALLEL).run(net, params, x).path)
    assert paths["layers.0.forward"].startswith("parallel") and paths["head.0.forward"] == "parallel"
    with pytest.raises(UnsupportedError, match="parallel"):
        be.through(Path.PARALLEL).run(whole_model(), *drawn(whole_model()))


def test_training_moves_the_parameters_of_the_head(be):
    net, rule = whole_model(Last()), updates.SGD(0.1)
    params, x = drawn(net)
    targets = np.zeros((BATCH, 2))
    new = be.train_step(net, rule, params, rule.init(params), x, targets, lengths=LENGTHS).params
    changed = {name for name, a in leaves(new) if not np.array_equal(a, dict(leaves(params))[name])}
    assert {"head.0.forward.W.y", "head.1.forward.p.scale", "layers.2.forward.p.scale", "output.b"} <= changed


def test_a_file_holds_the_whole_model(be, tmp_path):
    net = whole_model(Last())
    params, x = drawn(net)
    save(tmp_path / "model.safetensors", net, params)
    again, own = load(tmp_path / "model.safetensors")
    assert again == net and storage.from_json(storage.to_json(net)) == net
    assert np.array_equal(be.run(again, own, x).outputs, be.run(net, params, x).outputs)
    assert pickle.loads(pickle.dumps(net)) == net and copy.deepcopy(net) == net


def test_a_wrong_shape_in_the_head_is_named(be):
    net = whole_model()
    params, x = drawn(net)
    params["head"][0]["forward"]["W"]["y"] = np.zeros((6, 4))
    with pytest.raises(ShapeError, match=r"head\.0\.forward\.W\.y"):
        be.run(net, params, x)


def test_gradient_flow_is_that_of_the_layers_with_a_state(be):
    net = Network(INPUTS, [Dense(3, tanh), Layer(cells.elman, 3, "reverse", residual=True)],
                  Last(), Dense(2), losses.SquaredError(), [Dense(4, tanh)])  # fmt: skip
    params, x = drawn(net)
    flow = gradient_flow(be, net, params, x, np.zeros((BATCH, 2)), lengths=LENGTHS)
    assert [half.place for half in flow.halves] == ["layers.1.reverse"]
    step = be.value_and_grad(net, params, x, np.zeros((BATCH, 2)), lengths=LENGTHS)
    carried = in_order(step.grads.inputs, "reverse", LENGTHS)
    assert np.isfinite(carried).all() and (flow.halves[0].norms["h"][0, [0, 2, 3]] > 0).all()
    with pytest.raises(NetworkError, match="must have a state"):
        gradient_flow(be, Network(3, [Dense(2)], loss=losses.SquaredError()), *drawn(Network(3, [Dense(2)])),
                      np.zeros((TIME, BATCH, 2)))  # fmt: skip


def test_no_step_depends_on_another():
    assert linearity(cells.dense).groups == ()
    assert str(linearity(gated)).endswith("runs all steps at once.")


def test_a_cell_without_a_state_is_called_in_the_equations_of_another():
    @cell
    def normed(x, R, p, h):
        return tanh(cells.layer_norm(x.h + R.h(h), p))

    assert normed.parameter_names["p"] == {"scale", "shift"}
    assert cell(lambda x, h: cells.dense(h)).parameter_names["U"] == {"x_y"}
    with pytest.raises(EquationError, match="must be given a vector"):
        cell(lambda x, h: cells.dense(1.0))


def test_cells_without_a_state_are_recurred_too(be):
    x = np.random.default_rng(0).normal(size=(TIME, BATCH, 5))
    assert np.array_equal(be.recur(cells.dense, {"y": x}).outputs, x)
    assert np.array_equal(be.recur_pullback(cells.dense, {"y": x}, 2 * x).inputs["y"], 2 * x)


SMALL = Network(INPUTS, [Layer(cells.elman, 4), LayerNorm()], Last(), Dense(2), head=[Dense(3, tanh, initial={})])
COTANGENT = np.random.default_rng(4).normal(size=(BATCH, 2))


def torch_gradient(x):
    torch = pytest.importorskip("torch")
    layer = get_backend("torch", precision="f64").as_layer(SMALL)
    assert "head.0.forward.W.y" in layer.state_dict()
    outputs, _ = layer(torch.tensor(x), lengths=torch.tensor(LENGTHS))
    outputs.backward(torch.tensor(COTANGENT))
    return dict(layer.named_parameters())["head.0.forward_.W.y"].grad.numpy()


def keras_gradient(x):
    tf = pytest.importorskip("tensorflow")
    pytest.importorskip("keras")
    layer = get_backend("tensorflow", precision="f64").as_layer(SMALL)
    mask = np.arange(TIME) < LENGTHS[:, None]
    with tf.GradientTape() as tape:
        outputs = tf.reduce_sum(layer(tf.constant(x.transpose(1, 0, 2)), mask=tf.constant(mask)) * COTANGENT)
    (weight,) = [w for w in layer.weights if w.name == "head.0.forward.W.y"]
    return tape.gradient(outputs, weight).numpy()


@pytest.mark.parametrize("gradient", [torch_gradient, keras_gradient])
def test_the_layers_of_frameworks_have_the_head(be, gradient):
    params, x = SMALL.init(0), drawn(SMALL)[1]
    expected = be.pullback(SMALL, params, x, COTANGENT, lengths=LENGTHS).params["head"][0]["forward"]["W"]["y"]
    np.testing.assert_allclose(gradient(x), expected, atol=1e-12)
