"""Diagonal recurrences: a unit sees its own state alone, through a learned vector in place of a recurrent map."""

from rnnspec.primitives import relu, sigmoid, tanh
from rnnspec.tracing.cell import cell, out


@cell
def indrnn(x, p, h):
    """Li et al. (2018), section 3, the independently recurrent network, with the paper's relu.

    torchrecurrent has tanh by default.
    """
    return relu(x.h + p.h * h)


@cell
def brc(x, p, h):
    """Vecoven, Ernst and Drion (2021), the bistable recurrent cell: a unit with a above 1 has two stable values."""
    a = 1 + tanh(x.a + p.a * h)
    c = sigmoid(x.c + p.c * h)
    return c * h + (1 - c) * tanh(x.h + a * h)


@cell
def nbrc(x, R, h):
    """Vecoven, Ernst and Drion (2021), the neuromodulated cell: other units set the gates of brc, through maps."""
    a = 1 + tanh(x.a + R.a(h))
    c = sigmoid(x.c + R.c(h))
    return c * h + (1 - c) * tanh(x.h + a * h)


@cell
def paragru(x, p, h):
    """Danieli et al. (2025), ParaGRU: a GRU that Newton's method computes in parallel over time.

    The maps of the input are whole; the authors' code can split them into heads.
    """
    z = sigmoid(x.z + p.z * h)
    r = sigmoid(x.r + p.r * h)
    n = tanh(x.n + p.n * (r * h))
    return (1 - z) * h + z * n


@cell
def paralstm(x, p, h, c):
    """Danieli et al. (2025), ParaLSTM: an LSTM with one gate to write and forget, and with peepholes.

    f sees the old cell state, o the new one. The maps of the input are whole, as in paragru.
    """
    f = sigmoid(x.f + p.f * h + p.fc * c)
    g = tanh(x.g + p.g * h)
    c = f * c + (1 - f) * g
    o = sigmoid(x.o + p.o * h + p.oc * c)
    return o * tanh(c), c


@cell
def sru(x, R, p, c):
    """Lei et al. (2018), equations 1-4, the simple recurrent unit: gates see c through vectors, the output sees x.

    A layer needs as many units as inputs; the authors' code maps the input where the numbers differ. The paper's
    factor alpha of x, which it sets where training starts, is 1 here, and so are the scales of the authors' code.
    """
    f = sigmoid(x.f + p.f * c)
    r = sigmoid(x.r + p.r * c)
    c = f * c + (1 - f) * R.c(x)
    return out(r * c + (1 - r) * x), c
