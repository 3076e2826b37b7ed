"""Segments that are run again in the pullback: the same numbers on every backend, in less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, Path, cells, losses
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.policies import ClipStateByNorm, Cut, Truncated
from rnnspec.tree import leaves

LENGTHS = np.array([11, 0, 5])
POLICIES = {"none": None, "truncated": Truncated(3), "cut": Cut(("c",)), "norm": ClipStateByNorm(0.3, joint=True)}


def network(policy=None):
    layers = [Layer(cells.lstm, hidden=8, direction="bidirectional", gradient=policy),
              Layer(cells.lstm, hidden=4, gradient=policy)]  # fmt: skip
    return Network(2, layers, output=Dense(3), loss=losses.SquaredError())


def case(net, steps=11, rows=3):
    rng = np.random.default_rng(0)
    state = [{h: {s: rng.normal(size=(rows, w)) for s, w in layer.state_widths.items()} for h in layer.halves}
             for layer in net.layers]  # fmt: skip
    return net.init(0), rng.normal(size=(steps, rows, 2)), rng.normal(size=(steps, rows, 3)), state


def numbers(backend, step):
    found = {"loss": step.loss_sum, "state": step.state, "inputs": step.grads.inputs, "first": step.grads.state}
    return dict(leaves(backend.to_numpy(found))), dict(leaves(backend.to_numpy(step.grads.params)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=repr)
@pytest.mark.parametrize("every", [None, 4, 11, 50])
def test_on_numpy_values_and_what_is_no_sum_over_time_are_the_same_bits(every, lengths, policy, open_backend):
    """Gradients of parameters are sums over all time, here of one part for each segment."""
    backend, net = open_backend("numpy", "f64"), network(POLICIES[policy])
    given = (net, *case(net), lengths)
    expected, sums = numbers(backend, backend.value_and_grad(*given))
    found, parts = numbers(backend, backend.recomputing(every).value_and_grad(*given))
    for name, right in expected.items():
        np.testing.assert_array_equal(found[name], right, err_msg=name)
    for name, right in sums.items():
        np.testing.assert_allclose(parts[name], right, rtol=0, atol=1e-14 * np.abs(right).max(), err_msg=name)


@pytest.mark.parametrize(("policy", "lengths"), [("none", None), ("norm", LENGTHS)], ids=repr)
def test_every_backend_gives_the_same(policy, lengths, backend64):
    net = Network(2, [Layer(cells.lstm, hidden=3, direction="reverse", gradient=POLICIES[policy])], output=Dense(3),
                  loss=losses.SquaredError())  # fmt: skip
    given = (net, *case(net), lengths)
    plain, again = (numbers(backend64, be.value_and_grad(*given)) for be in (backend64, backend64.recomputing(4)))
    for right, found in zip(plain, again, strict=True):
        for name, a in right.items():
            np.testing.assert_allclose(found[name], a, rtol=0, atol=1e-13 * np.abs(a).max(initial=1), err_msg=name)


def test_a_cotangent_on_the_final_state_goes_through_all_segments(reference):
    net = Network(2, [Layer(cells.gru, hidden=3)])
    rng = np.random.default_rng(1)
    params, x, state = net.init(0), rng.normal(size=(10, 3, 2)), [{"forward": {"h": rng.normal(size=(3, 3))}}]
    d, last = rng.normal(size=(10, 3, 3)), [{"forward": {"h": rng.normal(size=(3, 3))}}]
    for lengths in (None, np.array([10, 0, 4])):
        plain, again = (be.pullback(net, params, x, d, last, state, lengths) for be in
                        (reference, reference.recomputing(3)))  # fmt: skip
        np.testing.assert_allclose(again.inputs, plain.inputs, rtol=0, atol=1e-14)
        np.testing.assert_allclose(again.state[0]["forward"]["h"], plain.state[0]["forward"]["h"], rtol=0, atol=1e-14)


def test_no_steps_and_no_rows(reference):
    net = network()
    for shape in ((0, 3), (4, 0)):
        step = reference.recomputing().value_and_grad(net, net.init(0), np.zeros((*shape, 2)), np.zeros((*shape, 3)))
        assert (step.count, step.loss_sum) == (0, 0)


def test_a_run_keeps_nothing_and_says_what_ran(open_backend):
    backend, net = open_backend("numpy", "f64"), network()
    params, x, *_ = case(net)
    assert backend.recomputing(4).run(net, params, x).path == backend.run(net, params, x).path


def test_memory_at_4096_steps_is_at_most_a_quarter():
    """What NumPy allocates at its peak, loss and gradients of one layer."""
    net = Network(2, [Layer(cells.lstm, hidden=8)], Last(), loss=losses.SquaredError())
    given = (net, net.init(0), np.random.default_rng(0).normal(size=(4096, 2, 2)), np.zeros((2, 8)))
    peaks = []
    for again in (False, True):
        backend = rnnspec.get_backend("numpy", precision="f64")
        backend = backend.recomputing() if again else backend
        backend.value_and_grad(net, given[1], given[2][:3], given[3])
        tracemalloc.start()
        backend.value_and_grad(*given)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] <= peaks[0] / 4


def test_it_goes_with_a_path_and_one_backend_is_kept(reference):
    held = reference.through(Path.GENERIC).recomputing(3)
    assert held.path is Path.GENERIC
    assert held.recomputing(3).through(Path.GENERIC) is held.through(Path.GENERIC)
    assert reference.recomputing(3) is reference.recomputing(3)
    assert reference.recomputing(3) is not reference.recomputing(4)
    assert not reference.recomputes


def test_training_goes_on_by_it(backend64):
    net = Network(2, [Layer(cells.elman, hidden=3)], loss=losses.SquaredError())
    params, x, y, state = case(net)
    rule = rnnspec.updates.SGD(0.1)
    one, other = (dict(leaves(backend64.to_numpy(be.train_step(net, rule, params, (), x, y, state).params)))
                  for be in (backend64, backend64.recomputing(4)))  # fmt: skip
    for name, w in one.items():
        np.testing.assert_allclose(other[name], w, rtol=0, atol=1e-13)


@pytest.mark.parametrize("every", [0, -1, 2.0, True, "4"], ids=repr)
def test_a_wrong_length_is_refused(every, reference):
    with pytest.raises(ArgumentError, match="every"):
        reference.recomputing(every)


def test_a_framework_s_own_differentiation_keeps_what_it_keeps(open_backend):
    backend = open_backend("torch", "f64")
    with pytest.raises(UnsupportedError, match="adjoint"):
        backend.through(Path.FRAMEWORK).recomputing()
    with pytest.raises(UnsupportedError, match="adjoint"):
        backend.recomputing().through(Path.FRAMEWORK)
