import keras
import numpy as np

x, mask = keras.Input((3, 1)), keras.Input((3,), dtype="bool")
model = keras.Model([x, mask], keras.layers.LSTM(2)(x, mask=mask))
model.compile("sgd", "mse")
padded = np.array([[[1.0], [np.nan], [np.nan]]], np.float32), np.array([[True, False, False]])
assert np.isfinite(model.predict_on_batch(padded)).all()
model.train_on_batch(padded, np.zeros((1, 2)))
assert all(np.isnan(w).any() for w in model.get_weights())
