"""Initial values: drawn once, by seed and name, and distributed as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import rnnspec
from rnnspec import Dense, Layer, Network, cells
from rnnspec.errors import NetworkError
from rnnspec.initialisers import (
    Chrono,
    Constant,
    Glorot,
    Identity,
    Initialiser,
    Normal,
    Opposite,
    Orthogonal,
    Uniform,
    Zeros,
)
from rnnspec.tree import leaves

EVERY = [Uniform(), Glorot(), Orthogonal(), Orthogonal(2.0), Identity(), Normal(), Zeros(), Constant(1.5), Chrono(9),
         Opposite("b.f", Uniform())]

PINNED = [
    0.191577077985549,
    0.686636690197951,
    0.070304894360408,
    0.532159320542534,
    0.528669559715259,
    -0.174383771136531,
]


def drawn(net, seed=0):
    return dict(leaves(net.init(seed)))


def network(*layers, **more):
    return Network(inputs=3, layers=list(layers), **more)


def test_a_seed_gives_the_same_numbers_and_another_gives_others():
    net = network(Layer(cells.lstm, hidden=4), output=Dense(2))
    first, again, other = drawn(net, 7), drawn(net, 7), drawn(net, 8)
    for name, array in first.items():
        assert array.dtype == np.float64
        np.testing.assert_array_equal(array, again[name])
        assert (array != other[name]).all()


def test_these_numbers_are_the_ones_of_version_one():
    """Files and papers name a seed: its numbers may not change unnoticed."""
    net = network(Layer(cells.elman, hidden=2))
    assert drawn(net, 0)["layers.0.forward.W.h"].ravel().tolist() == pytest.approx(PINNED)


def test_every_map_has_numbers_of_its_own():
    arrays = [a for _, a in leaves(network(Layer(cells.lstm, hidden=3, direction="bidirectional")).init(0))]
    numbers = np.concatenate([a.ravel() for a in arrays])
    assert len(np.unique(numbers)) == len(numbers)


def test_another_layer_changes_nothing_in_this_one():
    alone = network(Layer(cells.lstm, hidden=4))
    followed = network(Layer(cells.lstm, hidden=4), Layer(cells.gru, hidden=5), output=Dense(2))
    wider = network(Layer(cells.lstm, hidden=4, direction="bidirectional"))
    for name, array in drawn(alone).items():
        np.testing.assert_array_equal(array, drawn(followed)[name])
        np.testing.assert_array_equal(array, drawn(wider)[name])


def test_another_map_s_initialiser_changes_nothing_in_this_one():
    plain, biased = (
        network(Layer(cells.lstm, hidden=4, initial=i)) for i in ({}, {"b.f": Constant(1.0), "U": Orthogonal()})
    )
    before, after = drawn(plain), drawn(biased)
    changed = {name for name, a in before.items() if not np.array_equal(a, after[name])}
    assert changed == {"layers.0.forward.b.f", *(f"layers.0.forward.U.{n}" for n in "ifgo")}
    np.testing.assert_array_equal(after["layers.0.forward.b.f"], np.ones(4))


def test_the_more_exact_name_wins():
    layer = Layer(cells.lstm, hidden=4, initial={"b": Zeros(), "b.f": Constant(1.0)})
    biases = network(layer).init(0)["layers"][0]["forward"]["b"]
    assert {name: set(b) for name, b in biases.items()} == {"i": {0}, "f": {1}, "g": {0}, "o": {0}}


def test_the_output_layer_has_its_own():
    params = network(Layer(cells.elman, hidden=4), output=Dense(2, initial={"W": Identity(), "b": Constant(3.0)})).init(
        0
    )
    np.testing.assert_array_equal(params["output"]["W"], np.eye(2, 4))
    np.testing.assert_array_equal(params["output"]["b"], [3, 3])


@pytest.mark.parametrize("initialiser", EVERY, ids=repr)
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (1, 1), (6,), (1,)], ids=repr)
def test_every_initialiser_gives_finite_numbers_of_every_shape(initialiser, shape):
    found = initialiser.draw(np.random.default_rng(0), shape, 4)
    assert found.shape == shape
    assert found.dtype == np.float64
    assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(30, 50), (50, 30), (40, 40)], ids=repr)
def test_orthogonal_rows_or_columns_are_orthonormal_times_the_gain(shape):
    q = Orthogonal(2.0).draw(np.random.default_rng(0), shape, 1) / 2
    gram = q @ q.T if shape[0] <= shape[1] else q.T @ q
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-13)


def test_orthogonal_is_uniform_over_rotations():
    """Without the signs of R the first entry would lean to one side."""
    firsts = [Orthogonal().draw(np.random.default_rng(seed), (3, 3), 1)[0, 0] for seed in range(2000)]
    assert stats.kstest(firsts, stats.uniform(-1, 2).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("initialiser", "bound"), [(Uniform(), 1 / np.sqrt(16)), (Glorot(), np.sqrt(6 / (100 + 60)))], ids=repr
)
def test_uniform_ones_fill_their_bounds(initialiser, bound):
    found = initialiser.draw(np.random.default_rng(0), (100, 60), 16).ravel()
    assert stats.kstest(found, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


def test_normal_has_its_deviation():
    found = Normal(0.02).draw(np.random.default_rng(0), (100, 60), 16).ravel()
    assert stats.kstest(found, stats.norm(0, 0.02).cdf).pvalue > 1e-3


def test_the_default_is_uniform_by_the_layer_s_width():
    net = network(Layer(cells.lstm_projected, hidden={"h": 4, "c": 9}))
    largest = max(np.abs(a).max() for _, a in leaves(net.init(0)))
    assert 0.45 < largest <= 0.5


@pytest.mark.parametrize("seed", [-1, 1.0, "0", None, True, np.int64(3)], ids=repr)
def test_a_wrong_seed_is_refused(seed):
    with pytest.raises(NetworkError, match="seed"):
        network(Layer(cells.elman, hidden=2)).init(seed)


class Odd(Initialiser):
    """Gives another shape than it was asked for."""

    def draw(self, rng, shape, hidden):
        return np.zeros(7)


class Whole(Initialiser):
    """Gives whole numbers, which are numbers too."""

    def draw(self, rng, shape, hidden):
        return np.ones(shape, int)


def test_an_initialiser_of_one_s_own():
    assert (
        drawn(network(Layer(cells.elman, hidden=2, initial={"W": Whole()})))["layers.0.forward.W.h"].dtype == np.float64
    )
    with pytest.raises(NetworkError, match=r"layers\.0\.forward\.W\.h"):
        network(Layer(cells.elman, hidden=2, initial={"W": Odd()})).init(0)


def test_drawing_leaves_numpy_s_random_state_alone():
    before = np.random.get_state()[1].copy()
    network(Layer(cells.lstm, hidden=4)).init(0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_every_initialiser_is_tested():
    assert {type(i).__name__ for i in EVERY} == set(rnnspec.initialisers.__all__) - {"Initialiser"}


def test_chrono_biases_keep_for_all_times_up_to_the_longest_and_are_opposite():
    initial = {"b.f": Chrono(50), "b.i": Opposite("b.f", Chrono(50))}
    params = network(Layer(cells.lstm, hidden=900, direction="bidirectional", initial=initial)).init(3)
    forward, reverse = (params["layers"][0][name]["b"] for name in ("forward", "reverse"))
    np.testing.assert_array_equal(forward["i"], -forward["f"])
    assert (forward["f"] != reverse["f"]).all()
    assert stats.kstest(np.exp(forward["f"]), stats.uniform(1, 48).cdf).pvalue > 0.01


@pytest.mark.parametrize("longest", [1, 1.9, np.inf, np.nan, True, "9"], ids=repr)
def test_a_wrong_longest_memory_is_refused(longest):
    with pytest.raises(NetworkError, match="longest"):
        Chrono(longest)
