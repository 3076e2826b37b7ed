"""Long short-term memories: a cell state that gates write to, keep and read."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell


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
