import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

tensors = [numpy_helper.from_array(np.full((1, 1, 1), value, np.float32), name) for name, value in (
    ("W", 1.0), ("R", 0.0))]  # fmt: skip
node = helper.make_node("RNN", ["X", "W", "R"], ["Y"], hidden_size=1)
graph = helper.make_graph([node], "rnn", [helper.make_tensor_value_info("X", TensorProto.FLOAT, (1, 1000, 1))],
                          [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)], tensors)  # fmt: skip
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
x = np.linspace(1e-3, 2e-3, 1000, dtype=np.float32).reshape(1, 1000, 1)
(y,) = session.run(None, {"X": x})
exact = np.tanh(x.astype(np.float64))
assert (np.abs(y.reshape(x.shape) - exact) / exact).max() > 1e-5  # a float32 has an error below 1e-6
