"""What is not chosen contributes exactly 0, on every backend and in the oracle."""

import numpy as np
import pytest

from conformance import oracle
from rnnspec import Layer, Network, cell
from rnnspec.derivation.adjoint import derive
from rnnspec.primitives import exp, log, maximum, minimum, relu, sqrt, total, where


@cell
def elu(x, R, h):
    return where(x.a > 0, x.a, exp(x.a) - 1) + 0 * h


@cell
def logarithm(x, R, h):
    return where(x.a > 0, log(x.a), 0) + 0 * h


@cell
def nested(x, R, h):
    """Two choices, of which the inner one is not to be had."""
    return where(x.a > 1, x.a, where(x.a > 0, sqrt(x.a - 1), log(x.a) * sqrt(x.a))) + 0 * h


@cell
def both(x, R, h):
    """One value that both sides read, the one where it is a root."""
    u = sqrt(x.a)
    return where(x.a > 0, u, 3 * x.a) + minimum(2 * x.a, 7) + relu(-x.a) + 0 * h


@cell
def one_number(x, R, h):
    """A number that is chosen by each feature."""
    return where(x.a > 0, x.a * total(x.a), exp(total(x.a))) + 0 * h


CASES = [
    (elu, 1000.0, 1.0), (elu, -1.0, np.exp(-1.0)), (logarithm, 0.0, 0.0), (logarithm, 2.0, 0.5), (nested, 4.0, 1.0),
    (nested, 0.5, np.nan), (both, 0.25, 3.0), (both, -1.0, 4.0), (one_number, 1000.0, 2000.0),
]  # fmt: skip


def question(given, value):
    net = Network(1, [Layer(given, 1)])
    params = net.init(0)
    params["layers"][0]["forward"]["W"]["a"][:] = 1
    params["layers"][0]["forward"]["b"]["a"][:] = 0
    return net, params, np.full((1, 1, 1), value), np.ones((1, 1, 1))


@pytest.mark.parametrize("name", ["numpy", "torch", "jax", "tensorflow"])
def test_a_backend_pulls_back_what_was_chosen(name, open_backend):
    backend = open_backend(name, "f64")
    for given, value, expected in CASES:
        found = backend.to_numpy(backend.pullback(*question(given, value)).inputs)
        np.testing.assert_allclose(found.item(), expected, rtol=1e-12, err_msg=f"{given} at {value}")


@pytest.mark.parametrize(("given", "value", "expected"), CASES, ids=lambda v: getattr(v, "name", None))
def test_the_oracle_does_too(given, value, expected):
    np.testing.assert_allclose(oracle.pullback(*question(given, value)).inputs.item(), expected, rtol=1e-12)


def test_no_product_is_taken_of_what_was_selected():
    for given in (elu, logarithm, nested):
        nodes = derive(given.graph).nodes
        selections = {i for i, node in enumerate(nodes) if node.op == "where" and i >= len(given.graph.nodes)}
        assert selections
        assert not [node for node in nodes if node.op == "multiply" and selections & set(node.args)]


def test_what_both_choices_read_is_one_selection():
    @cell
    def shared(x, R, h):
        return maximum(x.a, h) * where(x.a > 0, h, 2 * h)

    adjoint = derive(shared.graph)
    wheres = [node for node in adjoint.nodes[adjoint.forward :] if node.op == "where"]
    assert len(wheres) == 3  # the two sides of the maximum, and h times 1 or 2
