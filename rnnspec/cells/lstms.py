"""Long short-term memories: a cell state that gates write to, keep and read."""

from rnnspec.primitives import sigmoid, tanh
from rnnspec.tracing.cell import cell, out


@cell
def lstm_original(x, R, h, c):
    """Hochreiter and Schmidhuber (1997), section 4: no forget gate.

    The paper squashes by 2 tanh(a/2) and tanh(c/2) where this has tanh, as everybody has it today.
    """
    i = sigmoid(x.i + R.i(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = c + i * g
    return o * tanh(c), c


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
def lstm_coupled(x, R, h, c):
    """Greff et al. (2017), the variant CIFG: one gate writes and forgets, as much of one as of the other.

    Without their peepholes. ONNX couples by f = 1 - i: the same function, with the signs of the gate's maps turned.
    """
    f = sigmoid(x.f + R.f(h))
    g = tanh(x.g + R.g(h))
    o = sigmoid(x.o + R.o(h))
    c = f * c + (1 - f) * g
    return o * tanh(c), c


@cell
def mclstm(x, R, v, c):
    """Ben-Ari and Shwartz-Ziv (2017), the memory controller: a control vector v is fed back in place of the output."""
    i = sigmoid(x.i + R.i(v))
    f = sigmoid(x.f + R.f(v))
    g = tanh(x.g + R.g(v))
    o = sigmoid(x.o + R.o(v))
    m = sigmoid(x.m + R.m(v))
    c = f * c + i * g
    return out(o * tanh(c)), m * tanh(c), c


@cell
def wmclstm(x, R, h, c):
    """Landi et al. (2021), working memory connections: a gate also sees tanh of a map of the cell state.

    i and f see the old cell state, o the new one. The maps of the cell state have no bias; torchrecurrent adds one.
    """
    i = sigmoid(x.i + R.i(h) + tanh(R.ic(c)))
    f = sigmoid(x.f + R.f(h) + tanh(R.fc(c)))
    g = tanh(x.g + R.g(h))
    c = f * c + i * g
    o = sigmoid(x.o + R.o(h) + tanh(R.oc(c)))
    return o * tanh(c), c
