import numpy as np
from flax import nnx

rnn = nnx.RNN(nnx.SimpleCell(1, 2, rngs=nnx.Rngs(0)))
x = np.ones((1, 3, 1), np.float32)
assert (rnn(x, seq_lengths=np.array([1])) == rnn(x)).all()  # as if there were no lengths
