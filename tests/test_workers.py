"""Several workers of one process: the sums are those of all rows, and nobody waits for a worker that failed."""

import pickle

import numpy as np
import pytest

import rnnspec
from rnnspec import cells, errors, losses, policies, updates
from rnnspec.workers import digits
from rnnspec.workers.pretended import pretended, together

NET = rnnspec.Network(3, [rnnspec.Layer(cells.lstm, 4)], output=rnnspec.Dense(5), loss=losses.SoftmaxCrossEntropy())
CUTS = (slice(0, 1), slice(1, 1), slice(1, 7))
RULE = rnnspec.chain(policies.ClipByGlobalNorm(0.1), updates.Adam(1e-2))
LENGTHS = np.array([6, 1, 0, 3, 5, 2, 6])


def batch():
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 7, 3)), rng.integers(0, 5, (6, 7))


@pytest.fixture
def reference():
    return rnnspec.get_backend("numpy", precision="f64")


def across(be, function, size=3):
    return together(pretended(be, size), lambda group: function(be.across(group), CUTS[group.rank]))


def test_every_worker_gets_the_sums_of_all_rows(reference):
    params, (x, labels) = NET.init(0), batch()
    whole = reference.value_and_grad(NET, params, x, labels, lengths=LENGTHS)
    found = across(reference, lambda be, own: be.value_and_grad(NET, params, x[:, own], labels[:, own],
                                                                lengths=LENGTHS[own]))  # fmt: skip
    for step, own in zip(found, CUTS, strict=True):
        assert step.count == whole.count == 23
        np.testing.assert_allclose(step.loss_sum, whole.loss_sum, rtol=1e-13)
        np.testing.assert_allclose(step.grads.params["output"]["b"], whole.grads.params["output"]["b"], rtol=1e-12)
        np.testing.assert_allclose(step.grads.inputs, whole.grads.inputs[:, own], rtol=1e-12)


def test_the_mean_of_means_is_another_number(reference):
    """What many write instead of `mean_loss`; it is so wrong here that no tolerance hides it."""
    params, (x, labels) = NET.init(0), batch()
    whole = reference.value_and_grad(NET, params, x, labels, lengths=LENGTHS)

    def own(be, rows):
        step = be.alone.value_and_grad(NET, params, x[:, rows], labels[:, rows], lengths=LENGTHS[rows])
        return step.loss_sum / max(step.count, 1), be.mean_loss(step.loss_sum, step.count)

    wrong, right = np.mean(across(reference, own), 0)
    np.testing.assert_allclose(right, whole.loss_sum / whole.count, rtol=1e-13)
    assert abs(wrong - right) > 0.1


def test_every_worker_trains_to_the_same_bits(reference):
    params, (x, labels) = NET.init(0), batch()
    whole = reference.train_step(NET, RULE, params, RULE.init(params), x, labels, lengths=LENGTHS)

    def trained(be, own):
        found = be.train_step(NET, RULE, params, RULE.init(params), x[:, own], labels[:, own], lengths=LENGTHS[own])
        be.group.agree(found.params)
        be.group.agree(found.rule_state)
        return found

    for found in across(reference, trained):
        np.testing.assert_allclose(found.params["output"]["W"], whole.params["output"]["W"], rtol=1e-12)


def test_a_window_is_summed_once(reference):
    params, (x, labels) = NET.init(0), batch()
    windows = rnnspec.Windows(every=2, back=4)
    whole = windows.value_and_grad(reference, NET, params, x, labels, lengths=LENGTHS)
    found = across(reference, lambda be, own: windows.value_and_grad(be, NET, params, x[:, own], labels[:, own],
                                                                     lengths=LENGTHS[own]))  # fmt: skip
    for step in found:
        assert step.count == whole.count
        np.testing.assert_allclose(step.grads.params["output"]["W"], whole.grads.params["output"]["W"], rtol=1e-12)


def test_gradients_of_several_calls_are_summed_at_the_end(reference):
    params, (x, labels) = NET.init(0), batch()
    whole = reference.value_and_grad(NET, params, x, labels)
    found = across(reference, lambda be, own: be.summed(NET, be.alone.value_and_grad(NET, params, x[:, own],
                                                                                     labels[:, own])))  # fmt: skip
    assert [step.count for step in found] == [whole.count] * 3


