"""CTC and its decoding: against an enumeration of all spellings, and the frameworks' own losses."""

from __future__ import annotations

from itertools import groupby, product

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Last, Layer, Network, cells, decoding, losses
from rnnspec.errors import (
    ArgumentError,
    DtypeError,
    LengthsError,
    NetworkError,
    ShapeError,
    TargetError,
    UnsupportedError,
)

BACKENDS = ("numpy", "torch", "jax", "tensorflow")


def log_softmax(a):
    return a - np.log(np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True)) - a.max(-1, keepdims=True)


def spelt(path, blank):
    return tuple(c for c, _ in groupby(path) if c != blank)


def by_enumeration(row, blank):
    """The probability of everything that a row (time, feature) can say."""
    found = {}
    for path in product(range(row.shape[1]), repeat=len(row)):
        labels = spelt(path, blank)
        p = np.exp(sum(log_softmax(row)[t, c] for t, c in enumerate(path)))
        found[labels] = found.get(labels, 0.0) + p
    return found


def reader(features, blank=0, read=None):
    """A network whose outputs are its inputs, but for a map that is the identity: what it is given is what it says."""
    net = Network(features, [Layer(cells.elman_relu, features)], output=Dense(features), loss=losses.CTC(blank))
    params = net.init(0)
    (first,) = params["layers"]
    first["forward"]["W"]["h"][...] = np.eye(features)
    first["forward"]["b"]["h"][...] = 50.0  # everything is positive, and stays as it is
    for maps in first["forward"]["U"].values():
        maps[...] = 0.0
    params["output"]["W"][...] = np.eye(features)
    params["output"]["b"][...] = -50.0
    return net, params


def padded(rows, most):
    return np.array([[*row, *[-1] * (most - len(row))] for row in rows])


def loss_of(be, outputs, labels, lengths=None, blank=0):
    net, params = reader(outputs.shape[2], blank)
    step = be.value_and_grad(net, params, outputs, labels, None, lengths)
    return float(step.loss_sum), be.to_numpy(step.grads.inputs), step.count


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("blank", [0, 2])
def test_the_loss_is_that_of_all_spellings(name, blank):
    be, rng = rnnspec.get_backend(name, precision="f64"), np.random.default_rng(blank)
    outputs = rng.normal(size=(4, 1, 3))
    expected = by_enumeration(outputs[:, 0], blank)
    assert sum(expected.values()) == pytest.approx(1)
    classes = [c for c in range(3) if c != blank]
    every = [labels for n in range(5) for labels in product(classes, repeat=n)]
    for labels in every:
        found, gradient, _ = loss_of(be, outputs, padded([labels], 4), blank=blank)
        assert np.isfinite(gradient).all()
        assert np.exp(-found) == pytest.approx(expected.get(labels, 0.0), rel=1e-12), labels
        if labels not in expected:
            assert found == np.inf
            assert not gradient.any()


@pytest.mark.parametrize("name", BACKENDS)
def test_rows_that_cannot_be_spelt_leave_the_others_alone(name):
    be, rng = rnnspec.get_backend(name, precision="f64"), np.random.default_rng(3)
    outputs, lengths = rng.normal(size=(5, 4, 4)), np.array([5, 2, 0, 0])
    labels = padded([(1, 2), (3, 3), (), (1,)], 2)
    total, gradient, count = loss_of(be, outputs, labels, lengths)
    assert (total, count) == (np.inf, 4)
    alone, own, _ = loss_of(be, outputs[:, :1], labels[:1])
    assert np.isfinite(alone)
    np.testing.assert_allclose(gradient[:, 0], own[:, 0], 1e-12)
    assert not gradient[:, 1:].any()


@pytest.mark.parametrize("name", BACKENDS)
def test_a_row_without_steps_spells_nothing_for_certain(name):
    be = rnnspec.get_backend(name, precision="f64")
    for steps in (0, 3):
        total, gradient, count = loss_of(be, np.ones((steps, 2, 3)), padded([(), ()], 1), np.array([0, 0]))
        assert (total, count) == (0.0, 2)
        assert gradient.shape == (steps, 2, 3)
        assert not gradient.any()


