"""torch.nn, both ways: its own forward and gradients against NumPy's backend, in float64."""

from __future__ import annotations

import numpy as np
import pytest
from conversions import refuses, same_network, same_params

from rnnspec import Dense, Last, Layer, Network, cell, cells, out
from rnnspec.convert import from_torch, to_torch
from rnnspec.errors import ArgumentError, NetworkError, ShapeError, TreeError, UnsupportedError
from rnnspec.primitives import sigmoid, tanh
from rnnspec.tree import tree_map

torch = pytest.importorskip("torch")
nn = torch.nn


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_network_keeps_the_precision_of_its_numbers(dtype):
    module = nn.GRU(3, 4, 2, bidirectional=True, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            if name.startswith("bias_hh"):
                tensor[:8] = 0.0
    found = from_torch(module)
    assert not found.notes
    kept = "float64" if dtype == "float64" else "float32"
    assert found.params["layers"][0]["forward"]["p"]["n"].dtype == kept
    again = to_torch(found.net, found.params).model.layers[0].state_dict()
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor.to(getattr(torch, kept)), again[name])


def test_a_state_dict_says_with_its_cell_what_a_module_says():
    lstm, head = nn.LSTM(3, 4, 2, bidirectional=True), nn.Linear(8, 5)
    one = from_torch(lstm, head, read=Last())
    other = from_torch((cells.lstm, lstm.state_dict()), (Dense, head.state_dict()), read=Last())
    assert one.net == other.net
    same_params(one.params, other.params)


def test_a_state_dict_is_read_as_a_cell_of_ones_own():
    @cell
    def mine(x, R, memory, seen):
        keep = sigmoid(R.keep(seen) + x.keep)
        memory = sigmoid(R.take(seen) + x.take) * tanh(R.new(seen) + x.new) + keep * memory
        seen = R.narrow(tanh(memory) * sigmoid(R.show(seen) + x.show))
        return out(seen), memory, seen

    lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, dtype=torch.float64)
    found = from_torch((mine, lstm.state_dict()))
    assert {layer.cell for layer in found.net.layers} == {mine}
    assert found.net.layers[0].state_sizes == {"memory": 4, "seen": 2}
    same_network(from_torch(lstm), found.net, found.params)
    again = to_torch(found.net, found.params).model
    assert again.states == (("seen", "memory"),) * 2
    same_params(from_torch((mine, again.layers[0].state_dict())).params, found.params)


def hooked():
    module = nn.GRU(3, 4)
    module.register_forward_hook(lambda *_: None)
    return from_torch(module)


SMALL = Network(3, [Layer(cells.elman, 4)])
REFUSED = {
    "a hook": (hooked, UnsupportedError, "hooks of GRU"),
    "no part of a network": (lambda: from_torch(nn.Conv1d(3, 4, 2)), ArgumentError, "Conv1d"),
    "a subclass": (lambda: from_torch(type("Mine", (nn.LSTM,), {})(3, 4)), ArgumentError, "Mine"),
    "nothing": (from_torch, NetworkError, "none"),
    "an output layer alone": (lambda: from_torch(nn.Linear(3, 4)), NetworkError, "elsewhere"),
    "a layer after the last activation": (
        lambda: from_torch(nn.GRU(3, 4), nn.Softmax(-1), nn.GRU(4, 4)), NetworkError, "GRU"),
    "widths that do not fit": (lambda: from_torch(nn.GRU(3, 4), nn.GRU(3, 4)), ShapeError, "weight_ih"),
    "an output that does not fit": (lambda: from_torch(nn.GRU(3, 4), nn.Linear(3, 4)), ShapeError, "(4, 3)"),
    "a cell that is not there": (lambda: from_torch((cells.mingru, {})), UnsupportedError, "mingru"),
    "a prefix": (lambda: from_torch((cells.lstm, {"rnn.weight_ih_l0": np.ones((4, 4))})), TreeError, "rnn.weight"),
    "a tensor missing": (lambda: from_torch((cells.elman, {"weight_ih_l0": np.ones((4, 3))})), TreeError, "weight_hh"),
    "another cell's tensors": (
        lambda: from_torch((cells.gru, nn.LSTM(3, 4).state_dict())), ShapeError, "weight_ih"),
    "peepholes": (lambda: refused_cell(cells.lstm_peephole), UnsupportedError, "lstm_peephole"),
    "reset before": (lambda: refused_cell(cells.gru_reset_before), UnsupportedError, "gru_reset_before"),
    "reverse": (lambda: refused_cell(cells.lstm, "reverse"), UnsupportedError, "reverse in layers.0"),
    "a projection onto as many": (
        lambda: refused_cell(cells.lstm_projected, hidden={"h": 4, "c": 4}), UnsupportedError, "4 onto 4 in layers.0"),
    "no network": (lambda: to_torch(None, {}), ArgumentError, "NoneType"),
    "params missing": (lambda: to_torch(SMALL, {"layers": []}), TreeError, "layers.0.forward"),
    "params of another shape": (
        lambda: to_torch(SMALL, Network(2, SMALL.layers).init(0)), ShapeError, "layers.0.forward.W.h"),
    "params of a framework": (
        lambda: to_torch(SMALL, tree_map(torch.tensor, SMALL.init(0))), ArgumentError, "Tensor"),
}  # fmt: skip


def refused_cell(given, direction="forward", hidden=4):
    net = Network(3, [Layer(given, hidden, direction)])
    return to_torch(net, net.init(0))


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_convert_is_refused_with_evidence(name):
    refuses(*REFUSED[name])
