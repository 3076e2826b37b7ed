"""ONNX's own tests of its recurrent operators: each node is the network read from it, on NumPy's backend."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest

import rnnspec
from rnnspec.convert import from_onnx
from rnnspec.output import Last

onnx = pytest.importorskip("onnx")

OPERATORS = ("RNN", "LSTM", "GRU")
MADE = "onnx.backend.test.case.node"
"""Each of its modules makes the tests of one operator when it is imported. Those of all operators take seconds."""
NODES, COUNT = {}, 18
"""The tests by name, and how many there must at least be."""


def node_tests():
    """ONNX's node tests of recurrent operators."""
    for operator in OPERATORS:
        import_module(f"{MADE}.{operator.lower()}")
    every = import_module(MADE)._NodeTestCases
    return {test.name: test for test in every if test.model.graph.node[0].op_type in OPERATORS}


if not NODES:
    NODES |= node_tests()


def test_all_of_onnxs_node_tests_are_here():
    assert len(NODES) >= COUNT
    assert {test.model.graph.node[0].op_type for test in NODES.values()} == set(OPERATORS)


def held(test):
    """The model with its operands but X as numbers that it holds, as trained weights are; X; what must come out."""
    model, (given, expected) = onnx.ModelProto.FromString(test.model.SerializeToString()), test.data_sets[0]
    names = [i.name for i in model.graph.input]
    arrays = dict(zip(names, map(np.asarray, given), strict=True))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items() if n != "X")
    return model, arrays["X"], dict(zip((o.name for o in model.graph.output), map(np.asarray, expected), strict=True))


def arranged(array, layer, batch_first, steps):
    """Outputs of the network with the axis of directions of the node's outputs."""
    apart = array.reshape(*array.shape[:-1], len(layer.halves), -1)
    if steps:
        return apart.transpose((1, 0, 2, 3) if batch_first else (0, 2, 1, 3))
    return apart if batch_first else apart.transpose(1, 0, 2)


@pytest.mark.parametrize("name", sorted(NODES))
def test_a_node_test_of_onnx_passes_through_the_network(name):
    model, x, expected = held(NODES[name])
    found = from_onnx(model)
    (layer,), node = found.net.layers, model.graph.node[0]
    first = next((a.i for a in node.attribute if a.name == "layout"), 0)
    ran = rnnspec.get_backend("numpy").run(found.net, found.params, x.swapaxes(0, 1) if first else x)
    states = zip(layer.cell.states, ("Y_h", "Y_c"), strict=False)
    got = {end: np.concatenate([ran.state[0][half][state] for half in layer.halves], -1) for state, end in states}
    assert isinstance(found.net.read, Last) == ("Y" not in expected)
    for output, right in expected.items():
        ours = ran.outputs if output == "Y" else got[output]
        np.testing.assert_allclose(arranged(ours, layer, first, output == "Y"), right, rtol=1e-5, atol=1e-6)
    if "Y" not in expected:
        np.testing.assert_allclose(ran.outputs, got["Y_h"])
