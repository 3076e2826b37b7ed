"""Feedback of a network's own outputs against a plain loop, and probabilities by the loss."""

from itertools import islice

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Embedding, Last, Layer, Network, Tied, cells, decoding, losses
from rnnspec.errors import ArgumentError, NetworkError, ShapeError, UnsupportedError
from rnnspec.tree import tree_map

CLASSES = 5
NET = Network(CLASSES, [Layer(cells.lstm, 6), Layer(cells.gru, 5)], output=Dense(CLASSES),
              loss=losses.SoftmaxCrossEntropy())  # fmt: skip
LAST = Network(CLASSES, [Layer(cells.gru, 6)], Last(), Dense(CLASSES), losses.SoftmaxCrossEntropy())
SEED = 9
PROMPTS = [[1, 4, 2, 2], [3], [0, 1]]


def bound(net=NET, name="numpy", seed=SEED):
    params = tree_map(lambda w: 4 * w, net.init(seed))  # so that the choices of steps differ
    return rnnspec.get_backend(name).bound(net, params)


def plain(be, net, params, prompt, choose, steps):
    """What follows one prompt, with all that was read run again for each symbol."""
    text = list(prompt)
    for _ in range(steps):
        result = be.run(net, params, np.eye(CLASSES)[np.array(text)[:, None]])
        outputs = np.asarray(result.outputs, np.float64).reshape(-1, CLASSES)[-1:]
        text.append(int(choose(outputs)[0]))
    return text[len(prompt) :]


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_rows_of_several_prompts_go_on_as_in_a_plain_loop(name):
    net = NET if name in ("numpy", "torch") else LAST
    given = bound(net, name)
    given.step(np.eye(CLASSES, dtype=np.float32)[[2]])  # whose own stream is left alone
    before = given.backend.to_numpy(given.state)
    found = np.stack(list(islice(decoding.feedback(given, PROMPTS), 7)), 1)
    be, params = rnnspec.get_backend("numpy"), given.backend.to_numpy(given._params)
    for prompt, row in zip(PROMPTS, found, strict=True):
        assert row.tolist() == plain(be, net, params, prompt, decoding.most_probable, 7)
    assert len({tuple(row) for row in found.tolist()}) > 1
    np.testing.assert_array_equal(given.backend.to_numpy(given.state)[0]["forward"]["h"], before[0]["forward"]["h"])


def test_a_network_with_an_embedding_reads_class_numbers():
    net = Network(Embedding(CLASSES, 4), [Layer(cells.gru, 4, learned_state=True)], output=Tied(), loss=NET.loss)
    params, be = tree_map(lambda w: 4 * w, net.init(SEED)), rnnspec.get_backend("numpy")
    found = np.stack(list(islice(decoding.feedback(be.bound(net, params), PROMPTS), 6)), 1)
    for prompt, row in zip(PROMPTS, found, strict=True):
        text = list(prompt)
        for number in row:
            assert be.run(net, params, np.array(text)[:, None]).outputs[-1, 0].argmax() == number
            text.append(int(number))


def test_a_draw_is_that_of_numpys_choice():
    outputs = np.random.default_rng(0).normal(size=(1, CLASSES)) * 3
    draw, other = decoding.sampled(0.7, np.random.default_rng(1)), np.random.default_rng(1)
    chances = np.exp(outputs[0] / 0.7) / np.exp(outputs[0] / 0.7).sum()
    for _ in range(200):
        assert draw(outputs)[0] == other.choice(CLASSES, p=chances)
    wide = np.array([[0.0, 1e4, -1e4], [-1e4, -1e4, 0.0]])
    assert decoding.sampled(1e-3, other)(wide).tolist() == [1, 2]


def test_samples_follow_from_the_generator_and_a_plain_loop_draws_the_same():
    be, params = rnnspec.get_backend("numpy"), bound()._params
    for seed in (0, 1):
        draws = [decoding.sampled(1.5, np.random.default_rng(seed)) for _ in range(2)]
        found = [int(step[0]) for step in islice(decoding.feedback(bound(), PROMPTS[:1], draws[0]), 12)]
        assert found == plain(be, NET, params, PROMPTS[0], draws[1], 12)


