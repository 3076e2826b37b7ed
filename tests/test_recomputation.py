"""Segments that are run again in the pullback: the same numbers on every backend, in less memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import rnnspec
from backends.numpy_backend.backend import NumpyBackend
from backends.numpy_backend.segments import Segments
from conformance.cases import Case
from conformance.judge import Failure, Judge
from conformance.properties.calls.again import long_again
from conformance.properties.truncation import CutAndClip
from rnnspec import Dense, Last, Layer, Network, Path, cell, cells, losses
from rnnspec.errors import ArgumentError, UnsupportedError
from rnnspec.policies import ClipStateByNorm, Cut, Truncated
from rnnspec.primitives import tanh
from rnnspec.running import stack
from rnnspec.running.recomputation import Recomputing
from rnnspec.tree import leaves, tree_map

LENGTHS = np.array([11, 0, 5])
POLICIES = {"none": None, "truncated": Truncated(3), "cut": Cut(("c",)), "norm": ClipStateByNorm(0.3, joint=True)}


def network(policy=None):
    layers = [Layer(cells.lstm, hidden=8, direction="bidirectional", gradient=policy),
              Layer(cells.lstm, hidden=4, gradient=policy)]  # fmt: skip
    return Network(2, layers, output=Dense(3), loss=losses.SquaredError())


PULLED = Segments.pulled


def case(net, steps=11, rows=3):
    rng = np.random.default_rng(0)
    state = [{h: {s: rng.normal(size=(rows, w)) for s, w in layer.state_sizes.items()} for h in layer.halves}
             for layer in net.layers]  # fmt: skip
    return net.init(0), rng.normal(size=(steps, rows, 2)), rng.normal(size=(steps, rows, 3)), state


def numbers(backend, step):
    found = {"loss": step.loss_sum, "state": step.state, "inputs": step.grads.inputs, "first": step.grads.state}
    return dict(leaves(backend.to_numpy(found))), dict(leaves(backend.to_numpy(step.grads.params)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("lengths", [None, 9 * LENGTHS], ids=repr)
@pytest.mark.parametrize("every", [None, 4, 500])
def test_on_numpy_everything_is_the_same_bits(every, lengths, policy, open_backend):
    """Three rows are computed in blocks of 64 steps: two segments, or one."""
    backend, net = open_backend("numpy", "f64"), network(POLICIES[policy])
    given = (net, *case(net, steps=99), lengths)
    plain, again = (numbers(be, be.value_and_grad(*given)) for be in (backend, backend.recomputing(every)))
    for expected, found in zip(plain, again, strict=True):
        for name, right in expected.items():
            np.testing.assert_array_equal(found[name], right, err_msg=name)


@pytest.mark.parametrize("cell", [cells.lstm_peephole, cells.gru, cells.elman], ids=lambda cell: cell.name)
@pytest.mark.parametrize(("precision", "inputs", "hidden", "rows", "steps"), [
    ("f32", 4, 8, 1, 300), ("f64", 4, 8, 2, 4096), ("f32", 300, 20, 5, 70), ("f64", 5, 300, 16, 70),
    ("f32", 1, 1, 1, 130),
])  # fmt: skip
def test_on_numpy_bits_are_the_same_where_products_are_computed_otherwise(
    cell, precision, inputs, hidden, rows, steps, open_backend
):
    """One row, or many terms in a sum: a product's bits depend on its size, so blocks are the same in every run."""
    backend, net = open_backend("numpy", precision), Network(inputs, [Layer(cell, hidden)])
    rng = np.random.default_rng(2)
    given = (net, net.init(0), rng.normal(size=(steps, rows, inputs)), rng.normal(size=(steps, rows, hidden)))
    for lengths in (None, rng.integers(0, steps + 1, rows)):
        plain, again = (be.pullback(*given, lengths=lengths) for be in (backend, backend.recomputing()))
        found = dict(leaves(vars(again)))
        for name, right in leaves(vars(plain)):
            np.testing.assert_array_equal(found[name], right, err_msg=name)


class OwnPullback(NumpyBackend):
    """A pullback by the contract, which has no sums to go on from."""

    def layer_pullback(self, cell, params, result, output_cotangent, state_cotangent, call):
        return super().layer_pullback(cell, params, result, output_cotangent, state_cotangent, call)


def test_a_pullback_of_ones_own_on_numpy_is_run_again_too():
    backend, net = OwnPullback(precision="f64"), network(POLICIES["norm"])
    given = (net, *case(net, steps=99), 9 * LENGTHS)
    plain, again = (numbers(be, be.value_and_grad(*given)) for be in (backend, backend.recomputing(20)))
    for expected, found in zip(plain, again, strict=True):
        for name, right in expected.items():
            np.testing.assert_allclose(found[name], right, rtol=0, atol=1e-13 * np.abs(right).max(initial=1))


def test_a_segment_is_whole_blocks_on_numpy(open_backend):
    backend, net = open_backend("numpy", "f64").recomputing(20), Network(2, [Layer(cells.elman, hidden=3)])
    params, x = net.init(0), np.zeros((100, 4, 2))
    ran = stack.forward(backend, net, params, x, [{"forward": {"h": np.zeros((4, 3))}}], None, pullback=True)[2]
    assert ran.halves[0]["forward"].result.path == "planned, run again every 64 steps"


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
    for sparing in (False, True):
        backend = rnnspec.get_backend("numpy", precision="f64")
        backend = backend.recomputing() if sparing else backend
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


def _acts_nowhere(segments, edge, cotangents, first, lengths, resets):
    return cotangents


def _acts_on_ended_rows(segments, edge, cotangents, first, lengths, resets):
    return Recomputing._passed(segments, edge, cotangents, first, None, resets)


def _forgets_sums(segments, *asked):
    *rest, sums = asked
    return PULLED(segments, *rest, tree_map(np.zeros_like, sums))


@pytest.mark.parametrize(("method", "faulty"), [
    ("_passed", _acts_nowhere), ("_passed", _acts_on_ended_rows), ("pulled", _forgets_sums),
    ("left", lambda segments, lengths, first, steps: lengths),
])  # fmt: skip
def test_the_suite_runs_more_than_one_of_numpys_segments(method, faulty, monkeypatch, open_backend):
    monkeypatch.setattr(Segments, method, faulty)
    layers = [Layer(cells.elman, 4, "reverse", CutAndClip(4, 0.3)), Layer(cells.gru, 4, gradient=CutAndClip(5, 0.3))]
    case = Case(Network(3, layers), steps=70, batch=5, lengths=(70, 30, 0, 50, 64))
    backend = open_backend("numpy", "f64")
    with pytest.raises(Failure, match="segments of"):
        long_again(backend, case, Judge(backend))


@pytest.mark.parametrize("declared", [
    cell(lambda x, R, inputs: tanh(x.n + R.n(inputs))), cell(lambda x, R, outputs: tanh(x.n + R.n(outputs))),
], ids=["inputs", "outputs"])  # fmt: skip
def test_a_state_may_have_any_name(declared, reference):
    net, rng = Network(2, [Layer(declared, 2)]), np.random.default_rng(0)
    given = net, net.init(0), rng.normal(size=(6, 2, 2)), rng.normal(size=(6, 2, 2))
    expected = dict(leaves(reference.pullback(*given).params))
    for place, found in leaves(reference.recomputing(3).pullback(*given).params):
        np.testing.assert_allclose(found, expected[place], 1e-12, err_msg=place)
