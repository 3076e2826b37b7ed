"""Models of ONNX as exporters write them, right and with one fault each, for the suite to judge."""

from __future__ import annotations

from onnx import helper

import rnnspec
from rnnspec import cells
from rnnspec.convert import to_onnx


def model(cell, inputs, hidden, direction="forward"):
    """What `to_onnx` writes, with lengths and states."""
    net = rnnspec.Network(inputs, [rnnspec.Layer(cell, hidden, direction)])
    return to_onnx(net, net.init(seed=0), lengths=True, state=True).model


def lstm(inputs, hidden, direction="forward"):
    return model(cells.lstm, inputs, hidden, direction)


def gru(inputs, hidden, direction="forward"):
    return model(cells.gru, inputs, hidden, direction)


def _node(found):
    return next(node for node in found.graph.node if node.op_type in ("LSTM", "GRU"))


def reset_before(inputs, hidden):
    """A GRU whose reset gate stands where another exporter once put it."""
    found = gru(inputs, hidden)
    attribute = next(a for a in _node(found).attribute if a.name == "linear_before_reset")
    attribute.i = 0
    return found


def activations_swapped(inputs, hidden):
    found = lstm(inputs, hidden)
    node = _node(found)
    kept = [a for a in node.attribute if a.name != "activations"]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("activations", ["Tanh", "Sigmoid", "Tanh"])])
    return found


def state_ignored(inputs, hidden):
    found = lstm(inputs, hidden)
    _node(found).input[5] = ""
    return found


def lengths_ignored(inputs, hidden):
    found = lstm(inputs, hidden)
    _node(found).input[4] = ""
    return found


def input_forget(inputs, hidden):
    """A coupled forget gate."""
    found = lstm(inputs, hidden)
    _node(found).attribute.append(helper.make_attribute("input_forget", 1))
    return found


FAULTY = {"reset_before": "gru", "activations_swapped": "lstm", "state_ignored": "lstm", "lengths_ignored": "lstm",
          "input_forget": "lstm"}  # fmt: skip
