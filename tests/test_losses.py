"""Losses and their derived gradients against closed forms, extreme logits and ignored targets."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from rnnspec import Last, Layer, Network, Steps, cell, losses
from rnnspec.errors import EquationError, TargetError
from rnnspec.losses import Loss, trace
from rnnspec.primitives import total

# Outputs are the inputs: the state follows x, with the identity for its map.
follow = cell(lambda x, h: x.h)
FEATURES = 3


def judged(reference, loss, logits, targets, lengths=None, read=Steps()):  # noqa: B008
    """`value_and_grad` of a loss on given outputs; `.grads.inputs` is the gradient at the outputs."""
    net = Network(inputs=FEATURES, layers=[Layer(follow, hidden=FEATURES)], read=read, loss=loss)
    params = {"layers": [{"forward": {"W": {"h": np.eye(FEATURES)}, "b": {"h": np.zeros(FEATURES)}, "U": {}, "p": {}}}]}
    return reference.value_and_grad(net, params, logits, targets, lengths=lengths)


def at_bias(reference, loss, logits, target):
    """The loss and its gradient at one row's outputs, which are the bias, so that no product meets an infinity."""
    net = Network(inputs=1, layers=[Layer(follow, hidden=len(logits))], loss=loss)
    params = {
        "layers": [
            {"forward": {"W": {"h": np.zeros((len(logits), 1))}, "b": {"h": np.array(logits)}, "U": {}, "p": {}}}
        ]
    }
    step = reference.value_and_grad(net, params, np.zeros((1, 1, 1)), np.array([[target]]))
    return step.loss_sum, step.grads.params["layers"][0]["forward"]["b"]["h"]


rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(4, 5, FEATURES)) * 3
LABELS = rng.integers(0, FEATURES, (4, 5))
ONE_HOT = np.eye(FEATURES)[LABELS]
SHARES = rng.uniform(size=LOGITS.shape)

CLOSED = {
    "softmax": (losses.SoftmaxCrossEntropy(), LABELS,
                -(ONE_HOT * log_softmax(LOGITS, -1)), softmax(LOGITS, -1) - ONE_HOT),
    "sigmoid": (losses.SigmoidCrossEntropy(), SHARES,
                -SHARES * np.log(expit(LOGITS)) - (1 - SHARES) * np.log(expit(-LOGITS)), expit(LOGITS) - SHARES),
    "squares": (losses.SquaredError(), SHARES, 0.5 * (LOGITS - SHARES) ** 2, LOGITS - SHARES),
}  # fmt: skip


@pytest.mark.parametrize(("loss", "targets", "each", "gradient"), CLOSED.values(), ids=CLOSED)
class TestClosedForms:
    def test_sum_count_and_gradient(self, loss, targets, each, gradient, reference):
        step = judged(reference, loss, LOGITS, targets)
        assert step.loss_sum == pytest.approx(each.sum(), rel=1e-14)
        assert step.count == 20
        np.testing.assert_allclose(step.grads.inputs, gradient, rtol=0, atol=1e-14)

    def test_ragged(self, loss, targets, each, gradient, reference):
        lengths = np.array([4, 0, 2, 1, 3])
        real = np.arange(4)[:, None] < lengths
        step = judged(reference, loss, LOGITS, targets, lengths)
        assert step.count == 10
        assert step.loss_sum == pytest.approx(each[real].sum(), rel=1e-14)
        np.testing.assert_allclose(step.grads.inputs, gradient * real[..., None], rtol=0, atol=1e-14)

    def test_last(self, loss, targets, each, gradient, reference):
        lengths = np.array([4, 0, 2, 1, 3])
        at, rows = lengths - 1, np.flatnonzero(lengths)
        wanted = targets[at, np.arange(5)]
        step = judged(reference, loss, LOGITS, wanted, lengths, Last())
        assert step.count == 4
        assert step.loss_sum == pytest.approx(each[at, np.arange(5)][rows].sum(), rel=1e-14)
        expected = np.zeros_like(LOGITS)
        expected[at[rows], rows] = gradient[at[rows], rows]
        np.testing.assert_allclose(step.grads.inputs, expected, rtol=0, atol=1e-14)

    def test_what_stands_in_the_padding_touches_nothing(self, loss, targets, each, gradient, reference):
        lengths = np.array([4, 0, 2, 1, 3])
        padding = np.arange(4)[:, None] >= lengths
        spoilt, wrong = LOGITS.copy(), targets.copy()
        spoilt[padding] = np.nan
        wrong[padding] = -7 if loss.integer_targets else np.inf
        clean, dirty = (
            judged(reference, loss, LOGITS, targets, lengths),
            judged(reference, loss, spoilt, wrong, lengths),
        )
        assert dirty.loss_sum == clean.loss_sum
        np.testing.assert_array_equal(dirty.grads.inputs, clean.grads.inputs)

    def test_nothing_real(self, loss, targets, each, gradient, reference):
        step = judged(reference, loss, LOGITS, targets, np.zeros(5, int))
        assert (step.loss_sum, step.count) == (0, 0)
        assert not step.grads.inputs.any()

    def test_no_time_and_no_rows(self, loss, targets, each, gradient, reference):
        for part in (np.s_[:0], np.s_[:, :0]):
            step = judged(reference, loss, LOGITS[part], targets[part])
            assert (step.loss_sum, step.count) == (0, 0)
            assert step.grads.inputs.shape == LOGITS[part].shape


