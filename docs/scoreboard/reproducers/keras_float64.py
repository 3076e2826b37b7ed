import keras
import numpy as np

if keras.backend.backend() == "jax":
    __import__("jax").config.update("jax_enable_x64", True)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


layer = keras.layers.LSTM(4, dtype="float64")
x = np.random.default_rng(0).normal(size=(2, 1, 3))
y = keras.ops.convert_to_numpy(layer(keras.ops.convert_to_tensor(x, "float64"), mask=np.ones((2, 1), bool)))
kernel, _, bias = layer.get_weights()
i, _, g, o = np.split(x[:, 0] @ kernel + bias, 4, -1)
assert y.dtype == kernel.dtype == np.float64
assert np.abs(y - sigmoid(o) * np.tanh(sigmoid(i) * np.tanh(g))).max() > 1e-10  # a float64 has an error below 1e-15
