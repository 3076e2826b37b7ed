"""Truncated backpropagation with two lengths: the sum of its windows, by themselves, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from conformance import oracle
from rnnspec import Dense, Last, Layer, Network, Windows, cells, losses
from rnnspec.errors import NetworkError, RnnSpecError, ShapeError
from rnnspec.policies import ClipStateByNorm, Cut, Truncated
from rnnspec.tree import leaves, tree_map

ROUNDINGS = {"f64": 1e-13, "f32": 2e-5}


def network(read=None, gradient=None):
    layers = [Layer(cells.lstm, hidden=4, gradient=gradient), Layer(cells.gru, hidden=3, gradient=gradient)]
    more = {} if read is None else {"read": read}
    return Network(inputs=2, layers=layers, output=Dense(2), loss=losses.SquaredError(), **more)


def case(net, steps, rows=3, seed=0):
    rng = np.random.default_rng(seed)
    widths = [layer.state_sizes for layer in net.layers]
    state = [{"forward": {s: rng.normal(size=(rows, w)) for s, w in own.items()}} for own in widths]
    shape = (rows, 2) if isinstance(net.read, Last) else (steps, rows, 2)
    return net.init(seed), rng.normal(size=(steps, rows, 2)), rng.normal(size=shape), state


def brute(net, windows, params, x, y, state, lengths):
    """Of each chunk the oracle's gradient over its window, less that of the losses before the chunk."""
    ends = np.full(x.shape[1], len(x)) if lengths is None else np.asarray(lengths)
    whole, inputs, first = None, np.zeros(x.shape), tree_map(np.zeros_like, state)
    for far, begin, end in windows.of(len(x)):
        at = oracle.run(net, params, x[:far], state, np.clip(ends, 0, far)).state if far else None
        start = tree_map(lambda a: a[0], at) if far else state
        for stop, sign in ((end, 1.0), (begin, -1.0)):
            if stop > far:
                here = np.clip(ends - far, 0, stop - far)
                step = oracle.value_and_grad(net, params, x[far:stop], y[far:stop], start, here)
                part = tree_map(lambda g, sign=sign: sign * g[0], step.grads.params)
                whole = part if whole is None else tree_map(np.add, whole, part)
                inputs[far:stop] += sign * step.grads.inputs[0]
                if far == 0:
                    first = tree_map(lambda a, b, sign=sign: a + sign * b[0], first, step.grads.state)
    return whole, inputs, first


