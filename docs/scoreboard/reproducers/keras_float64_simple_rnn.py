import jax
import keras
import numpy as np

jax.config.update("jax_enable_x64", True)
try:
    keras.layers.SimpleRNN(4, dtype="float64")(np.ones((2, 1, 3)))
    refused = ""
except TypeError as error:
    refused = str(error)
assert "type float64" in refused
assert "type float32" in refused
