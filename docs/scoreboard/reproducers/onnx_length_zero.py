import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32
tensors = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in (
    ("W", (1, 2, 1)), ("R", (1, 2, 2)))]  # fmt: skip
node = helper.make_node("RNN", ["X", "W", "R", "", "lengths", "h"], ["Y", "Y_h"], hidden_size=2)
inputs = [helper.make_tensor_value_info("X", FLOAT, (3, 2, 1)), helper.make_tensor_value_info("lengths", INT32, (2,)),
          helper.make_tensor_value_info("h", FLOAT, (1, 2, 2))]  # fmt: skip
graph = helper.make_graph([node], "rnn", inputs, [helper.make_tensor_value_info("Y_h", FLOAT, None)], tensors)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
h = np.full((1, 2, 2), 5, np.float32)
(last,) = session.run(None, {"X": np.ones((3, 2, 1), np.float32), "lengths": np.array([3, 0], np.int32), "h": h})
assert (last[0, 1] == 0).all()  # not the initial state, 5
