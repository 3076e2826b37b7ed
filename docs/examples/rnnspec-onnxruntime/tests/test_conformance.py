"""One test for each property of the specification, and tests of what is special about this backend."""

from pathlib import Path

import numpy as np
import pytest

import rnnspec
from conformance.testing import BackendSuite
from rnnspec import Layer, Network, cells
from rnnspec.errors import UnsupportedError

KNOWN = (Path(__file__).parents[1] / "xfails.txt").read_text(encoding="utf-8").splitlines()
XFAILS = dict(line.split(" ", 1) for line in KNOWN)


class TestOnnxRuntime(BackendSuite):
    xfails = XFAILS

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls):
        return rnnspec.get_backend("onnxruntime")


@pytest.mark.parametrize("cell", rnnspec.get_backend("onnxruntime").capabilities.cells, ids=lambda cell: cell.name)
def test_a_row_of_length_0_keeps_its_initial_state(cell):
    net = Network(3, [Layer(cell, 4, "bidirectional")])
    state = [{half: {name: np.full((2, 4), 0.5) for name in cell.states} for half in ("forward", "reverse")}]
    backend = rnnspec.get_backend("onnxruntime")
    found = backend.run(net, net.init(0), np.ones((5, 2, 3)), state=state, lengths=np.array([0, 5]))
    for half in found.state[0].values():
        for final in half.values():
            assert (final[0] == 0.5).all()
            assert (final[1] != 0.5).any()


def test_what_is_not_declared_is_refused():
    backend = rnnspec.get_backend("onnxruntime")
    net = Network(3, [Layer(cells.gru, 4)])
    with pytest.raises(UnsupportedError, match="gradients"):
        backend.pullback(net, net.init(0), np.ones((5, 2, 3)), np.ones((5, 2, 4)))
    with pytest.raises(UnsupportedError, match="f64"):
        rnnspec.get_backend("onnxruntime", precision="f64")
    with pytest.raises(UnsupportedError, match="mingru"):
        backend.run(other := Network(3, [Layer(cells.mingru, 4)]), other.init(0), np.ones((5, 2, 3)))


def test_the_path_names_the_operator_that_ran():
    net = Network(3, [Layer(cells.gru, 4), Layer(cells.lstm, 2)])
    path = rnnspec.get_backend("onnxruntime").run(net, net.init(0), np.ones((5, 2, 3))).path
    assert [what for _, what in path] == ["native GRU of ONNX Runtime", "native LSTM of ONNX Runtime"]
