"""A session of ONNX Runtime that runs one operator, with its weights among the inputs."""

from __future__ import annotations

import onnxruntime
from onnx import TensorProto, helper

from rnnspec_onnxruntime.operators import Operator

OPSET, IR_VERSION = 14, 8
ERRORS_ONLY = 3


def session(operator: Operator, hidden: int) -> onnxruntime.InferenceSession:
    """X, W, R, B, the lengths, the initial states and P go in; the outputs and the final states come out."""
    inputs = ["X", "W", "R", "B", "lengths", *operator.states]
    inputs += ["P"] if operator.peepholes else []
    outputs = ["Y", *(f"Y_{state}" for state in operator.states)]
    node = helper.make_node(operator.kind, inputs, outputs, hidden_size=hidden, **operator.options)
    kinds = {name: TensorProto.FLOAT for name in inputs} | {"lengths": TensorProto.INT32}
    graph = helper.make_graph(
        [node], operator.kind,
        [helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
