"""`torch.nn.LSTM`, `GRU` and `RNN`, time-major, called in the usual way."""

from __future__ import annotations

from collections.abc import Callable

import torch

from conformance.speed.peers.torch_arrays import placed, wait
from conformance.speed.row import INPUTS, Row
from rnnspec import cells
from rnnspec.tree import flat

__all__ = ["make", "timed"]

LAYERS = {
    cells.lstm: torch.nn.LSTM,
    cells.gru: torch.nn.GRU,
    cells.elman: torch.nn.RNN,
    cells.elman_relu: lambda i, h, dtype: torch.nn.RNN(i, h, nonlinearity="relu", dtype=dtype),
}


def make(row: Row) -> Callable[[int], None]:
    """The layer's call: outputs and state, or the gradients of its parameters and inputs."""
    dtype = torch.float64 if row.precision == "f64" else torch.float32
    return timed(row, LAYERS[row.declared](row.shape.inputs, row.shape.hidden, dtype=dtype).to(row.device))


def timed(row: Row, layer: torch.nn.Module) -> Callable[[int], None]:
    """The call of any module that returns outputs and state."""
    inputs = [placed(row, x).requires_grad_(row.mode == "train") for x in row.inputs()]
    cotangent = placed(row, row.cotangent(row.network.features))
    parameters = list(layer.parameters())

    def forward(count: int) -> None:
        with torch.no_grad():
            outputs, state = layer(inputs[count % INPUTS])
        wait(flat((outputs, state)))

    def train(count: int) -> None:
        x = inputs[count % INPUTS]
        wait(torch.autograd.grad(layer(x)[0], [x, *parameters], cotangent))

    return {"forward": forward, "train": train}[row.mode]
