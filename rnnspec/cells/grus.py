"""Gated recurrent units: one gate resets what the new value sees of the state, one blends old and new."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def gru(x, R, p, h):
    """Cho et al. (2014), equations 5-8, with the reset after the recurrent map and its inner bias, as cuDNN has it."""
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + r * (R.n(h) + p.n))
    return (1 - z) * n + z * h


@cell
def gru_reset_before(x, R, h):
    """Cho et al. (2014), equations 5-8: the reset before the recurrent map."""
    r = sigmoid(x.r + R.r(h))
    z = sigmoid(x.z + R.z(h))
    n = tanh(x.n + R.n(r * h))
    return (1 - z) * n + z * h