def test_rows_have_the_masks_of_the_whole_batch(reference):
    net = rnnspec.Network(3, [rnnspec.Layer(cells.gru, 4), rnnspec.Dropout(0.5)], loss=losses.SquaredError())
    params, (x, _), key = net.init(0), batch(), rnnspec.Key(3)
    targets = np.zeros((6, 7, 4))
    whole = reference.value_and_grad(net, params, x, targets, key=key)
    found = across(reference, lambda be, own: be.value_and_grad(net, params, x[:, own], targets[:, own], key=key))
    np.testing.assert_allclose(found[0].loss_sum, whole.loss_sum, rtol=1e-13)


@pytest.mark.parametrize("step", ["value_and_grad", "train_step"])
def test_a_bad_batch_of_one_worker_ends_all_calls(reference, step):
    """Its own error where it is, and an error that names the rank on the others, which do not wait."""
    params, (x, labels) = NET.init(0), batch()
    more = () if step == "value_and_grad" else (RULE,)
    kept = () if step == "value_and_grad" else (RULE.init(params),)

    def raised(be, own):
        wrong = labels[:, own] + (9 if be.group.rank == 2 else 0)
        with pytest.raises(errors.RnnSpecError) as error:
            getattr(be, step)(NET, *more, params, *kept, x[:, own], wrong)
        return error.value

    others = f"numpy.{step}(...): every worker's own call must succeed, got an error of rank 2; look at the error there"
    first, second, third = across(reference, raised)
    assert str(first) == str(second) == others
    assert isinstance(third, errors.TargetError)


def test_a_worker_that_ends_is_named(reference):
    params, (x, labels) = NET.init(0), batch()

    def unequal(be, own):
        if be.group.rank == 1:
            raise OSError("the disk is full")
        return be.value_and_grad(NET, params, x[:, own], labels[:, own])

    with pytest.raises(OSError, match="disk"):
        across(reference, unequal)
    errors_of_others = []

    def kept(be, own):
        try:
            return unequal(be, own)
        except errors.WorkerError as error:
            errors_of_others.append(str(error))
            raise

    with pytest.raises(OSError, match="disk"):
        across(reference, kept)
    assert len(errors_of_others) == 2
    assert all("none of rank 1 after" in error for error in errors_of_others)


def test_other_bits_on_a_worker_are_told(reference):
    def differs(be, _):
        be.group.agree({"W": np.full(2, float(be.group.rank == 1)), "b": np.zeros(1)})

    with pytest.raises(errors.WorkerError, match="others on rank 1"):
        across(reference, differs)


def test_what_a_backend_is_held_to_stays(reference):
    group = pretended(reference, 2)[1]
    held = reference.recomputing(4).across(group)
    assert (held.recomputes, held.every, held.group) == (True, 4, group)
    assert held.through(rnnspec.Path.GENERIC).group is group
    assert reference.across(group).alone is reference
    assert reference.across(group) is reference.across(group)
    assert "worker 1 of 2" in repr(held)
    with pytest.raises(errors.UnsupportedError, match="must have no workers"):
        pickle.dumps(held)


def test_what_is_no_group_is_told(reference):
    with pytest.raises(errors.ArgumentError, match="workers must be a group that the backend knows, got str"):
        reference.across("two")


@pytest.mark.parametrize("number", [0, 1, 4095, 4096, 2**48 - 1])
def test_digits_hold_a_number(number):
    assert digits.joined(digits.split(number)) == number


def test_digits_add_up_exactly_in_float32():
    numbers = [2**40 + 4095 + worker for worker in range(digits.BASE)]
    added = np.sum([np.float32(digits.split(number)) for number in numbers], 0, dtype=np.float32)
    assert digits.joined(added) == sum(numbers)


def test_workers_without_a_hash_are_known_by_which_object_they_are(reference):
    """As communicators of MPI are, which compare their handles."""
    groups = pretended(reference, 2)
    for group in groups:
        group.__class__ = type("Unhashable", (type(group),), {"__hash__": None})
    first, second = map(reference.across, groups)
    assert (first.group.rank, second.group.rank) == (0, 1)
    assert reference.across(groups[0]) is first
    assert first.recomputing().group is groups[0]
    assert first.alone is reference