@pytest.mark.parametrize("size", [30.0, 1e4, 1e300])
def test_softmax_of_extreme_logits_does_not_overflow(size, reference):
    right, _ = at_bias(reference, losses.SoftmaxCrossEntropy(), [size, -size, 0.0], 0)
    wrong, gradient = at_bias(reference, losses.SoftmaxCrossEntropy(), [size, -size, 0.0], 1)
    assert right == pytest.approx(0, abs=1e-12)
    assert wrong == pytest.approx(2 * size, rel=1e-12)
    np.testing.assert_allclose(gradient, [1, -1, 0], atol=1e-12)


@pytest.mark.parametrize("size", [30.0, 1e4, 1e300])
def test_sigmoid_of_extreme_logits_does_not_overflow(size, reference):
    loss, gradient = at_bias(reference, losses.SigmoidCrossEntropy(), [size, -size, -size], [1.0, 0.0, 1.0])
    assert loss == pytest.approx(size, rel=1e-12)
    np.testing.assert_allclose(gradient, [0, 0, -1], atol=1e-12)


def test_a_class_that_is_ruled_out_costs_nothing(reference):
    """A logit of -inf is a class that cannot be: the others are as if it were not there."""
    loss, gradient = at_bias(reference, losses.SoftmaxCrossEntropy(), [1.0, -np.inf, 2.0], 0)
    assert loss == pytest.approx(-log_softmax([1.0, 2.0])[0])
    assert gradient[1] == 0


@pytest.mark.parametrize(("logit", "label", "loss"), [(np.inf, 0, np.nan), (np.inf, 1, np.inf), (-np.inf, 0, np.inf),
                                                      (np.nan, 1, np.nan)])  # fmt: skip
def test_what_is_not_finite_comes_out(logit, label, loss, reference):
    found, _ = at_bias(reference, losses.SoftmaxCrossEntropy(), [logit, 0.0, 0.0], label)
    np.testing.assert_equal(float(found), loss)


@pytest.mark.parametrize("label", [-1, FEATURES, 10**9])
def test_a_target_at_a_real_step_that_is_no_class(label, reference):
    labels = LABELS.copy()
    labels[2, 3] = label
    with pytest.raises(TargetError, match=rf"{label} at \(2, 3\)"):
        judged(reference, losses.SoftmaxCrossEntropy(), LOGITS, labels)


class Foreign(Loss):
    """Not written in the primitives."""

    integer_targets = False

    def at(self, z, y):
        return np.abs(z - y)


class Wide(Foreign):
    """A loss of one's own."""

    def at(self, z, y):
        return total((z - y) * (z - y) * (z - y))


class Nothing(Foreign):
    """Returns nothing."""

    def at(self, z, y):
        return None


@pytest.mark.parametrize("loss", [Foreign(), Nothing()], ids=["NumPy", "None"])
def test_a_loss_that_is_not_written_in_the_primitives(loss):
    with pytest.raises(EquationError):
        trace(loss)


def test_a_loss_of_one_s_own_has_its_derived_gradient(reference):
    step = judged(reference, Wide(), LOGITS, SHARES)
    assert step.loss_sum == pytest.approx(((LOGITS - SHARES) ** 3).sum())
    np.testing.assert_allclose(step.grads.inputs, 3 * (LOGITS - SHARES) ** 2, rtol=1e-12)


def test_sums_and_counts_of_parts_are_those_of_the_whole(reference):
    whole = judged(reference, losses.SoftmaxCrossEntropy(), LOGITS, LABELS)
    parts = [
        judged(reference, losses.SoftmaxCrossEntropy(), LOGITS[:, p], LABELS[:, p]) for p in (np.s_[:2], np.s_[2:])
    ]
    assert sum(p.count for p in parts) == whole.count
    assert sum(p.loss_sum for p in parts) == pytest.approx(whole.loss_sum, rel=1e-14)
