"""Networks with noise outside of rnnspec: files and modules compute the evaluation, or are refused."""

from __future__ import annotations

import numpy as np
import pytest

from conformance import exported
from rnnspec import Dense, Dropout, Last, Layer, LayerNorm, Network, cells, gradient_flow
from rnnspec.convert import from_onnx, to_onnx, to_torch
from rnnspec.convert.conversion import Note
from rnnspec.errors import UnsupportedError
from rnnspec.losses import SquaredError
from rnnspec.noise import GateDropout, WeightDrop, Zoneout
from rnnspec.primitives import tanh

STEPS, BATCH = 5, 4
X = np.random.default_rng(0).normal(size=(STEPS, BATCH, 3))
EVERY = (WeightDrop(0.3), Zoneout({"c": 0.4, "h": 0.1}), GateDropout("g", 0.25), Dropout(0.2))
NETS = {
    "every noise": Network(3, [Dropout(0.5), Layer(cells.lstm, 4, noise=EVERY), Dropout(0.2), Layer(cells.gru, 2)],
                           output=Dense(2)),
    "head": Network(3, [Layer(cells.lstm, 4, "bidirectional", noise=Zoneout(0.2)), Dropout(0.2)], Last(),
                    head=[Dropout(0.5), Dense(3, tanh), LayerNorm()], output=Dense(2)),
}  # fmt: skip
PLAIN = Network(3, [Layer(cells.lstm, 4, "bidirectional", noise=WeightDrop(0.5)),
                    Layer(cells.gru, 2, noise=Dropout(0.2))], output=Dense(2))  # fmt: skip
ZONED = Network(3, [Layer(cells.gru, 2, noise=Zoneout(0.1))])


@pytest.fixture
def be(open_backend):
    return open_backend("numpy", "f64")


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("target", ["numpy", "c"])
def test_an_exported_file_is_the_evaluation(be, name, target):
    net, params = NETS[name], NETS[name].init(1)
    program = exported.load(f"exported:{target}", "f64")
    np.testing.assert_allclose(program.run(net, params, X).outputs, be.run(net, params, X).outputs, rtol=1e-9)


@pytest.mark.parametrize("name", NETS)
def test_an_onnx_model_is_the_evaluation_and_holds_the_declaration(be, name):
    reference = pytest.importorskip("onnx.reference")
    net, params = NETS[name], NETS[name].init(1)
    model = to_onnx(net, params).model
    x = X.astype(np.float32)
    found = reference.ReferenceEvaluator(model).run(None, {"inputs": x})[0]
    np.testing.assert_allclose(found, be.run(net, params, X).outputs, rtol=1e-4, atol=1e-5)
    assert from_onnx(model).net == net


def test_torch_s_modules_are_the_evaluation_and_a_note_says_so(be):
    torch = pytest.importorskip("torch")
    params = PLAIN.init(1)
    found = to_torch(PLAIN, params)
    outputs = found.model(torch.tensor(X))[0].detach()
    np.testing.assert_allclose(outputs, be.run(PLAIN, params, X).outputs, rtol=1e-4, atol=1e-5)
    assert {note.place for note in found.notes if note.what is Note.NOISE} == {"layers.0", "layers.1"}
    for net, where in ((NETS["every noise"], "layers.0 .*Dropout"), (ZONED, "layers.0 .*Zoneout")):
        with pytest.raises(UnsupportedError, match=where):
            to_torch(net, net.init(1))


def test_the_flow_of_gradients_is_that_of_the_evaluation(be):
    """Without recurrent maps half of the old state is what zoneout carries."""
    net = Network(3, [Layer(cells.elman, 4, noise=Zoneout(0.5))], loss=SquaredError())
    params = net.init(1)
    params["layers"][0]["forward"]["U"]["h"][:] = 0
    (half,) = gradient_flow(be, net, params, X, np.zeros((STEPS, BATCH, 4))).halves
    np.testing.assert_allclose(10 ** half.products[1:3], [[0.5] * BATCH, [0.25] * BATCH], rtol=1e-6)
