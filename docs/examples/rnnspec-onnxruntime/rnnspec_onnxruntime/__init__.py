"""Networks of rnnspec on ONNX Runtime."""
