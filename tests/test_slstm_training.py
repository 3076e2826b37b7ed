"""The sLSTM with heads, trained by every backend from one start: the same losses."""

from __future__ import annotations

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells, updates
from rnnspec.losses import SoftmaxCrossEntropy

NET = Network(4, [Layer(cells.slstm, 8, heads=2)], Last(), Dense(2), SoftmaxCrossEntropy())
STEPS = 5


def losses(name: str) -> list[float]:
    """The loss of each of the first steps, on the parity of the bits of a row's first feature."""
    be, rule = rnnspec.get_backend(name, precision="f64"), updates.Adam(0.01)
    rng = np.random.default_rng(3)
    bits = rng.integers(0, 2, (12, 16, 4)).astype(float)
    targets, lengths = bits[..., 0].sum(0).astype(int) % 2, np.full(16, 12)
    params, kept, found = NET.init(1), None, []
    kept = rule.init(params)
    for _ in range(STEPS):
        done = be.train_step(NET, rule, params, kept, bits, targets, lengths=lengths)
        params, kept = done.params, done.rule_state
        found.append(float(be.to_numpy(done.loss_sum)) / done.count)
    return found


@pytest.fixture(scope="module")
def expected():
    return losses("numpy")


def test_the_loss_falls(expected):
    assert expected[-1] < expected[0]


@pytest.mark.parametrize("name", ["torch", "jax", "tensorflow"])
def test_every_backend_has_the_same_first_losses(name, expected):
    np.testing.assert_allclose(losses(name), expected, rtol=1e-11)
