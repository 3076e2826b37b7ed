"""ONNX Runtime's operators LSTM, GRU and RNN, forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from conformance.speed.row import INPUTS, Row
from rnnspec import Cell, cells

__all__ = ["make"]

OPERATORS: dict[Cell, tuple[str, int, dict[str, Any]]] = {
    cells.lstm: ("LSTM", 4, {}),
    cells.gru: ("GRU", 3, {"linear_before_reset": 1}),
    cells.elman: ("RNN", 1, {}),
}


def make(row: Row) -> Callable[[int], None]:
    """The session's call: outputs and final states."""
    session = onnxruntime.InferenceSession(_model(row).SerializeToString(), providers=["CPUExecutionProvider"])
    given = row.inputs()
    return lambda count: session.run(None, {"X": given[count % INPUTS]}) and None


def _model(row: Row) -> onnx.ModelProto:
    operator, gates, options = OPERATORS[row.declared]
    inputs, hidden, rng = row.shape.inputs, row.shape.hidden, np.random.default_rng(0)
    dtype, kind = (np.float64, TensorProto.DOUBLE) if row.precision == "f64" else (np.float32, TensorProto.FLOAT)
    sizes = {"W": (1, gates * hidden, inputs), "R": (1, gates * hidden, hidden), "B": (1, 2 * gates * hidden)}
    weights = [
        numpy_helper.from_array((rng.standard_normal(size) / np.sqrt(hidden)).astype(dtype), name)
        for name, size in sizes.items()
    ]
    results = ["Y", "Y_h", "Y_c"][: 3 if operator == "LSTM" else 2]
    node = helper.make_node(operator, ["X", *sizes], results, hidden_size=hidden, **options)
    graph = helper.make_graph(
        [node], "peer", [helper.make_tensor_value_info("X", kind, (row.shape.time, row.shape.batch, inputs))],
        [helper.make_tensor_value_info(name, kind, None) for name in results], weights,
    )  # fmt: skip
    opset = [helper.make_opsetid("", 14)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)
