"""TensorFlow: every call one graph."""
