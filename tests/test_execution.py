"""What stands around a layer: nothing to run, rows without a step, states in and out, cotangents on the final state."""

from __future__ import annotations

import numpy as np
import pytest

from rnnspec import Dense, Last, Layer, Network, Steps, cells, losses
from rnnspec.tree import leaves, tree_map
from rnnspec.updates import Adam

LAYERS = [Layer(cells.lstm, hidden=3, direction="bidirectional"), Layer(cells.gru, hidden=2, direction="reverse")]


def network(read=Steps(), output=Dense(4), loss=None):  # noqa: B008
    return Network(inputs=2, layers=LAYERS, read=read, output=output, loss=loss)


def drawn(steps, batch, seed=0):
    net, rng = network(), np.random.default_rng(seed)
    params = net.init(0)
    state = [{half: {n: rng.normal(size=s) for n, s in named.items()} for half, named in halves.items()}
             for halves in net.state_shapes(batch)]  # fmt: skip
    return net, params, rng.normal(size=(steps, batch, 2)), state, rng


def same(one, other, atol=0.0):
    found = dict(leaves(other))
    for name, array in leaves(one):
        np.testing.assert_allclose(array, found[name], rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("read", [Steps(), Last()], ids=["steps", "last"])
@pytest.mark.parametrize("output", [None, Dense(4)], ids=["bare", "dense"])
@pytest.mark.parametrize(("steps", "batch"), [(0, 3), (4, 0), (0, 0)])
def test_nothing_to_run(steps, batch, read, output, reference):
    net = network(read, output)
    _, _, inputs, state, _ = drawn(steps, batch)
    params = net.init(0)
    result = reference.run(net, params, inputs, state)
    shape = (batch, net.features) if read == Last() else (steps, batch, net.features)
    assert result.outputs.shape == shape
    assert not result.outputs.any()
    same(state, result.state)
    final = tree_map(lambda a: a + 1, state)
    found = reference.pullback(net, params, inputs, np.ones(shape), final)
    same(final, found.state)
    assert found.inputs.shape == inputs.shape
    assert not any(a.any() for _, a in leaves(found.params))
    assert dict(leaves(found.params)).keys() == dict(leaves(params)).keys()


@pytest.mark.parametrize("read", [Steps(), Last()], ids=["steps", "last"])
def test_a_row_of_length_zero(read, reference):
    """It gives back its state, reads zeros, and pulls back nothing but its own state's cotangent."""
    net = network(read)
    _, params, inputs, state, rng = drawn(4, 3)
    inputs[:, 1] = np.nan
    lengths = np.array([4, 0, 2])
    result = reference.run(net, params, inputs, state, lengths)
    assert not result.outputs[..., 1, :].any()
    final = tree_map(lambda a: rng.normal(size=a.shape), state)
    found = reference.pullback(net, params, inputs, rng.normal(size=result.outputs.shape), final, state, lengths)
    assert not found.inputs[:, 1].any()
    for (name, before), (_, after), (_, cotangent), (_, pulled) in zip(
        *map(leaves, (state, result.state, final, found.state)), strict=True
    ):
        np.testing.assert_array_equal(before[1], after[1], err_msg=name)
        np.testing.assert_array_equal(cotangent[1], pulled[1], err_msg=name)
    assert all(np.isfinite(a).all() for _, a in leaves(found.params))


def test_rows_do_not_know_of_each_other(reference):
    net, params, inputs, state, _ = drawn(5, 4)
    lengths = np.array([5, 0, 3, 1])
    whole = reference.run(net, params, inputs, state, lengths)
    for row in range(4):
        part = tree_map(lambda a, row=row: a[row : row + 1], state)
        alone = reference.run(net, params, inputs[: max(lengths[row], 1), row : row + 1], part, lengths[row : row + 1])
        np.testing.assert_allclose(
            whole.outputs[: lengths[row], row], alone.outputs[: lengths[row], 0], rtol=0, atol=1e-14
        )
        same(tree_map(lambda a, row=row: a[row : row + 1], whole.state), alone.state, 1e-14)


def test_what_came_out_goes_in_again(reference):
    net = Network(2, [Layer(cells.lstm, 3), Layer(cells.gru, 2)])
    inputs = np.random.default_rng(0).normal(size=(7, 3, 2))
    params = net.init(0)
    whole = reference.run(net, params, inputs)
    first = reference.run(net, params, inputs[:3])
    second = reference.run(net, params, inputs[3:], first.state)
    np.testing.assert_allclose(np.concatenate([first.outputs, second.outputs]), whole.outputs, rtol=0, atol=1e-15)
    same(whole.state, second.state, 1e-15)


def test_a_cotangent_on_one_element_of_the_final_state(reference):
    """Against a difference of that element alone."""
    net, params, inputs, state, _ = drawn(4, 2)
    final = tree_map(np.zeros_like, state)
    final[0]["reverse"]["c"][1, 2] = 1.0
    lengths = np.array([4, 2])
    found = reference.pullback(net, params, inputs, np.zeros((4, 2, 4)), final, state, lengths)

    def element(shift):
        moved = inputs.copy()
        moved[1, 1, 0] += shift
        return reference.run(net, params, moved, state, lengths).state[0]["reverse"]["c"][1, 2]

    assert found.inputs[1, 1, 0] == pytest.approx((element(1e-5) - element(-1e-5)) / 2e-5, abs=1e-9)
    assert found.inputs[1, 1, 0] != 0
    assert not found.inputs[:, 0].any()
    assert not any(a.any() for _, a in leaves(found.params["layers"][1]))


def test_cotangents_at_padded_steps_are_ignored(reference):
    net, params, inputs, state, rng = drawn(4, 3)
    lengths = np.array([4, 0, 2])
    cotangent = rng.normal(size=(4, 3, 4))
    spoilt = np.where(np.arange(4)[:, None, None] >= lengths[:, None], np.nan, cotangent)
    clean, dirty = (reference.pullback(net, params, inputs, c, None, state, lengths) for c in (cotangent, spoilt))
    same(clean.params, dirty.params)
    np.testing.assert_array_equal(clean.inputs, dirty.inputs)


@pytest.mark.parametrize("read", [Steps(), Last()], ids=["steps", "last"])
def test_full_lengths_are_no_lengths(read, reference):
    net = network(read)
    _, params, inputs, state, _ = drawn(4, 3)
    given, none = (reference.run(net, params, inputs, state, lengths) for lengths in (np.full(3, 4), None))
    np.testing.assert_allclose(given.outputs, none.outputs, rtol=0, atol=1e-15)
    same(given.state, none.state, 1e-15)


def test_a_reverse_layer_is_a_forward_layer_of_the_reversed_rows(reference):
    net, back = (Network(2, [Layer(cells.lstm, 3, direction)]) for direction in ("forward", "reverse"))
    params = net.init(0)
    turned = {"layers": [{"reverse": params["layers"][0]["forward"]}]}
    inputs, lengths = np.random.default_rng(0).normal(size=(5, 3, 2)), np.array([5, 2, 0])
    reversed_rows = inputs.copy()
    for row, n in enumerate(lengths):
        reversed_rows[:n, row] = inputs[:n, row][::-1]
    forward = reference.run(net, params, reversed_rows, lengths=lengths)
    reverse = reference.run(back, turned, inputs, lengths=lengths)
    for row, n in enumerate(lengths):
        np.testing.assert_allclose(reverse.outputs[:n, row], forward.outputs[:n, row][::-1], rtol=0, atol=1e-15)
    same(forward.state[0]["forward"], reverse.state[0]["reverse"], 1e-15)


def test_last_reads_each_half_where_it_ended(reference):
    layers = [Layer(cells.elman, 3, "bidirectional")]
    inputs, lengths = np.random.default_rng(0).normal(size=(5, 3, 2)), np.array([5, 2, 0])
    steps, last = (Network(2, layers, read=read) for read in (Steps(), Last()))
    every = reference.run(steps, steps.init(0), inputs, lengths=lengths).outputs
    read = reference.run(last, last.init(0), inputs, lengths=lengths).outputs
    for row, n in enumerate(lengths):
        expected = np.concatenate([every[n - 1, row, :3], every[0, row, 3:]]) if n else np.zeros(6)
        np.testing.assert_array_equal(read[row], expected)


@pytest.mark.parametrize("read", [Steps(), Last()], ids=["steps", "last"])
def test_training_on_nothing_changes_nothing(read, reference):
    net = network(read, loss=losses.SoftmaxCrossEntropy())
    params = net.init(0)
    for steps, batch, lengths in ((0, 3, None), (4, 0, None), (4, 3, np.zeros(3, int))):
        labels = np.zeros((batch,) if read == Last() else (steps, batch), int)
        rule = Adam(0.1)
        done = reference.train_step(
            net, rule, params, rule.init(params), np.ones((steps, batch, 2)), labels, lengths=lengths
        )
        assert (done.count, done.loss_sum) == (0, 0)
        same(params, done.params)


def test_what_goes_in_is_neither_changed_nor_shared(reference):
    net, params, inputs, state, rng = drawn(4, 3)
    given = {"params": params, "inputs": inputs, "state": state, "cotangent": rng.normal(size=(4, 3, 4))}
    before = tree_map(np.copy, given)
    result = reference.run(net, params, inputs, state)
    found = reference.pullback(net, params, inputs, given["cotangent"], state, state)
    same(before, given)
    came = [
        a for tree in (result.outputs, result.state, found.params, found.inputs, found.state) for _, a in leaves(tree)
    ]
    for _, array in leaves(given):
        assert not any(np.shares_memory(array, other) for other in came)


def test_the_path_says_what_ran_for_each_half(reference):
    net, params, inputs, _, _ = drawn(2, 1)
    assert [place for place, _ in reference.run(net, params, inputs).path] == [
        "layers.0.forward", "layers.0.reverse", "layers.1.reverse",
    ]  # fmt: skip


def test_read_only_and_unaligned_arrays_are_taken(reference):
    net, params, inputs, _, _ = drawn(4, 3)
    expected = reference.run(net, params, inputs).outputs
    odd = np.ndarray(inputs.shape, np.float64, np.zeros(inputs.nbytes + 1, np.uint8).data, 1)
    odd[...] = inputs
    assert not odd.flags.aligned
    for array in (odd, np.asfortranarray(inputs), inputs[::-1].copy()[::-1], np.repeat(inputs, 2, 1)[:, ::2]):
        array.flags.writeable = False
        np.testing.assert_array_equal(reference.run(net, params, array).outputs, expected)
