"""JAX: programs compiled once, precisions side by side, and a network within programs that are JAX's own."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cells, losses, policies
from rnnspec.errors import DtypeError, LengthsError, ShapeError, TreeError, UnsupportedError
from rnnspec.tree import leaves, tree_map

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

STEPS, ROWS, INPUTS = 6, 5, 3
LENGTHS = np.array([6, 3, 0, 1, 6])
NET = Network(INPUTS, [Layer(cells.elman, 4, direction="bidirectional"), Layer(cells.lstm, 3, direction="reverse")],
              output=Dense(2), loss=losses.SquaredError())  # fmt: skip
CUT = Network(INPUTS, [Layer(cells.lstm, 4, gradient=policies.Truncated(2))])
CURVED = Network(INPUTS, [Layer(cells.lstm, 3, direction="reverse")], output=Dense(2))
BOTH = pytest.mark.parametrize("path", [Path.GENERIC, Path.FRAMEWORK], ids=lambda path: path.value)


def drawn(net=NET, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    params = tree_map(lambda a: (a + rng.normal(scale=0.2, size=a.shape)).astype(dtype), net.init(0))
    state = [{half: {name: rng.normal(size=shape).astype(dtype) for name, shape in each.items()}
              for half, each in layer.items()} for layer in net.state_shapes(ROWS)]  # fmt: skip
    return params, rng.normal(size=(STEPS, ROWS, INPUTS)).astype(dtype), state


def close(found, expected, roundings=60, unit=2.0**-24):
    found = dict(leaves(found))
    for name, right in leaves(expected):
        allowed = roundings * unit * np.abs(right).max(initial=1e-2)
        np.testing.assert_allclose(np.asarray(found[name], float), np.asarray(right, float), 0, allowed, err_msg=name)


def test_new_lengths_compile_nothing_and_new_shapes_once():
    be = rnnspec.get_backend("jax")
    params, x, state = drawn()
    for lengths in (LENGTHS, LENGTHS[::-1].copy()):
        be.run(NET, params, x, state, lengths)
        be.pullback(NET, params, x, np.ones((STEPS, ROWS, 2)), None, state, lengths)
    assert be.programs_compiled == 2
    be.run(NET, params, x[:4], state)
    be.run(NET, params, x[:4], state)
    assert be.programs_compiled == 3


@pytest.mark.parametrize("wide", [False, True])
def test_precisions_side_by_side_whatever_the_host_has_enabled(wide, reference):
    params, x, _ = drawn(dtype=np.float64)
    expected = reference.run(NET, params, x).outputs
    with jax.enable_x64(wide):
        for precision, unit in (("f64", 2.0**-53), ("f32", 2.0**-24)):
            be = rnnspec.get_backend("jax", precision=precision)
            outputs = be.run(NET, params, x).outputs
            assert outputs.dtype == {"f64": np.float64, "f32": np.float32}[precision]
            close({"": be.to_numpy(outputs)}, {"": expected}, unit=unit)
        assert jax.config.jax_enable_x64 == wide


def test_a_program_is_the_same_whatever_the_host_has_enabled():
    params, x, _ = drawn(dtype=np.float64)
    be = rnnspec.get_backend("jax")
    for wide in (False, True, False):
        with jax.enable_x64(wide):
            be.run(NET, params, x)
    assert be.programs_compiled == 1


@BOTH
@pytest.mark.parametrize("precision, unit", [("f64", 2.0**-53), ("f32", 2.0**-24), ("bf16", 2.0**-8),
                                             ("f16", 2.0**-11)])  # fmt: skip
def test_every_precision_on_either_path(path, precision, unit, reference):
    params, x, state = drawn(dtype=np.float64)
    be, y = rnnspec.get_backend("jax", precision=precision).through(path), np.full((STEPS, ROWS, 2), 0.5)
    given = [tree_map(lambda a: np.asarray(be.to_numpy(be.asarray(a)), float), each) for each in (params, x, y, state)]
    expected = reference.value_and_grad(NET, *given, LENGTHS)
    step = be.value_and_grad(NET, *given, LENGTHS)
    close(be.to_numpy(step.grads.params), expected.grads.params, unit=unit)
    close(be.to_numpy(step.grads.state), expected.grads.state, unit=unit)
    assert be.to_numpy(step.grads.inputs).dtype == {"f64": np.float64, "f16": np.float16}.get(precision, np.float32)
    assert {what for _, what in be.run(NET, params, x).path} == {path.value}


def test_jax_differentiates_no_policy():
    with pytest.raises(UnsupportedError, match="policy"):
        rnnspec.get_backend("jax").through(Path.FRAMEWORK).pullback(CUT, CUT.init(0), drawn(CUT)[1], np.ones((6, 5, 4)))


@BOTH
def test_a_layer_gives_the_backends_outputs_and_gradients(path):
    be = rnnspec.get_backend("jax").through(path)
    apply = jax.jit(be.as_layer(NET).apply)
    params, x, state = drawn()
    result = be.run(NET, params, x, state, LENGTHS)
    outputs, final = apply(params, x, state, LENGTHS)
    close({"outputs": outputs, "state": final}, {"outputs": result.outputs, "state": result.state})
    y = np.full(outputs.shape, 0.5, np.float32)
    real = (np.arange(STEPS)[:, None] < LENGTHS)[:, :, None]

    def loss(params, x, state):
        return 0.5 * (jnp.where(real, apply(params, x, state, LENGTHS)[0] - y, 0.0) ** 2).sum()

    value, found = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))(params, x, state)
    step = be.value_and_grad(NET, params, x, y, state, LENGTHS)
    close({"": value}, {"": step.loss_sum})
    close(found, (step.grads.params, step.grads.inputs, step.grads.state))


def test_a_layers_gradients_know_policies():
    be = rnnspec.get_backend("jax")
    params, x, state = drawn(CUT)
    apply = be.as_layer(CUT).apply
    found = jax.grad(lambda x: apply(params, x, state)[0][-1].sum())(x)
    assert not np.asarray(found[: STEPS - 4]).any()
    cotangent = np.zeros((STEPS, ROWS, 4), np.float32)
    cotangent[-1] = 1
    close({"": found}, {"": be.pullback(CUT, params, x, cotangent, None, state).inputs})


def test_second_derivatives_agree_and_forward_mode_is_jaxs_own():
    found, params, x = [], *drawn(CURVED)[:2]
    for path in (Path.GENERIC, Path.FRAMEWORK):
        apply = rnnspec.get_backend("jax").through(path).as_layer(CURVED).apply

        def loss(b, x, apply=apply):
            return (apply(params | {"output": params["output"] | {"b": b}}, x, None, LENGTHS)[0] ** 2).sum()

        again = jax.jit(jax.grad(lambda x, loss=loss: (jax.grad(loss, 1)(params["output"]["b"], x) ** 2).sum()))(x)
        found.append({"hessian": jax.jit(jax.hessian(loss))(params["output"]["b"], x), "again": again})
    close(*found)
    forward = jax.jit(lambda b, x: jax.jvp(loss, (b, x), (b * 0, x))[1])
    close({"": forward(params["output"]["b"], x)},
          {"": (jax.jit(jax.grad(loss, 1))(params["output"]["b"], x) * x).sum()})  # fmt: skip
    apply = rnnspec.get_backend("jax").as_layer(CURVED).apply
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: apply(params, x)[0], (x,), (x,))


def test_many_parameters_at_once():
    init, apply = rnnspec.get_backend("jax").as_layer(NET)
    many = jax.jit(jax.vmap(init))(jax.random.split(jax.random.key(0), 3))
    x = drawn()[1]
    grad = jax.grad(lambda p: apply(p, x)[0].sum())
    grads, alone = jax.jit(jax.vmap(grad))(many), jax.jit(grad)
    for i in range(3):
        close(tree_map(lambda a, i=i: a[i], grads), alone(tree_map(lambda a, i=i: a[i], many)))
    close(init(7), NET.init(7))


def test_it_learns_with_optax_in_one_donated_program():
    optax = pytest.importorskip("optax")
    net = Network(1, [Layer(cells.gru, 8)], Last(), Dense(1))
    init, apply = rnnspec.get_backend("jax").as_layer(net)
    x = np.random.default_rng(0).normal(size=(5, 16, 1)).astype(np.float32)
    params, rule = init(0), optax.adam(0.03)

    def loss(params):
        return ((apply(params, x)[0] - x.mean(0)) ** 2).mean()

    def step(params, kept):
        value, grads = jax.value_and_grad(loss)(params)
        changes, kept = rule.update(grads, kept)
        return optax.apply_updates(params, changes), kept, value

    step, kept, first = jax.jit(step, donate_argnums=(0, 1)), rule.init(params), float(loss(params))
    for _ in range(60):
        params, kept, value = step(params, kept)
    assert value < 0.05 * first


@pytest.mark.parametrize("change, error", [
    ({"inputs": np.zeros((STEPS, ROWS, 4), np.float32)}, ShapeError),
    ({"inputs": jnp.zeros((STEPS, ROWS, INPUTS), jnp.float16)}, DtypeError),
    ({"params": {"layers": []}}, TreeError),
    ({"lengths": np.array([7, 0, 0, 0, 0])}, LengthsError),
    ({"lengths": np.zeros(2, int)}, ShapeError),
    ({"lengths": np.zeros(ROWS)}, DtypeError),
], ids=["features", "dtype", "names", "too-long", "too-few", "real-lengths"])  # fmt: skip
def test_what_is_wrong_is_said_when_it_is_traced(change, error):
    apply, (params, x, _) = rnnspec.get_backend("jax").as_layer(NET).apply, drawn()
    given = {"params": params, "inputs": x, "lengths": LENGTHS} | change
    lengths = given.pop("lengths")
    with pytest.raises(error, match=r"jax\.as_layer\.apply"):
        jax.jit(lambda params, inputs: apply(params, inputs, None, lengths))(**given)
    if error in (ShapeError, DtypeError) and "lengths" in change:
        with pytest.raises(error, match=r"jax\.as_layer\.apply"):
            jax.jit(apply)(params, x, None, lengths)


@pytest.mark.parametrize("wide", [False, True])
def test_a_layer_in_64_bits_needs_a_host_that_allows_them(wide):
    init, apply = rnnspec.get_backend("jax", precision="f64").as_layer(NET)
    with jax.enable_x64(wide):
        if wide:
            assert jax.jit(apply)(init(0), drawn(dtype=np.float64)[1])[0].dtype == np.float64
        else:
            with pytest.raises(UnsupportedError, match="jax_enable_x64"):
                apply(NET.init(0), drawn()[1])


def test_a_run_within_a_trace_leaves_no_tracer_behind():
    be, (_, x, _) = rnnspec.get_backend("jax"), drawn()
    net = Network(INPUTS, [Layer(cells.elman, 7)])  # a shape of zeros that no other test has made
    own = net.init(0)

    @jax.jit
    def scaled(w):
        return be.run(net, own, x).outputs.sum() * w

    inside = float(scaled(2.0))
    assert inside == pytest.approx(2 * float(be.run(net, own, x).outputs.sum()), rel=1e-5)


def test_a_layer_runs_segments_again_where_its_backend_does():
    params, x, _ = drawn()

    def gradients(be):
        return jax.jit(jax.grad(lambda p: (be.as_layer(NET).apply(p, x)[0] ** 2).sum()))(params)

    be = rnnspec.get_backend("jax")
    close(gradients(be.recomputing(2)), gradients(be))


def test_a_mean_loss_keeps_its_64_bits_where_jax_is_set_to_32():
    jax = rnnspec.get_backend("jax", precision="f64")
    found = jax.mean_loss(jax.asarray(np.asarray(0.1)), 3)
    assert found.dtype == np.float64
    assert float(found) == 0.1 * (1 / 3)
