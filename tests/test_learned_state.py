"""Initial states that are learned: where they are used, and their gradients."""

import numpy as np
import pytest

from conformance import oracle
from conformance.cases import Case
from rnnspec import (
    Dense,
    Embedding,
    Last,
    Layer,
    Network,
    Path,
    Tied,
    Windows,
    cells,
    errors,
    get_backend,
    gradient_flow,
    losses,
    policies,
    updates,
)
from rnnspec.initialisers import Normal
from rnnspec.storage import from_json, to_json
from rnnspec.tree import leaves

NAMES = ("numpy", "torch", "jax", "tensorflow")
ENDS = (6, 0, 3, 5)
PLAIN = Network(3, [Layer(cells.elman, 4, learned_state=True)], loss=losses.SquaredError())
DEEP = Network(3, [Layer(cells.lstm, 4, "bidirectional", learned_state=True), Layer(cells.gru, 3),
                   Layer(cells.elman, 2, "reverse", policies.Truncated(2), learned_state=True)], Last(), Dense(2),
               losses.SquaredError())  # fmt: skip
HEADS = Network(4, [Layer(cells.gla, {"S.rows": 3, "S.columns": 2}, heads=2, learned_state=True),
                    Layer(cells.mingru, 3, learned_state=True)], loss=losses.SquaredError())  # fmt: skip
WORDS = Network(Embedding(5, 4), [Layer(cells.lstm, 4, learned_state=True)], output=Tied(),
                loss=losses.SoftmaxCrossEntropy())  # fmt: skip


def near(tree, expected, tolerance=1e-10):
    wanted, found = dict(leaves(expected)), dict(leaves(tree))
    assert found.keys() == wanted.keys()
    for name, a in found.items():
        np.testing.assert_allclose(a, wanted[name][0], rtol=tolerance, atol=tolerance, err_msg=name)


def like(tree, other):
    wanted, found = dict(leaves(other)), dict(leaves(tree))
    assert found.keys() == wanted.keys()
    for name, a in found.items():
        np.testing.assert_allclose(a, wanted[name], rtol=1e-10, atol=1e-10, err_msg=name)


def learned(params):
    return params["layers"][0]["forward"]["initial"]


@pytest.mark.parametrize("name, net", [*((name, PLAIN) for name in NAMES), *((name, net) for name in NAMES[:2]
                                         for net in (DEEP, HEADS, WORDS))])  # fmt: skip
def test_gradients_equal_the_oracle_s(name, net):
    be = get_backend(name, precision="f64")
    a = Case(net, 6, 4, ENDS, seed=3, padding=np.nan, resets=0.3).arrays()
    compiled = name in NAMES[2:]
    for resets in (a.resets,) if compiled else (None, a.resets):
        for state in (None,) if compiled else (None, a.state):
            given = a.params, a.inputs, a.targets, state, a.lengths
            found = be.value_and_grad(net, *given, resets)
            expected = oracle.value_and_grad(net, *given, resets=resets)
            near(be.to_numpy(found.grads.params), expected.grads.params)
            near(be.to_numpy(found.grads.state), expected.grads.state)
            near(be.to_numpy(found.state), expected.state)


def test_a_framework_s_own_gradient_is_that_of_the_adjoint():
    be = get_backend("torch", precision="f64")
    for net in (PLAIN, HEADS, WORDS):
        a = Case(net, 6, 4, ENDS, seed=4, resets=0.3).arrays()
        given = net, a.params, a.inputs, a.targets, None, a.lengths, a.resets
        found = be.through(Path.FRAMEWORK).value_and_grad(*given)
        like(be.to_numpy(found.grads.params), be.to_numpy(be.value_and_grad(*given).grads.params))


def test_a_given_state_leaves_learned_ones_out():
    be, a = get_backend("numpy", precision="f64"), Case(PLAIN, 6, 4, ENDS, seed=5).arrays()
    grads = be.value_and_grad(PLAIN, a.params, a.inputs, a.targets, a.state, a.lengths).grads
    assert not learned(grads.params)["h"].any()
    own = {"layers": [{"forward": {k: v for k, v in a.params["layers"][0]["forward"].items() if k != "initial"}}]}
    plain = Network(3, [Layer(cells.elman, 4)], loss=PLAIN.loss)
    same = be.run(plain, own, a.inputs, a.state, a.lengths).outputs
    np.testing.assert_array_equal(be.run(PLAIN, a.params, a.inputs, a.state, a.lengths).outputs, same)