def assert_near(backend, found, expected):
    found = dict(leaves(backend.to_numpy(found)))
    for name, right in leaves(expected):
        allowed = ROUNDINGS[backend.precision] * np.abs(right).max(initial=1e-2)
        np.testing.assert_allclose(found[name], right, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize(("every", "back"), [(1, 1), (1, 4), (2, 2), (2, 3), (3, 7), (4, 8), (7, 7), (9, 9), (3, 20)])
@pytest.mark.parametrize("lengths", [None, (7, 0, 4)], ids=repr)
def test_it_is_the_sum_of_its_windows(every, back, lengths, reference):
    net, windows = network(), Windows(every, back)
    params, x, y, state = case(net, 7)
    step = windows.value_and_grad(reference, net, params, x, y, state, None if lengths is None else np.array(lengths))
    own, inputs, first = brute(net, windows, params, x, y, state, lengths)
    assert_near(reference, step.grads.params, own)
    assert_near(reference, step.grads.inputs, inputs)
    assert_near(reference, step.grads.state, first)
    plain = reference.value_and_grad(net, params, x, y, state, None if lengths is None else np.array(lengths))
    assert step.count == plain.count
    np.testing.assert_allclose(step.loss_sum, plain.loss_sum, rtol=1e-14)
    assert_near(reference, step.state, plain.state)


def test_every_backend_gives_the_same(backend):
    net, windows, lengths = network(), Windows(2, 5), (7, 0, 4)
    params, x, y, state = case(net, 7)
    step = windows.value_and_grad(backend, net, params, x, y, state, np.array(lengths))
    own, inputs, first = brute(net, windows, params, x, y, state, lengths)
    for found, expected in ((step.grads.params, own), (step.grads.inputs, inputs), (step.grads.state, first)):
        assert_near(backend, found, expected)
    assert backend.is_own(step.grads.inputs)
    assert backend.own_dtype(step.grads.inputs) == backend.own_dtype(step.loss_sum)


def test_a_backend_s_own_arrays_serve(backend):
    net, windows, lengths = network(), Windows(2, 5), np.array([7, 0, 4])
    params, x, y, state = case(net, 7)
    hosted = windows.value_and_grad(backend, net, params, x, y, state, lengths)
    owned = windows.value_and_grad(backend, net, *(backend.asarray(a) for a in (params, x, y, state)), lengths)
    assert_near(backend, owned.grads.params, tree_map(np.asarray, backend.to_numpy(hosted.grads.params)))


@pytest.mark.parametrize("lengths", [None, (7, 0, 4)], ids=repr)
@pytest.mark.parametrize(("every", "back"), [(7, 7), (8, 30), (2, 8), (1, 7)])
def test_windows_that_reach_back_to_the_start_are_whole_backpropagation(every, back, lengths, reference):
    net = network()
    params, x, y, state = case(net, 7)
    given = (net, params, x, y, state, None if lengths is None else np.array(lengths))
    assert_near(reference, Windows(every, back).value_and_grad(reference, *given).grads.params,
                reference.value_and_grad(*given).grads.params)  # fmt: skip


@pytest.mark.parametrize("lengths", [None, (7, 0, 4)], ids=repr)
@pytest.mark.parametrize("k", [1, 2, 3, 7, 10])
def test_two_equal_lengths_are_truncation(k, lengths, reference):
    params, x, y, state = case(network(), 7)
    given = (params, x, y, state, None if lengths is None else np.array(lengths))
    found = Windows(k, k).value_and_grad(reference, network(), *given)
    expected = reference.value_and_grad(network(gradient=Truncated(k)), *given)
    assert_near(reference, found.grads.params, expected.grads.params)
    assert_near(reference, found.grads.inputs, expected.grads.inputs)
    assert_near(reference, found.grads.state, expected.grads.state)


def test_with_the_last_step_read_what_is_outside_its_window_has_the_gradient_zero(backend64):
    net, ends = network(Last()), np.array([9, 0, 5])
    params, x, y, state = case(net, 9)
    step = Windows(2, 3).value_and_grad(backend64, net, params, x, y, state, ends)
    whole = backend64.value_and_grad(net, params, x, y, state, ends)
    assert step.count == whole.count
    assert_near(backend64, step.state, backend64.to_numpy(whole.state))
    np.testing.assert_allclose(backend64.to_numpy(step.loss_sum), backend64.to_numpy(whole.loss_sum), rtol=1e-13)
    found, full = (np.asarray(backend64.to_numpy(each.grads.inputs)) for each in (step, whole))
    for row, end in enumerate(ends):
        far = max(0, -(-int(end) // 2) * 2 - 3)
        np.testing.assert_array_equal(found[:far, row], 0)
        np.testing.assert_allclose(found[far:, row], full[far:, row], rtol=0, atol=1e-13)


def test_padding_changes_nothing(reference):
    net, windows = network(), Windows(2, 3)
    params, x, y, state = case(net, 7)
    lengths = np.array([7, 0, 4])
    padded = [np.concatenate([a, np.full((4, *a.shape[1:]), np.nan)]) for a in (x, y)]
    one = windows.value_and_grad(reference, net, params, x, y, state, lengths)
    other = windows.value_and_grad(reference, net, params, *padded, state, lengths)
    for name, right in leaves(one.grads.params):
        np.testing.assert_allclose(dict(leaves(other.grads.params))[name], right, rtol=0, atol=1e-14)


def test_clipping_inside_the_recurrence_goes_through_windows(reference):
    net = network(gradient=ClipStateByNorm(0.05))
    params, x, y, state = case(net, 7)
    step = Windows(2, 8).value_and_grad(reference, net, params, x, y, state)
    assert np.isfinite(step.loss_sum)


def test_no_steps_and_no_rows(reference):
    net = network()
    params = net.init(0)
    for shape in ((0, 3), (4, 0)):
        step = Windows(2, 3).value_and_grad(reference, net, params, np.zeros((*shape, 2)), np.zeros((*shape, 2)))
        assert (step.count, step.loss_sum) == (0, 0)


@pytest.mark.parametrize(("every", "back"), [(0, 1), (2, 1), (1.0, 2), (True, 2), (1, None)], ids=repr)
def test_wrong_lengths_are_refused(every, back):
    with pytest.raises(NetworkError, match="whole number"):
        Windows(every, back)


@pytest.mark.parametrize("layer", [Layer(cells.elman, hidden=2, direction="reverse"),
                                   Layer(cells.elman, hidden=2, direction="bidirectional"),
                                   Layer(cells.elman, hidden=2, gradient=Truncated(2)),
                                   Layer(cells.elman, hidden=2, gradient=Cut())], ids=str)  # fmt: skip
def test_networks_that_windows_do_not_suit_are_refused(layer, reference):
    net = Network(2, [layer], loss=losses.SquaredError())
    with pytest.raises(NetworkError, match="Windows"):
        Windows(2, 3).value_and_grad(reference, net, net.init(0), np.zeros((4, 1, 2)), np.zeros((4, 1, layer.width)))


def test_arguments_are_checked_whole_before_anything_runs(reference):
    net = network()
    params, x, y, state = case(net, 7)
    with pytest.raises(ShapeError):
        Windows(2, 3).value_and_grad(reference, net, params, x, y[:-1], state)
    with pytest.raises(RnnSpecError):
        Windows(2, 3).value_and_grad(reference, net, params, x, y, state, np.array([8, 0, 0]))
    with pytest.raises(RnnSpecError):
        Windows(2, 3).value_and_grad(reference, "net", params, x, y, state)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int8])
def test_lengths_of_every_whole_kind_are_the_same(dtype, reference):
    net, rng = Network(3, [Layer(cells.gru, 3)], loss=losses.SquaredError()), np.random.default_rng(0)
    x, y = rng.normal(size=(8, 3, 3)), rng.normal(size=(8, 3, 3))
    lengths = np.array([2, 5, 8])
    expected, found = (Windows(2, 4).value_and_grad(reference, net, net.init(0), x, y, lengths=ends)
                       for ends in (lengths, lengths.astype(dtype)))  # fmt: skip
    assert found.count == expected.count == 15
    assert found.loss_sum == expected.loss_sum