def test_a_row_ends_at_its_stop_symbol_and_the_generator_with_the_last_row():
    free = np.stack(list(islice(decoding.feedback(bound(), PROMPTS), 30)), 1)
    stop = next(c for c in range(CLASSES) if (free == c).any(1).all() and len(set((free == c).argmax(1))) > 1)
    found = np.stack(list(decoding.feedback(bound(), PROMPTS, stop=stop)), 1)
    ends = (free == stop).argmax(1)
    assert found.shape == (3, ends.max() + 1)
    for row, whole, end in zip(found, free, ends, strict=True):
        assert row[: end + 1].tolist() == whole[: end + 1].tolist()
        assert (row[end + 1 :] == -1).all()


def test_what_is_not_valid_is_said_before_anything_runs():
    whole = bound()
    for prompts, error in (([], ShapeError), ([[1], []], ShapeError), ([[1, 5]], ShapeError), ([[-1]], ShapeError),
                           ([[0.5]], ShapeError), ("text", ArgumentError), (3, ArgumentError)):  # fmt: skip
        with pytest.raises(error, match=r"feedback\(\.\.\.\): .*prompt"):
            decoding.feedback(whole, prompts)
    for stop in (5, -1, "a", True):
        with pytest.raises(ArgumentError, match=r"stop must be a class number of 0\.\.4"):
            decoding.feedback(whole, PROMPTS, stop=stop)
    with pytest.raises(ArgumentError, match="bound must be a bound call"):
        decoding.feedback(NET, PROMPTS)
    for wrong in (lambda z: z, lambda z: [7, 0, 0], lambda z: [0, 0]):
        with pytest.raises(ShapeError, match="choose must return 3 class numbers"):
            next(decoding.feedback(whole, PROMPTS, wrong))
    for temperature, generator in ((0, np.random.default_rng(0)), (None, np.random.default_rng(0)), (1.0, 0)):
        with pytest.raises(ArgumentError, match="must be a"):
            decoding.sampled(temperature, generator)
    layers, loss = [Layer(cells.gru, 4)], losses.SoftmaxCrossEntropy()
    for net, match in ((Network(3, layers, output=Dense(4), loss=loss), "must read the 4 classes that it scores"),
                       (Network(4, layers, loss=losses.CTC()), "loss must be SoftmaxCrossEntropy")):  # fmt: skip
        with pytest.raises(NetworkError, match=match):
            decoding.feedback(bound_to(net), PROMPTS)
    both = Network(CLASSES, [Layer(cells.gru, 5, "bidirectional")], output=Dense(CLASSES), loss=loss)
    with pytest.raises(UnsupportedError, match="must run forward"):
        next(decoding.feedback(bound_to(both), PROMPTS))


def bound_to(net):
    return rnnspec.get_backend("numpy").bound(net, net.init(0))


def test_probabilities_are_those_of_the_loss():
    z, layers = np.array([[[1.0, -2.0, 800.0], [0.5, 0.5, 0.5]]], np.float32), [Layer(cells.gru, 3)]
    for loss in (losses.SoftmaxCrossEntropy(), losses.CTC()):
        found = decoding.probabilities(Network(2, layers, loss=loss), z)
        np.testing.assert_allclose(found, [[[0, 0, 1], [1 / 3] * 3]], atol=1e-12)
        assert found.dtype == np.float64
    found = decoding.probabilities(Network(2, layers, loss=losses.SigmoidCrossEntropy()), z)
    np.testing.assert_allclose(found[0, 0], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(2)), 1])
    with pytest.raises(NetworkError, match="must be one of probabilities, got SquaredError"):
        decoding.probabilities(Network(2, layers, loss=losses.SquaredError()), z)
    for wrong in (z[..., :2], z.astype(int), np.float32(1)):
        with pytest.raises(ShapeError, match=r"outputs must be real numbers \(\.\.\., 3\)"):
            decoding.probabilities(Network(2, layers, loss=losses.SoftmaxCrossEntropy()), wrong)
