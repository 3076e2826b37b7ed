import numpy as np
from flax import nnx

rnn = nnx.RNN(nnx.SimpleCell(1, 2, rngs=nnx.Rngs(0)), return_carry=True)
h = np.full((1, 2), 5.0, np.float32)
last, steps = rnn(np.ones((1, 3, 1), np.float32), initial_carry=h, seq_lengths=np.array([0]))
assert (last == steps[:, -1]).all()  # the state after step 3 of a row without a step
assert not (last == h).any()
