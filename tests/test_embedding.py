"""Class numbers as inputs, and an output that is tied to them."""

import numpy as np
import pytest

from conformance import oracle
from conformance.cases import Case
from rnnspec import (
    Dense,
    Embedding,
    Last,
    Layer,
    Network,
    Path,
    Tied,
    Windows,
    cells,
    errors,
    get_backend,
    gradient_flow,
    load,
    losses,
    save,
    updates,
)
from rnnspec.storage import from_json, to_json
from rnnspec.tree import leaves

CLASSES, FEATURES = 7, 4
NAMES = ("numpy", "torch", "jax", "tensorflow")
ENDS = (5, 0, 3)


def network(output=None, read=None, direction="forward"):
    layers = [Layer(cells.lstm, 3, direction), Layer(cells.gru, FEATURES)]
    more = {} if read is None else {"read": read}
    return Network(Embedding(CLASSES, FEATURES), layers, output=output, loss=losses.SoftmaxCrossEntropy(), **more)


def near(tree, expected, tolerance):
    wanted = dict(leaves(expected))
    for name, a in leaves(tree):
        np.testing.assert_allclose(a, wanted[name][0], rtol=tolerance, atol=tolerance, err_msg=name)


SMALL = Network(Embedding(CLASSES, FEATURES), [Layer(cells.elman, FEATURES)], output=Tied(),
                loss=losses.SoftmaxCrossEntropy())  # fmt: skip
LAST = network(Dense(2), Last(), "bidirectional")


