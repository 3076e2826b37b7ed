import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in (
    ("W", (1, 8, 1)), ("R", (1, 8, 2)), ("B", (1, 16)))]  # fmt: skip
node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=2)
graph = helper.make_graph([node], "lstm", [helper.make_tensor_value_info("X", TensorProto.FLOAT, (3, 1, 1))],
                          [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)], tensors)  # fmt: skip
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
(y,) = session.run(None, {"X": np.full((3, 1, 1), np.nan, np.float32)})
assert np.isfinite(y).all()  # of inputs that are all NaN
