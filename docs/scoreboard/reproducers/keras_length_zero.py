import keras
import numpy as np

layer = keras.layers.SimpleRNN(2, return_sequences=True)
state, no_step = np.full((1, 2), 5.0, "float32"), np.zeros((1, 3), bool)
y = keras.ops.convert_to_numpy(layer(np.ones((1, 3, 1), "float32"), mask=no_step, initial_state=[state]))
assert (y == {"jax": 5.0, "tensorflow": 0.0, "torch": 0.0}[keras.backend.backend()]).all()
