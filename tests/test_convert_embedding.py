"""Class numbers in networks that are converted: what each writer takes, and what it refuses by name."""

import numpy as np
import pytest

from conformance.cases import Case
from rnnspec import Dense, Embedding, Last, Layer, Network, Tied, cells, convert, errors, get_backend

ENDS = (5, 1, 3)
APART = Network(Embedding(7, 3), [Layer(cells.lstm, 4)], output=Dense(2))
READ_LAST = Network(Embedding(7, 3), [Layer(cells.lstm, 4)], Last(), Dense(2))
TIED = Network(Embedding(7, 4), [Layer(cells.lstm, 4)], output=Tied())
LEARNED = Network(3, [Layer(cells.lstm, 4, learned_state=True)])


def expected(net, a):
    return get_backend("numpy").run(net, a.params, a.inputs, None, a.lengths).outputs


@pytest.mark.parametrize("net", [APART, TIED], ids=["apart", "tied"])
def test_torch_looks_class_numbers_up(net):
    torch = pytest.importorskip("torch")
    a = Case(net, 5, 3, ENDS, seed=2).arrays("f32")
    model = convert.to_torch(net, a.params).model
    outputs, _ = model(torch.tensor(a.inputs), lengths=torch.tensor(a.lengths))
    np.testing.assert_allclose(outputs.detach().numpy(), expected(net, a), atol=1e-6)
    assert (model.output.weight is model.embedding.weight) is isinstance(net.output, Tied)


def test_flax_looks_class_numbers_up():
    pytest.importorskip("flax")
    a = Case(APART, 5, 3, ENDS, seed=3).arrays("f32")
    outputs, _ = convert.to_flax(APART, a.params).model(a.inputs, lengths=a.lengths)
    np.testing.assert_allclose(np.asarray(outputs), expected(APART, a), atol=1e-6)


def test_keras_looks_class_numbers_up():
    pytest.importorskip("keras")
    a = Case(READ_LAST, 5, 3, (5, 5, 5), seed=4).arrays("f32")
    model = convert.to_keras(READ_LAST, a.params).model
    outputs = model(a.inputs.T.astype(np.int32))
    np.testing.assert_allclose(np.asarray(outputs), expected(READ_LAST, a), atol=1e-5)


@pytest.mark.parametrize("name, net, named", [
    ("to_torch", LEARNED, "layers.0 learned_state"), ("to_flax", LEARNED, "layers.0 learned_state"),
    ("to_flax", TIED, "Tied()"), ("to_keras", TIED, "Tied()"), ("to_keras", LEARNED, "layers.0 learned_state"),
])  # fmt: skip
def test_what_a_writer_cannot_write_is_named(name, net, named):
    with pytest.raises(errors.UnsupportedError) as caught:
        getattr(convert, name)(net, net.init(0))
    assert named in str(caught.value)
