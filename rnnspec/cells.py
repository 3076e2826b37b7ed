"""The built-in cells: equations as in the papers, and nothing else."""

from rnnspec.primitives import relu, sigmoid, tanh
from rnnspec.tracing.cell import cell


@cell
def elman(x, R, h):
    """Elman (1990), section 2, with the tanh of today's use."""
    return tanh(x.h + R.h(h))


@cell
def elman_relu(x, R, h):
    """Le, Jaitly and Hinton (2015), section 3."""
    return relu(x.h + R.h(h))


@cell
def lstm(x, R, h, c):
    """Hochreiter and Schmidhuber (1997) with the forget gate of Gers, Schmidhuber and Cummins (2000), equations 2-7."""
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return o * tanh(c), c


@cell
def lstm_peephole(x, R, p, h, c):
    """Gers, Schraudolph and Schmidhuber (2002), section 3: i and f see the old cell state, o the new one."""
    i = sigmoid(x.i + R.i(h) + p.i * c)
    f = sigmoid(x.f + R.f(h) + p.f * c)
    g = tanh(x.g + R.g(h))
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + p.o * c)
    return o * tanh(c), c


@cell
def lstm_projected(x, R, h, c):
    """Sak, Senior and Beaufays (2014), equations 1-6, without their peepholes."""
    i = sigmoid(x.i + R.i(h))
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + i * g
    return R.p(o * tanh(c)), c


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


@cell
def mingru(x, h):
    """Feng et al. (2024), section 3.1: gates that see the input only."""
    z = sigmoid(x.z)
    return (1 - z) * h + z * x.h
