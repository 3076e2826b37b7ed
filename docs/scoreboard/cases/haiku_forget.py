import haiku as hk
import jax
import jax.numpy as jnp

run = hk.without_apply_rng(hk.transform(lambda x, state: hk.LSTM(1)(x, state)[1].cell))
params = {"lstm/linear": {"w": jnp.zeros((2, 4)), "b": jnp.zeros(4)}}
c = run.apply(params, jnp.ones((1, 1)), hk.LSTMState(jnp.zeros((1, 1)), jnp.ones((1, 1))))
assert jnp.allclose(c, jax.nn.sigmoid(1.0))  # 0.731; the formula of its page, with a bias of 0, gives 0.5
