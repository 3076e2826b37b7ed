"""The floor is the graph's own products, and the paired rule says what times allow it to say."""

from __future__ import annotations

import numpy as np
import pytest

from conformance.registry import Shape
from conformance.selection import Selection
from conformance.speed.arena import rows
from conformance.speed.floor import Product, flops, products
from conformance.speed.paired import judge, moved_by_the_machine
from conformance.speed.peers import torch_loop_peer, torch_peer
from conformance.speed.row import Row
from rnnspec import cells

ROUNDS = 31


def times(rng, ratio, noise, drift=0.3, spikes=0.05):
    """Rounds of (subject, again, other): a machine whose speed drifts, everybody's own jitter, and some spikes."""
    pace = np.exp(drift * np.sin(np.linspace(0, 3, ROUNDS)))

    def one(scale):
        jitter = rng.exponential(noise, ROUNDS) + (rng.random(ROUNDS) < spikes) * rng.random(ROUNDS)
        return scale * pace * (1 + jitter)

    return one(ratio), one(ratio), one(1.0)


def share(verdict, ratio, noise, trials=200):
    rng = np.random.default_rng(0)
    return np.mean([judge(*times(rng, ratio, noise)).verdict == verdict for _ in range(trials)])


def test_what_is_equal_is_not_called_slower_or_faster_for_the_drift_of_the_machine():
    assert share("equal", 1.0, 0.01) > 0.85  # A/A' refuses one in twenty by itself: an attempt is then repeated
    assert share("slower", 1.0, 0.01) == share("faster", 1.0, 0.01) == 0


@pytest.mark.parametrize(("ratio", "verdict"), [(1.2, "slower"), (0.8, "faster"), (1.02, "equal")])
def test_a_difference_is_told(ratio, verdict):
    assert share(verdict, ratio, 0.01) > 0.8


def test_a_noisy_machine_tells_no_small_difference_and_calls_nothing_equal():
    assert share("inconclusive", 1.1, 0.5) > 0.95
    assert share("inconclusive", 1.0, 0.5) == 1


@pytest.mark.parametrize(("ratio", "verdict"), [(3.0, "slower"), (0.3, "faster")])
def test_a_noisy_machine_tells_a_difference_beyond_its_noise(ratio, verdict):
    assert share(verdict, ratio, 0.5) > 0.95


@pytest.mark.parametrize(("other", "verdict"), [(2.0, "faster"), (1.2, "inconclusive"), (1.1, "inconclusive"),
                                                (0.5, "slower")])  # fmt: skip
def test_a_subject_unlike_itself_is_told_from_what_is_further_away(other, verdict):
    assert judge([1.2] * ROUNDS, [1.0] * ROUNDS, [other] * ROUNDS).verdict == verdict


def given_up(ratio, noise, trials=20):
    """Of how many trials the rule says after 9 rounds that 27 do not decide, and of how many of these they do."""
    rng, found = np.random.default_rng(0), []
    for _ in range(trials):
        subject, again, other = times(rng, ratio, noise)
        if judge(subject[:9], again[:9], other[:9]).more > 18:
            found.append(judge(subject[:27], again[:27], other[:27]).verdict)
    return len(found), sum(verdict != "inconclusive" for verdict in found)


def test_rounds_that_would_decide_nothing_are_foreseen():
    many, decided = given_up(1.0, 0.2)
    assert many > 15
    assert decided == 0


def test_rounds_that_would_decide_are_seldom_given_up():
    assert given_up(1.0, 0.02)[1] <= 2


def test_more_noise_needs_more_rounds_and_a_verdict_needs_none():
    quiet, noisy = (judge(*times(np.random.default_rng(2), 1.0, noise)) for noise in (0.3, 0.9))
    assert 0 < quiet.more < noisy.more
    assert judge([1.0] * 9, [1.0] * 9, [2.0] * 9).more == 0


def test_the_floor_tells_whose_the_noise_is():
    rng = np.random.default_rng(3)
    subject, again = (np.exp(0.3 * rng.normal(size=9)) for _ in range(2))
    assert moved_by_the_machine(subject, again, np.exp(0.3 * rng.normal(size=9)))
    assert not moved_by_the_machine(subject, again, np.exp(0.01 * rng.normal(size=9)))


def test_the_ratio_and_its_interval():
    found = judge(*times(np.random.default_rng(1), 1.5, 0.01))
    assert found.low <= found.ratio <= found.high
    assert found.ratio == pytest.approx(1.5, rel=0.03)


def test_a_training_step_is_three_times_the_forward_products_of_an_lstm():
    shape = Shape(16, 64, 32, 8)
    forward, train = (products(cells.lstm, shape, 8, mode) for mode in ("forward", "train"))
    assert flops(train) == 3 * flops(forward) == 3 * 2 * 64 * 16 * (32 * 32 + 8 * 32)


def test_maps_that_share_an_argument_are_one_product():
    shape = Shape(2, 5, 3, 4)
    assert products(cells.gru, shape, 4, "forward") == (Product(1, 10, 3, 12), Product(5, 2, 4, 12))
    assert products(cells.gru_reset_before, shape, 4, "forward") == (
        Product(1, 10, 3, 12), Product(5, 2, 4, 8), Product(5, 2, 4, 4),
    )  # fmt: skip
    assert products(cells.mingru, shape, 4, "forward") == (Product(1, 10, 3, 8),)


def test_rows_are_of_the_device_of_the_backend():
    assert {row.device for row in rows(Selection(cells=("lstm",)), "f32", "cuda:0")} == {"cuda:0"}


@pytest.mark.parametrize("mode", ["forward", "train"])
@pytest.mark.parametrize(("peer", "cell"), [(torch_peer, "lstm"), (torch_loop_peer, "lstm_peephole")])
def test_a_peer_computes_on_the_device_of_the_row(peer, cell, mode, monkeypatch):
    """The meta device has no numbers to wait for."""
    found = []
    monkeypatch.setattr(peer, "wait", found.extend)
    peer.make(Row(cell, Shape(2, 3, 2, 4), mode, "f32", "meta"))(0)
    assert {a.device.type for a in found} == {"meta"}