@pytest.mark.parametrize("name, net", [*((name, SMALL) for name in NAMES), ("numpy", LAST), ("torch", LAST)])
def test_the_calls_of_a_backend_equal_the_oracle_s(name, net):
    case = Case(net, 5, 3, ENDS, seed=3, padding=np.nan)
    a, be = case.arrays(), get_backend(name, precision="f64")
    step = be.value_and_grad(net, a.params, a.inputs, a.targets, a.state, a.lengths)
    expected = oracle.value_and_grad(net, a.params, a.inputs, a.targets, a.state, a.lengths)
    assert step.grads.inputs is None and expected.grads.inputs is None
    near(be.to_numpy(step.grads.params), expected.grads.params, 1e-10)
    near(be.to_numpy(step.grads.state), expected.grads.state, 1e-10)
    if name not in ("numpy", "torch"):
        return  # another program to compile
    pulled = be.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths)
    expected = oracle.pullback(net, a.params, a.inputs, a.output_cotangent, a.state_cotangent, a.state, a.lengths)
    near(be.to_numpy(pulled.params), expected.params, 1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_the_framework_s_own_gradient_is_that_of_the_adjoint(name):
    be = get_backend(name)
    if Path.FRAMEWORK not in be.capabilities.paths:
        pytest.skip("the backend has no differentiation of its own")
    net = SMALL
    a = Case(net, 5, 3, ENDS, seed=4).arrays("f32")
    found = be.through(Path.FRAMEWORK).pullback(net, a.params, a.inputs, a.output_cotangent, lengths=a.lengths)
    expected = oracle.pullback(net, a.params, a.inputs, a.output_cotangent, lengths=a.lengths)
    near(be.to_numpy(found.params), expected.params, 1e-4)


def test_windows_recomputation_and_a_bound_call_take_class_numbers():
    net, be = network(Tied()), get_backend("numpy", precision="f64")
    a = Case(net, 5, 3, (5, 5, 5), seed=5).arrays()
    a_step = be.value_and_grad(net, a.params, a.inputs, a.targets)
    for other in (Windows(5, 5).value_and_grad(be, net, a.params, a.inputs, a.targets),
                  be.recomputing(2).value_and_grad(net, a.params, a.inputs, a.targets)):  # fmt: skip
        assert other.grads.inputs is None
        found = dict(leaves(other.grads.params))
        for name, g in leaves(a_step.grads.params):
            np.testing.assert_allclose(found[name], g, atol=1e-12, err_msg=name)
    bound = be.bound(net, a.params)
    outputs = bound.run(a.inputs).outputs
    np.testing.assert_allclose(np.stack([bound.step(x) for x in a.inputs]), outputs, atol=1e-12)
    trained = be.train_step(net, updates.SGD(0.1), a.params, updates.SGD(0.1).init(a.params), a.inputs, a.targets)
    same = be.update(net, updates.SGD(0.1), a.params, updates.SGD(0.1).init(a.params), a_step)
    np.testing.assert_array_equal(trained.params["embedding"]["E"], same.params["embedding"]["E"])


@pytest.mark.parametrize("name", NAMES)
def test_class_numbers_are_refused_in_the_same_words(name):
    be, net = get_backend(name), network()
    params, x = net.init(0), np.zeros((2, 3), int)
    for inputs, kind, words in (
        (np.where(np.eye(2, 3) > 0, 7, x), errors.InputError, "0..6, got 7 at (0, 0); correct them, or shorten len"),
        (x - 1, errors.InputError, "class numbers of 0..6, got -1 at (0, 0)"),
        (x + 0.5, errors.DtypeError, "class numbers, of an integer dtype, got dtype float64"),
        (x > 0, errors.DtypeError, "class numbers, of an integer dtype, got dtype bool"),
        (x[..., None], errors.ShapeError, "class numbers (time, batch), got shape (2, 3, 1)"),
    ):
        with pytest.raises(kind) as caught:
            be.run(net, params, inputs)
        assert words in str(caught.value) and str(caught.value).startswith(f"{name}.run(...): inputs")
    bound = be.bound(net, params)
    for x_t, kind in ((np.full(3, 7), errors.InputError), (np.zeros(3), errors.DtypeError),
                      (np.zeros((3, 1), int), errors.ShapeError)):  # fmt: skip
        with pytest.raises(kind):
            bound.step(x_t)


@pytest.mark.parametrize("make, words", [
    (lambda: Embedding(0, 3), "classes must be a whole number of at least 1, got 0"),
    (lambda: Embedding(3, True), "features must be a whole number of at least 1, got True"),
    (lambda: Network(3, [Layer(cells.gru, 3)], output=Tied()), "inputs must be an Embedding where the output is Tied"),
    (lambda: Network(Embedding(5, 3), [Layer(cells.gru, 4)], output=Tied()), "features of the embedding, 3"),
    (lambda: Network("abc", [Layer(cells.gru, 4)]), "or an Embedding, got 'abc'"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(make, words):
    with pytest.raises(errors.NetworkError) as caught:
        make()
    assert words in str(caught.value)


def test_parameters_and_files(tmp_path):
    net = network(Tied())
    assert (net.input_features, net.features, net.layer_inputs(0)) == (FEATURES, CLASSES, FEATURES)
    params = net.init(0)
    assert params["embedding"]["E"].shape == (CLASSES, FEATURES) and params["output"].keys() == {"b"}
    assert from_json(to_json(net)) == net
    save(tmp_path / "net", net, params)
    again, loaded = load(tmp_path / "net")
    assert again == net
    np.testing.assert_array_equal(loaded["embedding"]["E"], params["embedding"]["E"])


def test_the_gradient_flow_is_that_after_the_embedding():
    net, be = network(Tied()), get_backend("numpy", precision="f64")
    a = Case(net, 5, 3, ENDS, seed=6).arrays()
    plain = Network(FEATURES, net.layers, output=Dense(CLASSES), loss=net.loss)
    table = a.params["embedding"]["E"]
    params = {"layers": a.params["layers"], "output": {"W": table, **a.params["output"]}}
    found = gradient_flow(be, net, a.params, a.inputs, a.targets, a.state, a.lengths)
    vectors = table[np.where(a.inputs < CLASSES, a.inputs, 0)]
    assert str(found) == str(gradient_flow(be, plain, params, vectors, a.targets, a.state, a.lengths))
