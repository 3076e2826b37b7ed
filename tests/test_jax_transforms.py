"""A network within JAX's transformations: shard_map, export with symbols, vmap, checkpoint, a scan around it."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cell, cells, policies
from rnnspec.errors import ShapeError, UnsupportedError
from rnnspec.tree import leaves, tree_map
from tests.workers.jax_launches import devices_of
from tests.workers.launching import launched
from tests.workers.trees import part

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")

STEPS, ROWS, INPUTS = 5, 4, 3
NET = Network(INPUTS, [Layer(cells.elman, 3, "bidirectional"), Layer(cells.lstm, 2, "reverse")], output=Dense(2))
LAST = Network(INPUTS, [Layer(cells.elman, 4, "bidirectional")], Last())
LENGTHS = np.array([5, 3, 0, 1])
HELD = {
    "derived": lambda be: be, "FRAMEWORK": lambda be: be.through(Path.FRAMEWORK), "again": lambda be: be.recomputing(3)
}  # fmt: skip
EACH = pytest.mark.parametrize("held", HELD.values(), ids=HELD)


@cell
def forgetful(x, R, h):
    """Its gradients reach no state, and one map nothing."""
    return x.a + 0 * R.a(x.a)


def drawn(net=NET, rows=ROWS, steps=STEPS):
    rng = np.random.default_rng(0)
    state = tree_map(lambda shape: rng.normal(size=shape).astype(np.float32), net.state_shapes(rows))
    params = tree_map(lambda a: a.astype(np.float32), net.init(0))
    return params, rng.normal(size=(steps, rows, INPUTS)).astype(np.float32), state


def loss_of(apply, scale=1.0):
    def loss(params, x, state, lengths):
        outputs, final = apply(params, x, state, lengths)
        return scale * ((outputs**2).sum() + sum((a**3).sum() for _, a in leaves(final)))

    return loss


def compiled(function):
    """The function as one program, in which LLVM optimises nothing: JAX has done its part by then."""
    return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@cache
def untransformed(net):
    """The outputs and the final state of a network, and its gradients by the derived adjoint, as one program."""
    apply = rnnspec.get_backend("jax").as_layer(net).apply
    gradient = jax.grad(loss_of(apply), (0, 1, 2))
    return compiled(lambda *given: (apply(*given), gradient(*given)))


def alone(net, params, x, state=None, lengths=None):
    """What a network gives by itself: where no state is given, from zeros, and without lengths, of full rows."""
    state = tree_map(lambda shape: np.zeros(shape, np.float32), net.state_shapes(ROWS)) if state is None else state
    return untransformed(net)(params, x, state, np.full(ROWS, STEPS) if lengths is None else lengths)


def near(found, expected):
    found = dict(leaves(found))
    for name, right in leaves(expected):
        np.testing.assert_allclose(found[name], right, rtol=0, atol=2e-6 * max(1, np.abs(right).max(initial=0)),
                                   err_msg=name)  # fmt: skip


@pytest.mark.parametrize("held, net, what", [
    ("derived", NET, "batch"), ("derived", NET, "time"), ("derived", NET, "both"), ("derived", LAST, "both"),
    ("FRAMEWORK", NET, "both"), ("FRAMEWORK", LAST, "both"), ("again", NET, "batch"),
])  # fmt: skip
def test_a_program_is_exported_with_symbols_and_its_gradients(held, net, what):
    apply = HELD[held](rnnspec.get_backend("jax")).as_layer(net).apply
    params, x, _ = drawn(net)
    for lengths in (None, LENGTHS.astype(np.int32)):
        def run(params, x, lengths=None):
            return apply(params, x, None, lengths), jax.grad(loss_of(apply))(params, x, None, lengths)

        given = [params, x] if lengths is None else [params, x, lengths]
        ran, (slopes, *_) = alone(net, params, x, None, lengths)
        near(compiled(exported(run, given, what).call)(*given), (ran, slopes))


def exported(run, given, what):
    """The program of a function whose second argument is inputs, and the third lengths, with sizes that are symbols."""
    n, m = jax.export.symbolic_shape("n, m")
    steps, rows = m if what != "batch" else STEPS, n if what != "time" else ROWS
    params, *data = (jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), part) for part in given)
    shapes = ((steps, rows, INPUTS), (rows,))
    sized = [jax.ShapeDtypeStruct(shape, a.dtype) for shape, a in zip(shapes, data, strict=False)]
    return jax.export.export(jax.jit(run))(params, *sized)


def test_segments_to_be_run_again_need_a_time_that_is_known():
    apply = rnnspec.get_backend("jax").recomputing(2).as_layer(NET).apply
    params, x, _ = drawn()
    with pytest.raises(UnsupportedError, match="time must be known"):
        exported(apply, [params, x], "time")


def test_lengths_that_are_known_are_held_within_a_symbolic_time():
    apply = rnnspec.get_backend("jax").as_layer(NET).apply
    params, x, _ = drawn()
    n, = jax.export.symbolic_shape("n")
    given = jax.ShapeDtypeStruct((n, ROWS, INPUTS), "float32")
    program = jax.export.export(jax.jit(lambda x: apply(params, x, None, LENGTHS + 2)[0]))(given)
    (outputs, _), _ = alone(NET, params, x, None, np.minimum(LENGTHS + 2, STEPS))
    near(compiled(program.call)(x), outputs)
    wrong = jax.ShapeDtypeStruct((n, n, INPUTS), "float32")
    with pytest.raises(ShapeError, match="lengths must have the shape"):
        jax.export.export(jax.jit(lambda x: apply(params, x, None, LENGTHS)[0]))(wrong)
    with pytest.raises(ShapeError, match="3 features"):
        jax.export.export(jax.jit(lambda x: apply(params, x)[0]))(jax.ShapeDtypeStruct((STEPS, ROWS, n), "float32"))


@EACH
def test_many_parameters_inputs_states_and_lengths_at_once(held):
    loss = loss_of(held(rnnspec.get_backend("jax")).as_layer(NET).apply)
    params, x, state = drawn()
    many = [tree_map(lambda a: np.stack([a, a * 2]), part) for part in (params, x, state)]
    lengths = np.stack([LENGTHS, LENGTHS[::-1]])
    gradient = jax.grad(loss, (0, 1, 2))
    found = compiled(jax.vmap(gradient))(*many, lengths)
    for i in range(2):
        each = (tree_map(lambda a, i=i: a[i], part) for part in many)
        near(tree_map(lambda a, i=i: a[i], found), alone(NET, *each, lengths[i])[1])
    over_inputs = compiled(jax.vmap(gradient, (None, 0, None, None)))(params, many[1], state, LENGTHS)
    near(tree_map(lambda a: a[1], over_inputs), alone(NET, params, x * 2, state, LENGTHS)[1])


@EACH
def test_checkpoint_and_a_scan_around_it_change_nothing(held):
    apply = held(rnnspec.get_backend("jax")).as_layer(NET).apply
    params, x, state = drawn()
    given = params, x, state, LENGTHS
    near(compiled(jax.grad(jax.checkpoint(loss_of(apply)), (0, 1, 2)))(*given), alone(NET, *given)[1])

    def carried(params, x, state):
        def body(state, x):
            outputs, final = jax.checkpoint(apply)(params, x, state)
            return final, outputs

        final, outputs = jax.lax.scan(body, state, x)
        return (outputs**2).sum() + sum((a**3).sum() for _, a in leaves(final))

    parts = np.stack([x, x[::-1]])
    near(compiled(jax.grad(carried, (0, 1, 2)))(params, parts, state), written_out()(params, parts, state))


@cache
def written_out():
    """The gradients of calls of the network that go on from each other."""
    apply = rnnspec.get_backend("jax").as_layer(NET).apply

    def loss(params, x, state):
        total = 0.0
        for each in x:
            outputs, state = apply(params, each, state)
            total = total + (outputs**2).sum()
        return total + sum((a**3).sum() for _, a in leaves(state))

    return compiled(jax.grad(loss, (0, 1, 2)))


SHARDED = (NET, Network(INPUTS, [Layer(forgetful, 3), Layer(cells.elman, 2)], Last()),
           Network(INPUTS, [Layer(cells.elman, 3, gradient=policies.Truncated(2))]))  # fmt: skip
POLICY = SHARDED[2]


@pytest.fixture(scope="module")
def sharded():
    """What `jax_rows.py` found in a process that has two devices."""
    (found,) = launched("tests/workers/jax_rows.py", 1, lambda _: devices_of(2), 600)
    return found


@pytest.mark.parametrize("held", HELD)
def test_rows_on_two_devices_have_the_same_gradients(held, sharded):
    for number, net in enumerate(SHARDED):
        if held == "FRAMEWORK" and net is POLICY:
            continue
        params, x, state = drawn(net)
        for lengths, checks, first in ((None, (True,), None), (LENGTHS, (True, False), state)):
            _, expected = alone(net, params, x, first, lengths)
            for checked in checks:
                near(part(sharded, f"{held}.{number}.{lengths is not None}.{checked}"), expected[:2])


def test_parameters_of_numpy_go_over_devices_before_any_other_call(sharded):
    (outputs, final), _ = alone(POLICY, *drawn(POLICY)[:2])
    near(sharded["loss"], (outputs**2).sum() + sum((a**3).sum() for _, a in leaves(final)))
