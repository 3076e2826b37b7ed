"""The example that writes, trained by several workers and gone on with: the numbers of one process."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import rnnspec
from rnnspec.tree import leaves
from rnnspec.workers.pretended import pretended, together

pytestmark = pytest.mark.usefixtures("examples")
ROWS, UPDATES = 5, 12
NEAR = 1e-11
"""As a share: float64 rounds at 1e-16, and workers add up in another order."""


@pytest.fixture(scope="module")
def example(examples):
    return examples("language_training")


@pytest.fixture(scope="module")
def reference():
    return rnnspec.get_backend("numpy", precision="f64")  # which takes class numbers


@pytest.fixture(scope="module")
def course(example):
    return example.Course(hidden=8, rows=ROWS, steps=40, updates=UPDATES // 3, rates=(1e-2,) * 3, characters=20_000)


@pytest.fixture(scope="module")
def bible(examples):
    verses, texts = (getattr(examples("king_james"), name) for name in ("verses", "texts"))
    return texts(verses()[:20_000])


@pytest.fixture(scope="module")
def training(example, course, bible):
    """`training(backend)`: the course, on this backend."""
    return lambda be: example.Training(be, course, *bible[:2])


@pytest.fixture(scope="module")
def one(training, reference):
    """The run of one process."""
    own = training(reference)
    return own.go_on(own.begin())


@pytest.fixture
def by(training, reference):
    """`by(size, work)`: what `work` returns for the training of each of so many workers."""

    def ran(size, work):
        return together(pretended(reference, size), lambda group: work(training(reference.across(group))))

    return ran


def assert_near(run, expected):
    assert (run.updates, run.total, run.count) == (expected.updates, 0.0, 0)
    for name in ("losses", "held"):
        np.testing.assert_allclose(getattr(run, name), getattr(expected, name), rtol=NEAR, err_msg=name)
    for tree in ("params", "best", "rule_state"):
        right = dict(leaves(getattr(expected, tree)))
        for name, found in leaves(getattr(run, tree)):
            allowed = NEAR * np.abs(right[name]).max(initial=1e-6)
            np.testing.assert_allclose(found, right[name], rtol=0, atol=allowed, err_msg=f"{tree} {name}")


def assert_same(run, expected, trees):
    for tree in trees:
        right = dict(leaves(getattr(expected, tree)))
        for name, found in leaves(getattr(run, tree)):
            assert found.tobytes() == right[name].tobytes(), f"{tree} {name}"


class Stopped(Exception):
    """What a training is interrupted with."""


def interrupted(example, folder, every, last, training):
    """Train, and stop after an update as if the machine had been switched off."""
    kept = example.Checkpoint(folder, training, every)

    def keep(run):
        kept.keep(run)
        if run.updates == last:
            raise Stopped

    with pytest.raises(Stopped):
        training.go_on(kept.restored(), keep)


def gone_on(example, folder, every, training):
    kept = example.Checkpoint(folder, training, every)
    begun = kept.restored()
    return begun.updates, training.go_on(begun, kept.keep)


@pytest.mark.parametrize("size", [1, 2, 3, ROWS + 2])
def test_workers_have_the_course_of_one_process(size, by, one):
    runs = by(size, lambda own: own.go_on(own.begin()))
    for run in runs:
        assert_near(run, one)
        assert_same(run, runs[0], ("params", "best", "rule_state"))


def test_each_worker_reads_its_own_rows_and_all_are_read_once(example, bible, reference):
    text = bible[1]

    def read(group):
        own = example.shares.own(reference.across(group))
        return list(example.pieces(text, ROWS, 40, own))

    whole = np.concatenate([piece.inputs for piece in example.pieces(text, ROWS, 40)])
    for size in (2, 3, ROWS + 2):
        found = together(pretended(reference, size), read)
        parts = [np.concatenate([piece.inputs for piece in own]) for own in found]
        assert [part.shape[1] for part in parts] == [len(range(rank, ROWS, size)) for rank in range(size)]
        again = np.zeros_like(whole)
        for rank, part in enumerate(parts):
            again[:, rank::size] = part
        np.testing.assert_array_equal(again, whole)


@pytest.mark.parametrize("last", [3, 4, 7])
def test_a_run_that_was_stopped_reaches_the_same_bits(last, example, training, reference, one, tmp_path):
    interrupted(example, tmp_path, 3, last, training(reference))
    begun, run = gone_on(example, tmp_path, 3, training(reference))
    assert begun == last - last % 3
    for name in ("updates", "losses", "held", "total", "count"):
        assert getattr(run, name) == getattr(one, name)
    assert_same(run, one, example.TREES)
    again = gone_on(example, tmp_path, 3, training(reference))
    assert (again[0], again[1].losses) == (UPDATES, one.losses)


@pytest.mark.parametrize(("before", "after"), [(2, 3), (3, 1), (1, ROWS + 2)])
def test_other_numbers_of_workers_go_on(before, after, example, by, one, tmp_path):
    by(before, partial(interrupted, example, tmp_path, 2, 5))
    for begun, run in by(after, partial(gone_on, example, tmp_path, 2)):
        assert begun == 4
        assert_near(run, one)


def test_a_checkpoint_of_another_course_is_refused(example, training, course, bible, reference, tmp_path):
    interrupted(example, tmp_path, 1, 1, training(reference))
    for other in (example.Training(reference, replace(course, hidden=9), *bible[:2]),
                  example.Training(reference, course, *bible[:2], seed=1)):  # fmt: skip
        with pytest.raises(ValueError, match="is of another course; give another folder"):
            example.Checkpoint(tmp_path, other, 1).restored()


def test_workers_that_see_other_folders_are_told(example, by, training, reference, tmp_path):
    (tmp_path / "0").mkdir()
    interrupted(example, tmp_path / "0", 1, 2, training(reference))

    def restored(own):
        return example.Checkpoint(tmp_path / str(own.be.group.rank), own, 1).restored()

    with pytest.raises(ValueError, match=r"the workers must see one folder, but read updates \[0, 2\]"):
        by(2, restored)