def test_segments_windows_and_training_begin_with_the_learned_state():
    be, net = get_backend("numpy", precision="f64"), PLAIN
    a = Case(net, 6, 4, ENDS, seed=6, resets=0.3).arrays()
    given = net, a.params, a.inputs, a.targets, None, a.lengths, a.resets
    step = be.value_and_grad(*given)
    like(be.recomputing(2).value_and_grad(*given).grads.params, step.grads.params)
    like(Windows(6, 6).value_and_grad(be, *given).grads.params, step.grads.params)
    parts = [Windows(3, 6).value_and_grad(be, *given).grads.params for _ in range(2)]
    like(parts[0], step.grads.params)
    rule = updates.SGD(0.1)
    trained = be.train_step(net, rule, a.params, rule.init(a.params), *given[2:])
    expected = learned(a.params)["h"] - 0.1 * learned(step.grads.params)["h"] / step.count
    np.testing.assert_allclose(learned(trained.params)["h"], expected)


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_stream_begins_with_the_learned_state(name):
    be = get_backend(name, precision="f64")
    for net in (PLAIN, HEADS, WORDS):
        a = Case(net, 6, 4, (6,) * 4, seed=7).arrays()
        x = a.inputs[:, [0, 0, 0]]
        expected, bound = be.to_numpy(be.run(net, a.params, x).outputs), be.bound(net, a.params)
        np.testing.assert_allclose(be.to_numpy(bound.run(x).outputs), expected, atol=1e-12)
        for _ in range(2):
            for t in range(3):
                np.testing.assert_allclose(be.to_numpy(bound.step(x[t])), expected[t], atol=1e-12)
            bound.reset()
        bound.step(x[0])
        bound.reset(np.array([True, False, True]))
        found = be.to_numpy(bound.step(np.array([x[0, 0], x[1, 0], x[0, 0]])))
        np.testing.assert_allclose(found, [expected[0, 0], expected[1, 0], expected[0, 0]], atol=1e-12)
        assert be.to_numpy(bound.stream().step(x[0]))[0] == pytest.approx(expected[0, 0])


def test_no_other_kernel_runs_resets_that_begin_with_learned_states():
    be = get_backend("numpy", precision="f64")
    a = Case(HEADS, 6, 4, ENDS, seed=8, resets=0.3).arrays()
    assert be.through(Path.PARALLEL).run(HEADS, a.params, a.inputs).path[0][1].startswith("parallel")
    with pytest.raises(errors.UnsupportedError, match="resets that begin with learned states"):
        be.through(Path.PARALLEL).run(HEADS, a.params, a.inputs, resets=a.resets)


def test_the_gradient_flow_knows_learned_states():
    be, net = get_backend("numpy", precision="f64"), PLAIN
    a = Case(net, 6, 4, ENDS, seed=9).arrays()
    first = [{"forward": {"h": np.tile(learned(a.params)["h"], (4, 1))}}]
    given = net, a.params, a.inputs, a.targets
    assert str(gradient_flow(be, *given, None, a.lengths)) == str(gradient_flow(be, *given, first, a.lengths))
    gradient_flow(be, *given, None, a.lengths, Case(net, 6, 4, seed=9, resets=0.3).arrays().resets)


def test_initial_values_files_and_what_is_refused():
    assert not learned(PLAIN.init(0))["h"].any()
    layer = Layer(cells.lstm, 4, initial={"initial.c": Normal(1.0)}, learned_state=True)
    drawn = learned(Network(3, [layer]).init(0))
    assert drawn["c"].any() and not drawn["h"].any()
    assert from_json(to_json(DEEP)) == DEEP
    assert Layer(cells.elman, 4) != Layer(cells.elman, 4, learned_state=True)
    for wrong in (lambda: Layer(cells.elman, 4, learned_state=1), lambda: Layer(cells.dense, 4, learned_state=True),
                  lambda: Layer(cells.elman, 4, initial={"initial": Normal()})):  # fmt: skip
        with pytest.raises(errors.NetworkError):
            wrong()
