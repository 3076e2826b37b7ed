"""The cells that backends are timed against compute what the specification's do."""

import numpy as np
import pytest

from conformance.registry import Shape
from conformance.speed.peers.by_hand import Functions, by_hand
from conformance.speed.row import Row
from rnnspec import Backend

NUMPY = Functions(np.tanh, lambda a: 1 / (1 + np.exp(-a)), np.maximum, np.where, lambda a, n: np.split(a, n, -1))


@pytest.mark.parametrize("cell", ["lstm_peephole", "conformance.own_cell:leaky_gate"])
def test_a_loop_by_hand_gives_the_outputs_and_states_of_the_declaration(cell):
    row = Row(cell, Shape(3, 5, 4, 6), "forward", "f64")
    own, x, net = by_hand(row), row.inputs()[0], row.network
    expected = Backend(precision="f64").run(net, net.init(0), x)
    states, outputs = [np.zeros((3, width)) for width in own.states], []
    for mapped in x @ own.weights["W"] + own.weights["b"]:
        y, *states = own.step(NUMPY, mapped, own.weights, *states)
        outputs.append(y)
    np.testing.assert_allclose(outputs, expected.outputs, rtol=1e-12)
    for found, name in zip(states, row.declared.states, strict=True):
        np.testing.assert_allclose(found, expected.state[0]["forward"][name], rtol=1e-12)
