import jax
import numpy as np
from flax import nnx

rnn = nnx.RNN(nnx.SimpleCell(1, 2, rngs=nnx.Rngs(0)), return_carry=True)
x = np.array([[[1.0], [np.nan], [np.nan]]], np.float32)  # one step, and padding


def loss(rnn):
    return rnn(x, seq_lengths=np.array([1]))[0].sum()


value, gradients = nnx.value_and_grad(loss)(rnn)
assert np.isfinite(value)
assert all(np.isnan(g).any() for g in jax.tree.leaves(gradients))
