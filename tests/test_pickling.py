"""What a user holds can be pickled and copied, and works in a process that was started anew."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import rnnspec
from rnnspec import Dense, Layer, Network, cell, cells, losses, policies, updates
from rnnspec.primitives import tanh
from rnnspec.tree import flat, leaves, tree_map

X = np.sin(np.arange(30.0)).reshape(5, 2, 3).astype(np.float32)
TARGETS = np.arange(10).reshape(5, 2) % 2
WAYS = {"pickle": lambda a: pickle.loads(pickle.dumps(a)), "copy": copy.copy, "deepcopy": copy.deepcopy}
EACH = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@cell
def own(x, R, p, h):
    """Invented: a cell that no module of rnnspec declares."""
    return tanh(x.h + R.h(h) * p.a)


NET = Network(3, [Layer(cells.lstm, 4, gradient=policies.Truncated(2)), Layer(own, 3)], output=Dense(2),
              loss=losses.SoftmaxCrossEntropy())  # fmt: skip
RULE = rnnspec.chain(policies.ClipByGlobalNorm(1.0), updates.Adam(1e-2))


def equal(found, expected):
    """Two trees of the same names and numbers."""
    for (name, a), (other, b) in zip(sorted(leaves(found)), sorted(leaves(expected)), strict=True):
        assert name == other
        np.testing.assert_array_equal(a, b, err_msg=name)


@EACH
def test_declarations_come_back_equal(way):
    for declared in (NET, NET.layers[0], NET.loss, own, cells.lstm, RULE, rnnspec.Windows(4, 8),
                     rnnspec.linearity(own), rnnspec.Capabilities()):  # fmt: skip
        assert way(declared) == declared


@EACH
def test_a_network_that_comes_back_trains_alike(way, reference):
    again = way(NET)
    (one, state), (other, kept) = ((found.params, found.rule_state) for found in (
        reference.train_step(net, RULE, net.init(1), RULE.init(net.init(1)), X, TARGETS) for net in (NET, again)))
    equal(way(one), other)
    equal(state, kept)


@EACH
def test_results_come_back_whole(way, backend):
    params = NET.init(0)
    run, pulled = backend.run(NET, params, X), backend.pullback(NET, params, X, np.ones((5, 2, 2)))
    step = backend.value_and_grad(NET, params, X, TARGETS)
    for found, parts in ((run, ("outputs", "state")), (pulled, ("params", "inputs", "state"))):
        again = way(found)
        assert type(again) is type(found)
        for part in parts:
            equal(*(backend.to_numpy({"": getattr(each, part)}) for each in (again, found)))
    assert way(run).path == run.path
    assert (float(way(step).loss_sum), way(step).count) == (float(step.loss_sum), step.count)


@EACH
def test_a_bound_call_goes_on_where_it_was(way, backend):
    bound = backend.bound(NET, NET.init(0))
    equal(*(backend.to_numpy([each.run(X).outputs]) for each in (way(bound), bound)))
    assert way(bound).state is None
    bound.step(X[0])
    again = way(bound)
    assert type(again) is type(bound)
    for x in X[1:3]:
        equal(*(backend.to_numpy([each.step(x)]) for each in (again, bound)))
    again.step(X[3])  # it has a stream of its own
    equal(*(backend.to_numpy(each.state) for each in (way(bound), bound)))


@EACH
def test_a_keras_layer_comes_back_with_its_weights(way):
    keras = pytest.importorskip("keras")
    if keras.config.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here")
    layer = rnnspec.get_backend("tensorflow").as_layer(Network(3, [Layer(own, 3)]), seed=1, return_state=True)
    assert not way(layer).built
    expected = layer(X)
    layer.set_weights([w * 2 for w in layer.get_weights()])
    again = way(layer)
    equal(again.get_weights(), layer.get_weights())
    assert np.abs(again(X)[0] - expected[0]).max() > 0


def parts():
    """Objects of every kind, of the frameworks that start quickly, with what each shall compute."""
    torch, numpy = rnnspec.get_backend("torch"), rnnspec.get_backend("numpy", precision="f64")
    bound, module = numpy.bound(NET, NET.init(0)), torch.as_layer(NET, seed=2)
    bound.step(X[0])
    stream = module.stream()
    stream(X[0])
    return [(bound, "step"), (module, "forward"), (stream, "forward"), (numpy.recomputing(2), "run")]


def computed(part, method):
    """A call of a part, as NumPy arrays; it runs in another process too."""
    import torch  # noqa: PLC0415  # the process that starts anew loads what it needs

    with torch.no_grad():
        given = {"step": (X[1],), "forward": (X[1:3],), "run": (NET, NET.init(0), X)}[method]
        found = getattr(part, method)(*given)
    tree = [found.outputs, found.state] if method == "run" else found
    return tree_map(np.asarray, list(tree) if isinstance(tree, tuple) else [tree])


class Windows:
    """A data set that reads with a backend and a network of its own, in the process of a loader."""

    def __init__(self, backend, net):
        self.backend, self.net = backend, net

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.backend.run(self.net, self.net.init(index), X).outputs


def test_a_process_that_is_started_anew_computes_the_same():
    pytest.importorskip("torch")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        waiting = [pool.submit(computed, *part) for part in parts()]
        for part, found in zip(parts(), waiting, strict=True):
            for a, b in zip(flat(found.result()), flat(computed(*part)), strict=True):
                np.testing.assert_array_equal(a, b)


def test_a_loader_of_pytorch_has_backends_in_its_workers():
    torch = pytest.importorskip("torch")
    data = Windows(rnnspec.get_backend("numpy"), NET)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    for found, expected in zip(loader, map(data.__getitem__, range(2)), strict=True):
        np.testing.assert_array_equal(found, expected)
