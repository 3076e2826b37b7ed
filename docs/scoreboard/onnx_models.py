"""ONNX models of one recurrent node with lengths and states, for ONNX Runtime."""

from __future__ import annotations

from typing import Any

from rnnspec import Cell, Layer, Network, cells
from rnnspec.convert import to_onnx


def model(cell: Cell, inputs: int, hidden: int, direction: str) -> Any:
    net = Network(inputs, [Layer(cell, hidden, direction)])
    return to_onnx(net, net.init(seed=0), lengths=True, state=True).model


def rnn(inputs: int, hidden: int, direction: str) -> Any:
    return model(cells.elman, inputs, hidden, direction)


def lstm(inputs: int, hidden: int, direction: str) -> Any:
    return model(cells.lstm, inputs, hidden, direction)


def gru(inputs: int, hidden: int, direction: str) -> Any:
    return model(cells.gru, inputs, hidden, direction)
