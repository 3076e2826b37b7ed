"""The TensorFlow backend: every call is one graph."""
