import keras
import numpy as np

layer = keras.layers.SimpleRNN(2, return_sequences=True)
y = keras.ops.convert_to_numpy(layer(np.ones((1, 3, 1), "float32"), mask=np.array([[True, False, False]])))
assert (y[0, 1:] == y[0, 0]).all()
assert y.any()