def test_equal_ways_share_the_gradient():
    _, gradient, _ = loss_of(rnnspec.get_backend("numpy", precision="f64"), np.zeros((2, 1, 3)), np.array([[1]]))
    np.testing.assert_allclose(gradient[:, 0], np.full((2, 3), 1 / 3) - [[1 / 3, 2 / 3, 0]] * 2, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_frameworks_agree(seed):
    torch, optax = pytest.importorskip("torch"), pytest.importorskip("optax")
    tf = pytest.importorskip("tensorflow")
    rng = np.random.default_rng(seed)
    outputs, lengths = rng.normal(size=(9, 4, 5)) * 3, np.array([9, 7, 8, 4])
    rows = [(1, 1, 2), (4,), (3, 2, 3, 1), (2, 2)]
    labels, most = padded(rows, 4), np.array([len(row) for row in rows])
    found, gradient, _ = loss_of(rnnspec.get_backend("numpy", precision="f64"), outputs, labels, lengths)

    z = torch.tensor(outputs, requires_grad=True)
    theirs = torch.nn.functional.ctc_loss(torch.log_softmax(z, -1), torch.tensor(np.maximum(labels, 0)),
                                          torch.tensor(lengths), torch.tensor(most), reduction="sum")  # fmt: skip
    theirs.backward()
    assert found == pytest.approx(theirs.item(), rel=1e-10)
    np.testing.assert_allclose(gradient, z.grad.numpy(), 1e-9, 1e-12)

    single = tf.nn.ctc_loss(np.maximum(labels, 0), tf.constant(outputs, tf.float32), most, lengths, blank_index=0)
    assert found == pytest.approx(float(tf.reduce_sum(single)), rel=1e-5)

    behind = (np.arange(9)[None] >= lengths[:, None]).astype(float)
    each = optax.ctc_loss(np.swapaxes(outputs, 0, 1), behind, np.maximum(labels, 0), (labels < 0).astype(float))
    assert found == pytest.approx(float(each.sum()), rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_what_there_is(seed):
    outputs = np.random.default_rng(seed).normal(size=(4, 2, 3)) * 2
    for row, spellings in enumerate(decoding.beam(outputs, [4, 2], width=500)):
        expected = by_enumeration(outputs[: (4, 2)[row], row], 0)
        assert {spelling.labels: pytest.approx(spelling.probability) for spelling in spellings} == expected
        ordered = [spelling.probability for spelling in spellings]
        assert ordered == sorted(ordered, reverse=True)


def test_greedy_reading_makes_repeats_one_and_drops_blanks():
    says = [2, 2, 0, 2, 1, 1, 0]
    outputs = np.log(np.eye(3)[says] + 1e-3)[:, None]
    assert decoding.greedy(outputs) == [(2, 2, 1)]
    assert decoding.greedy(outputs, [2]) == [(2,)]
    assert decoding.greedy(outputs, blank=2) == [(0, 1, 0)]
    assert [s.labels for s in decoding.beam(outputs, width=1)[0]] == [(2, 2, 1)]
    assert decoding.greedy(outputs, [0]) == [()]


@pytest.mark.parametrize(
    ("labels", "kind", "says"),
    [(np.array([[1, 0], [2, -1]]), TargetError, "0 at (0, 1)"),
     (np.array([[-1, 1], [2, -1]]), TargetError, "1 at (0, 1)"),
     (np.array([[4, 1], [2, -1]]), TargetError, "4 at (0, 0)"), (np.array([1, 2]), ShapeError, "(2, most labels)"),
     (np.array([[1], [1], [1]]), ShapeError, "(3, 1)"), (np.array([[1.0], [1.0]]), DtypeError, "float64")],
)  # fmt: skip
def test_wrong_labels_are_refused_with_their_place(labels, kind, says):
    net, params = reader(4)
    with pytest.raises(kind, match=r"^numpy\.value_and_grad\(\.\.\.\): ") as caught:
        rnnspec.get_backend("numpy").value_and_grad(net, params, np.zeros((3, 2, 4)), labels)
    assert says in str(caught.value)


def test_a_precision_without_the_range_is_refused():
    net, params = reader(3)
    backend = rnnspec.get_backend("torch", precision="f16")
    with pytest.raises(UnsupportedError, match="CTC in f16"):
        backend.value_and_grad(net, params, np.zeros((3, 1, 3)), np.array([[1]]))


def test_a_network_has_a_class_for_blank_and_outputs_at_every_step():
    with pytest.raises(NetworkError, match="blank must be a class number"):
        Network(2, [Layer(cells.gru, 3)], loss=losses.CTC(3))
    with pytest.raises(NetworkError, match=r"read must be Steps\(\)"):
        Network(2, [Layer(cells.gru, 3)], read=Last(), loss=losses.CTC())


@pytest.mark.parametrize(
    ("given", "named", "kind"),
    [((np.zeros((3, 2)),), {}, ShapeError), ((np.zeros((3, 2, 4)), [4, 1]), {}, LengthsError),
     ((np.zeros((3, 2, 4)),), {"blank": 4}, ArgumentError)],
)  # fmt: skip
def test_reading_refuses_what_it_cannot_read(given, named, kind):
    for read in (decoding.greedy, decoding.beam):
        with pytest.raises(kind, match=rf"^{read.__name__}\(\.\.\.\): "):
            read(*given, **named)


def test_a_beam_has_a_width():
    with pytest.raises(ArgumentError, match="width"):
        decoding.beam(np.zeros((3, 2, 4)), width=0)


def test_a_file_names_the_loss(tmp_path):
    net, params = reader(4, blank=2)
    rnnspec.save(tmp_path / "reader.safetensors", net, params)
    assert rnnspec.load(tmp_path / "reader.safetensors")[0].loss == losses.CTC(2)


def test_windows_need_a_sum_over_steps():
    net, params = reader(3)
    with pytest.raises(NetworkError, match="the loss must be a sum over steps"):
        rnnspec.Windows(2, 2).value_and_grad(rnnspec.get_backend("numpy"), net, params, np.zeros((4, 1, 3)),
                                             np.array([[1]]))  # fmt: skip


def test_gradients_flow_from_the_alignment():
    net, params = reader(3)
    x, labels = np.random.default_rng(0).normal(size=(5, 2, 3)), np.array([[1, 2], [2, -1]])
    backend = rnnspec.get_backend("numpy", precision="f64")
    flow = rnnspec.gradient_flow(backend, net, params, x, labels, lengths=np.array([5, 3]))
    (half,) = flow.halves
    expected = np.linalg.norm(
        backend.value_and_grad(net, params, x, labels, None, np.array([5, 3])).grads.inputs, axis=-1)
    assert (expected[:3] > 0).all()
    np.testing.assert_allclose(half.norms["h"], np.where(expected > 0, expected, np.nan))


@pytest.mark.parametrize("name", BACKENDS)
def test_a_training_step_takes_labels_too(name):
    be = rnnspec.get_backend(name, precision="f64")
    net = Network(4, [Layer(cells.gru, 5)], output=Dense(4), loss=losses.CTC(3))
    x, labels, params = np.random.default_rng(0).normal(size=(5, 2, 4)), np.array([[1, 2], [0, -1]]), net.init(0)
    rule, before = rnnspec.updates.SGD(0.1), float(be.value_and_grad(net, params, x, labels).loss_sum)
    for wrapped in (rule, rnnspec.policies.ScaleLoss(rule)):
        done = be.train_step(net, wrapped, params, wrapped.init(params), x, labels)
        assert float(done.loss_sum) == pytest.approx(before, rel=1e-12)
        after = be.value_and_grad(net, done.params, x, labels)
        assert float(after.loss_sum) < before
